"""What nobody needs any more is let go: artifacts, reports of deployments, old logs, sessions."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import structlog

from inservice.artifacts.base import Artifacts
from inservice.clock import Clock
from inservice.hosting.fleet import Fleet
from inservice.ids import fleet_of, pins_of
from inservice.runtimes.base import Handle
from inservice.store.base import Store
from inservice.store.collections.endpoints import EndpointRecord
from inservice.telemetry.base import Metrics
from inservice.threads import Threads

LOOK_SECONDS = 15.0
"""Between looks whether the disk is full, which makes a turn due at once."""

TIDY_LOOKS = 20
"""Looks between turns where it is not: five minutes."""

FULL_GRACE_SECONDS = 30.0
"""How long what a fleet began with is kept on a full disk although no fleet on record has it: one
may have been saved since the records were read."""

LOG_SECONDS = 14 * 86_400
"""How long the log of an instance that is gone stays. Each is at most 32 MiB (see
`instance_logs.writer`), and an endpoint that is updated daily leaves one per instance a day."""

ENDED_SECONDS = 900.0
"""How long a session is known after its end: who signs with it is told that it has ended, and not
that there is no such key. A client that is told so asks for another."""

SERVER_LOG_BYTES_MAX = 32 * 1024 * 1024
"""A quiet server writes a line per change of an instance; this is months of them."""

log = structlog.get_logger()


class Tidying:
    """Takes a turn every few minutes; on a full disk several a minute."""

    def __init__(
        self,
        store: Store,
        artifacts: Artifacts,
        metrics: Metrics,
        clock: Clock,
        *,
        log_dir: Path,
        running: Callable[[], Sequence[Handle]],
        short: Callable[[], str],
        fleets_left: Callable[[Collection[str]], None],
    ) -> None:
        """`log_dir` holds `server.log` and, in `endpoints/`, what instances wrote; `running` gives
        the instances that there are, and is asked in the event loop. `short` says why there is no
        room on the disk, or nothing. `fleets_left` is told of every fleet that there is."""
        self._store = store
        self._artifacts = artifacts
        self._metrics = metrics
        self._clock = clock
        self._log_dir = log_dir
        self._running = running
        self._short = short
        self._fleets_left = fleets_left
        self._threads = Threads("tidying")

    async def run(self) -> None:
        """Tidy until cancelled. A turn that fails is logged, and the next one is taken."""
        while True:
            await self._until_due()
            try:
                await self._threads.run(self.turn, self._clock.now(), self._running())
            except Exception:
                log.exception("not tidied")

    async def _until_due(self) -> None:
        for _ in range(TIDY_LOOKS):
            await self._clock.sleep(LOOK_SECONDS)
            if self._short():
                return

    def turn(self, now: float, running: Sequence[Handle]) -> None:
        """Let go of everything that is due; first of what takes no room to be let go of."""
        # First which reports there are, then which endpoints: none of a newer one is forgotten.
        counted = self._metrics.counted_generations()
        records = self._records()
        # What runs keeps its files also where its record was set aside, which names no fleets.
        fleets = {fleet.id for fleet in _fleets(records)}
        fleets |= {fleet_of(handle.instance_id) for handle in running}
        self._fleets_left(fleets)
        pins = {pin for fleet in fleets for pin in pins_of(fleet)}
        if self._short():
            self._artifacts.release(pins, grace_seconds=FULL_GRACE_SECONDS, keep_idle=False)
        else:
            self._artifacts.release(pins)
        logs = frozenset(handle.log_path for handle in running if handle.log_path)
        forget_logs(self._log_dir / "endpoints", now - LOG_SECONDS, logs)
        self._metrics.forget_step_counts(counted - {r.endpoint.generation for r in records})
        with self._store.transaction() as tx:
            tx.client_logs.expire(round(now * 1_000))
            tx.sessions.expire(now - ENDED_SECONDS)
        cut_log(self._log_dir / "server.log", SERVER_LOG_BYTES_MAX)

    def _records(self) -> Sequence[EndpointRecord]:
        with self._store.reading() as reading:
            return reading.endpoints.all()


def forget_logs(directory: Path, before: float, in_use: frozenset[Path]) -> None:
    """Remove logs last written before an instant, and the directories that are empty then."""
    for place, _, names in os.walk(directory, topdown=False):
        for path in map(Path(place).joinpath, names):
            with contextlib.suppress(FileNotFoundError):
                if path not in in_use and path.stat().st_mtime < before:
                    path.unlink()
        if Path(place) != directory:
            with contextlib.suppress(OSError):  # not empty: somebody still writes here
                Path(place).rmdir()


def cut_log(path: Path, bytes_max: int) -> None:
    """Begin a log anew that has grown too long, keeping what it was as `<name>.1`.

    Its writers hold it open for appending, so it is copied and emptied, not renamed; a line that is
    written in between is lost. Raises OSError where there is no room for the copy: then nothing was
    changed.
    """
    draft = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > bytes_max:
            try:
                shutil.copyfile(path, draft)
            except OSError:
                draft.unlink(missing_ok=True)  # or half a copy would fill the disk
                raise
            draft.replace(path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def _fleets(records: Iterable[EndpointRecord]) -> Iterator[Fleet]:
    """Every fleet that may still be launched, by the deployment or by undoing it."""
    for record in records:
        yield from record.endpoint.fleets
        yield from record.endpoint.previous_fleets
        yield from record.deployment.new
