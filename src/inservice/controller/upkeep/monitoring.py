"""The watch over everything: metrics kept up, idle variants said to be idle, alarms on time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import structlog

from inservice.clock import Clock
from inservice.controller.alarms.evaluating import AlarmEvaluator
from inservice.controller.alarms.webhooks import Webhooks
from inservice.controller.kit.posting import Poster
from inservice.errors import ServiceUnavailable
from inservice.routing import EndpointKey
from inservice.store.base import AlarmName, EndpointRecord, Store
from inservice.telemetry.base import AlarmKey
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


class Monitoring:
    """The parts that watch, and the loops that drive them."""

    def __init__(
        self,
        *,
        store: Store,
        recorder: Recorder,
        happenings: Happenings,
        clock: Clock,
        data_dir: Path,
        gpus: Gpus | None,
        in_service: Callable[[], Sequence[VariantKey]],
        running: Callable[[], Sequence[RunningInstance]],
        poster: Poster,
        on_alarm: Callable[[set[EndpointKey] | None], None],
    ) -> None:
        """`in_service` tells the variants that take traffic, `running` the instances on this host;
        both are asked in the event loop. `on_alarm` is called in it with the endpoints whose
        deployments watch alarms that changed, or None where that could not be found out."""
        self.recorder = recorder
        self._clock = clock
        self._in_service = in_service
        self._running = running
        self._on_alarm = on_alarm
        self._threads = Threads("metrics")
        self._utilization = Utilization(
            data_dir, clock.now(), gpus=gpus, on_ready=happenings.instance_ready
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._store = store
        webhooks = Webhooks(poster, happenings)
        self.alarms = AlarmEvaluator(
            store, recorder, clock, webhooks, on_change=self._alarms_changed
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.alarms.run())
            tasks.create_task(self._keep_up())

    def _alarms_changed(self, alarms: Collection[AlarmKey]) -> None:
        """From the evaluator's thread into the loop, if it concerns anybody there."""
        concerned: set[EndpointKey] | None = None
        with contextlib.suppress(ServiceUnavailable), self._store.reading() as reading:
            found = [reading.find_endpoint(key) for key in reading.endpoint_keys()]
            concerned = {
                record.key
                for record in found
                if record is not None and any(AlarmKey(*one) in alarms for one in _watched(record))
            }
        if concerned != set() and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_alarm, concerned)

    async def _keep_up(self) -> None:
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


def _watched(record: EndpointRecord) -> Iterator[AlarmName]:
    """The alarms that the endpoint's deployment turns back for."""
    account, region, _ = record.key
    return ((account, region, name) for name in record.deployment.alarms)
