"""Metrics kept up: the journal folded, the host measured, idle variants said to be idle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import structlog

from inservice.clock import Clock
from inservice.errors import ServiceUnavailable
from inservice.ids import EndpointKey
from inservice.telemetry.base import HostUse, Metrics, RunningInstance
from inservice.telemetry.names import VariantKey
from inservice.threads import Threads

UPKEEP_SECONDS = 10.0
"""Between folds of the journal, and between looks at variants that an alarm of less than a minute
watches: the shortest period of an alarm, so that it has a datapoint in each of its periods."""

MINUTE = 60.0
"""Between looks at all other variants and their instances, and their zeros: AWS's own period. So
what a server that nobody uses costs is counted in minutes."""

EXPIRY_SECONDS = 300.0

_log = structlog.get_logger(__name__)


class Measuring:
    """Keeps metrics up."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        host_use: HostUse,
        clock: Clock,
        in_service: Callable[[], Sequence[VariantKey]],
        running: Callable[[], Sequence[RunningInstance]],
        hurried: Callable[[], Collection[EndpointKey]],
    ) -> None:
        """`in_service` tells the variants that take traffic, `running` the instances on this host;
        both are asked in the event loop; `hurried`, from a thread, the endpoints that an alarm of
        less than a minute watches."""
        self._hurried = hurried
        self._metrics = metrics
        self._host_use = host_use
        self._clock = clock
        self._in_service = in_service
        self._running = running
        self._threads = Threads("metrics")
        self._noted: set[VariantKey] = set()  # in the minute of this number
        self._minute = -1.0

    async def run(self) -> None:
        """Keep up until cancelled."""
        expired_at = self._clock.now()
        while True:
            try:
                now = self._clock.now()
                await self._threads.run(self._look, self._in_service(), self._running(), now)
                if now >= expired_at + EXPIRY_SECONDS:
                    expired_at = now
                    await self._threads.run(self._metrics.expire, now)
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
        """Note what is due: everything once a minute, and what is new or in a hurry now."""
        hurried, minute = self._hurried(), now // MINUTE
        noted = self._noted if minute == self._minute else set()
        self._noted, self._minute = set(variants), minute
        fine = {one for one in variants if (one.account, one.region, one.endpoint) in hurried}
        due = fine | (self._noted - noted)
        self._metrics.note_idle(list(fine), now)
        self._metrics.note_idle(list(due - fine), now, finely=False)
        self._metrics.note_use(self._host_use.newly_ready(instances), now)
        if measured := [one for one in instances if one.variant in due]:
            self._host_use.retain(instances)
            self._metrics.note_use(self._host_use.measure(measured, now), now)
        self._metrics.fold()
