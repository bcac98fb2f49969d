"""Metrics kept up: the journal folded, the host measured, idle variants said to be idle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from inservice.clock import Clock
from inservice.errors import ServiceUnavailable
from inservice.telemetry.gpus import Gpus
from inservice.telemetry.happenings import Happenings
from inservice.telemetry.names import VariantKey
from inservice.telemetry.recorder import Recorder
from inservice.telemetry.utilization import RunningInstance, Utilization
from inservice.threads import Threads

UPKEEP_SECONDS = 10.0
"""Between folds of the journal, looks at instances, and zeros for idle variants: the shortest
period of an alarm, so that a ten-second alarm has a datapoint in each of its periods."""

EXPIRY_SECONDS = 300.0

_log = structlog.get_logger(__name__)


class Measuring:
    """Keeps metrics up."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        happenings: Happenings,
        clock: Clock,
        data_dir: Path,
        gpus: Gpus | None,
        in_service: Callable[[], Sequence[VariantKey]],
        running: Callable[[], Sequence[RunningInstance]],
    ) -> None:
        """`in_service` tells the variants that take traffic, `running` the instances on this host;
        both are asked in the event loop."""
        self.recorder = recorder
        self._clock = clock
        self._in_service = in_service
        self._running = running
        self._threads = Threads("metrics")
        self._utilization = Utilization(
            data_dir, clock.now(), gpus=gpus, on_ready=happenings.instance_ready
        )

    async def run(self) -> None:
        """Keep up until cancelled."""
        expired_at = self._clock.now()
        while True:
            try:
                now = self._clock.now()
                await self._threads.run(self._look, self._in_service(), self._running(), now)
                if now >= expired_at + EXPIRY_SECONDS:
                    expired_at = now
                    await self._threads.run(self.recorder.expire, now)
            except ServiceUnavailable as error:
                _log.error("metrics.not_kept", error=error.message)
            except Exception:  # noqa: BLE001 - a bug must not end the counting
                _log.exception("metrics.not_kept")
            # In the middle of each ten seconds, so that a zero lands in every period.
            now = self._clock.now()
            middle = (now // UPKEEP_SECONDS + 1.5) * UPKEEP_SECONDS
            await self._clock.sleep(middle - now)

    def _look(
        self, variants: Sequence[VariantKey], instances: Sequence[RunningInstance], now: float
    ) -> None:
        self.recorder.note_idle(variants, now)
        self.recorder.note(self._utilization.measure(instances, now), now)
        self.recorder.fold()
