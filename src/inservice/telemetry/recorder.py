"""Where samples come in, become durable, and are read: one lock around the datapoints.

Nothing here reads a clock or has a thread; the controller calls `fold`, `expire` and `note` at its
own pace and says what time it is.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from inservice.channel.counts import InvocationRow
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import Metric
from inservice.errors import ServiceUnavailable
from inservice.telemetry.alarm_history import AlarmHistory
from inservice.telemetry.base import Sample, StepCount, Use
from inservice.telemetry.datapoints import Datapoints, put_in, tier
from inservice.telemetry.names import VariantKey
from inservice.telemetry.prometheus import Totals
from inservice.telemetry.recent import RecentTraffic
from inservice.telemetry.rows import samples_of, step_counts_of
from inservice.telemetry.sheets import Sheets
from inservice.telemetry.storage import MetricStorage

AHEAD_SECONDS_MAX = 2 * 3_600
"""A row this far ahead of the clock is dropped: it could never be shown, and a worker whose clock
is off would fill tiers that expire by time."""

_log = structlog.get_logger(__name__)


class _Rows(msgspec.Struct, tag="rows", array_like=True):
    """Journal entry: what a gateway worker sent."""

    rows: list[InvocationRow]


class _Samples(msgspec.Struct, tag="samples", array_like=True):
    """Journal entry: what PutMetricData or this process itself said."""

    samples: list[Sample]


def _to_builtin(value: Any) -> Any:
    if isinstance(value, Aggregate):
        return value.row()
    raise TypeError(f"no MessagePack for {type(value).__qualname__}")


def _from_builtin(kind: type, value: Any) -> Any:
    if kind is Aggregate:
        return Aggregate.from_row(value)
    raise TypeError(f"no {kind.__qualname__} in MessagePack")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_to_builtin)
_DECODER = msgspec.msgpack.Decoder(_Rows | _Samples, dec_hook=_from_builtin)


class Recorder:
    """All metrics of this server. Every method may be called from any thread."""

    def __init__(self, storage: MetricStorage, now: float) -> None:
        """Replays what was journalled and not folded before the last end."""
        self._lock = threading.RLock()
        self._storage = storage
        self._datapoints = Datapoints(storage)
        self._sheets = Sheets(storage.sheets())
        self._noted_at = now
        self._marks = dict(storage.marks())
        self._through = 0
        for number, entry in storage.unfolded():
            self._through = number  # first: a fold in between must not leave what it contains
            self._apply(_DECODER.decode(entry), now)
        self.history = AlarmHistory(storage, self._lock)
        self.totals = Totals()
        self.recent = RecentTraffic(now)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def record_gateway_rows(
        self, worker: str, seq: int, rows: Sequence[InvocationRow], *, now: float
    ) -> None:
        """Count what a worker sent; durable when it returns, and counted once however often sent.

        `worker` names one life of one worker: sequence numbers start again with the next.
        Raises ServiceUnavailable when the store does not take them: then do not acknowledge.
        """
        with self._lock:
            if seq <= self._marks.get(worker, 0):
                return
            entry = _Rows([row for row in rows if row.at <= now + AHEAD_SECONDS_MAX])
            self._through = self._storage.journal(
                _ENCODER.encode(entry),
                now=now,
                worker=worker,
                seq=seq,
                step_counts=step_counts_of(rows, worker),
            )
            self._marks[worker] = seq
            self._apply(entry, now)
            self.totals.add(worker, entry.rows)
            self.recent.add(entry.rows)

    def put(self, samples: Sequence[Sample], now: float) -> None:
        """Count samples, durably. Raises BadValue when they are more metrics than there may be."""
        with self._lock:
            self._datapoints.series.check_room(samples)
            entry = _Samples(list(samples))
            self._through = self._storage.journal(_ENCODER.encode(entry), now=now)
            self._apply(entry, now)

    def note_idle(self, variants: Sequence[VariantKey], now: float, *, finely: bool = True) -> None:
        """Say zero for variants that are in service, in this second or, unless `finely`, in this
        minute. Where there were invocations it leaves no trace. Durable with the next fold only."""
        with self._lock:
            self._noted_at = now
            for variant in variants:
                self._sheets.idle(variant, now, finely=finely)

    def note_use(self, uses: Sequence[Use], now: float) -> None:
        """Count what instances use, durably with the next fold only: it comes again."""
        with self._lock:
            self._noted_at = now
            for use in uses:
                self._sheets.used(use, now)

    def _apply(self, entry: _Rows | _Samples, now: float) -> None:
        if isinstance(entry, _Rows):
            samples = [sample for row in entry.rows for sample in samples_of(row)]
        else:
            samples = entry.samples
        self._datapoints.add(samples, now)
        if self._datapoints.needs_fold():
            self.fold()

    # ── upkeep ──────────────────────────────────────────────────────────────────────────────────
    def fold(self) -> None:
        """Write what changed and empty the journal."""
        with self._lock:
            settled = self._sheets.settle(self._noted_at)
            self._datapoints.add(settled, self._noted_at, passing=True)
            fold = replace(
                self._datapoints.fold(self._through),
                sheets=self._sheets.unwritten(),
                sheets_over=self._sheets.over(),
            )
            if fold.chunks or fold.series or fold.sheets or fold.sheets_over:
                self._storage.fold(fold)
                self._datapoints.folded(fold)
                self._sheets.folded()

    def expire(self, now: float) -> None:
        """Forget what is past its retention."""
        with self._lock:
            self.fold()
            self._datapoints.forget(self._storage.expire(now), now)
            self._marks = dict(self._storage.marks())

    def forget_step_counts(self, generations: Iterable[str]) -> None:
        """These endpoints are gone, and their reports with them."""
        with self._lock:
            self._storage.forget_step_counts(generations)

    def close(self) -> None:
        """Fold, and let go of the storage. What cannot be folded on a full disk is in the journal,
        but for gauges."""
        with self._lock:
            try:
                self.fold()
            except ServiceUnavailable as full:
                _log.warning("metrics.not_folded", why=full.message)
            self._storage.close()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def read(
        self, metric: Metric, unit: str | None, start: int, end: int, period: int
    ) -> dict[int, Aggregate]:
        """See `Datapoints.read`; with what is on sheets, as if it were in the buckets by now."""
        seconds = tier(start, period)
        with self._lock:
            found = self._datapoints.read(metric, unit, start, end, period)
            for sample in self._sheets.of(metric):
                if unit in (None, sample.unit) and (seconds > 1 or sample.high_resolution):
                    at = int(sample.at) // seconds * seconds
                    put_in(found, sample.seen, at, start=start, end=end, period=period)
            return found

    def units(self, metric: Metric) -> Sequence[str]:
        """The units in which there are values of the metric."""
        with self._lock:
            known = [one.unit for one in self._datapoints.series.of(metric)]
            return tuple(dict.fromkeys([*known, *(one.unit for one in self._sheets.of(metric))]))

    def step_counts(self, generation: str, number: int) -> Sequence[StepCount]:
        """What was counted of one deployment; nothing of one that nobody invoked or that is long
        past (see DEPLOYMENTS_KEPT)."""
        with self._lock:
            return self._storage.step_counts(generation, number)

    def counted_generations(self) -> frozenset[str]:
        """The endpoints of which there are counts by step."""
        with self._lock:
            return self._storage.counted_generations()

    def heard_of(self, account: str, region: str, since: float) -> Collection[Metric]:
        """Every metric of an account in a region that has a value from `since` or later, once for
        each of its units."""
        with self._lock:
            series = self._datapoints.series.all(account, region)
            active = ((one.metric, one.unit) for one in series if one.last_at >= since)
            noted = self._sheets.heard_of(account, region, since)
            return [metric for metric, _ in dict.fromkeys((*active, *noted))]
