"""What is noted of every variant once a minute: read as if it were datapoints, through any crash.

The oracle is the recorder itself: whatever is noted is also put as samples, each where it belongs,
under another account, and whoever asks must be answered alike.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import Metric
from inservice.errors import ServiceUnavailable
from inservice.telemetry import opening
from inservice.telemetry.base import Sample, Use
from inservice.telemetry.database import MetricsDatabase, open_metrics
from inservice.telemetry.names import METRICS, ZEROES, VariantKey
from inservice.telemetry.recorder import Recorder
from inservice.telemetry.series import LAST_AT_SECONDS
from inservice.telemetry.sheets import SETTLE_SECONDS, SHEETS, sheet_of
from inservice.telemetry.storage import Fold
from tests.depth import seeds

HOUR = 1_699_999_200
VARIANTS = [
    VariantKey("1" * 12, "us-east-1", endpoint, variant, config)
    for endpoint, variant in (("e", "v"), ("e", "w"), ("f", "v"))
    for config in ("c", "d")
]
NAMES = (ZEROES[0], ZEROES[-1], "CPUUtilization", "ModelSetupTime", "ModelLatency")


def at(path: Path) -> str:
    return f"sqlite:///{path / 'inservice.db'}"


class Twice:
    """A recorder that is told everything twice, as a note and as samples, and may be killed."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._opened: list[MetricsDatabase] = []
        self.begin(HOUR)

    def begin(self, now: float) -> None:
        """As after a kill: nobody closes what was before."""
        self._opened.append(open_metrics(at(self._place)))
        self.recorder = Recorder(self._opened[-1], now)

    def close(self) -> None:
        for storage in self._opened:
            storage.close()

    def idle(self, variant: VariantKey, now: float, *, finely: bool) -> None:
        self.recorder.note_idle([variant], now, finely=finely)
        self._put(
            [
                Sample(metric, METRICS[name].unit, now, Aggregate.zero(), finely)
                for name in ZEROES
                for metric in twin(variant).metrics(name)
            ],
            now,
        )

    def used(self, variant: VariantKey, values: dict[str, float], now: float) -> None:
        self.recorder.note_use([Use(variant, values)], now)
        self._put(
            [
                Sample(metric, METRICS[name].unit, now, Aggregate.of(value))
                for name, value in values.items()
                for metric in twin(variant).metrics(name)
            ],
            now,
        )

    def invoked(self, variant: VariantKey, now: float) -> None:
        for one in (variant, twin(variant)):
            for metric in one.metrics("Invocations"):
                self._put([Sample(metric, "None", now, Aggregate.of(1.0))], now)

    def _put(self, samples: list[Sample], now: float) -> None:
        self.recorder.put(samples, now)

    def compare(self, now: float) -> int:
        """Gives how many values there were to compare."""
        values = 0
        for variant in VARIANTS:
            for name in NAMES:
                pairs = zip(variant.metrics(name), twin(variant).metrics(name), strict=True)
                for noted, told in pairs:
                    assert self.recorder.units(noted) == self.recorder.units(told)
                    for period in (1, 10, 60, 300, 3_600):
                        values += self._same(noted, told, period, int(now))
        for since in (0.0, now - 600, now - 60):
            # After a kill a series may seem to be older than it is, by no more than that.
            assert self._heard("1", since) <= self._heard("2", since - LAST_AT_SECONDS)
            assert self._heard("2", since) <= self._heard("1", since - LAST_AT_SECONDS)
        return values

    def _heard(self, account: str, since: float) -> set[Metric]:
        found = self.recorder.heard_of(account * 12, "us-east-1", since)
        return {replace(metric, account="") for metric in found}

    def _same(self, noted: Metric, told: Metric, period: int, now: int) -> int:
        start, end = HOUR, HOUR + -(-(now + 1 - HOUR) // period) * period
        for unit in (None, "Percent"):
            one, other = (
                {at: seen.row() for at, seen in sorted(found.items())}
                for found in (
                    self.recorder.read(metric, unit, start, end, period) for metric in (noted, told)
                )
            )
            _check_close(one, other)
        return len(one)


def _check_close(one: dict[int, list[Any]], other: dict[int, list[Any]]) -> None:
    """Sums of floats in another order may differ in their last digit."""
    assert one.keys() == other.keys()
    for place, row in one.items():
        count, total, *rest = row
        assert [count, total] == pytest.approx(other[place][:2])
        bins, others = rest.pop(), other[place][4]
        assert rest == other[place][2:4]
        assert _pairs(bins) == _pairs(others)


def _pairs(flat: list[Any] | None) -> list[Any] | None:
    return flat if flat is None else sorted(zip(flat[::2], flat[1::2], strict=True))


def twin(variant: VariantKey) -> VariantKey:
    """The same of another account, which is told of in samples."""
    return replace(variant, account="2" * 12)


@pytest.fixture
def twice(tmp_path: Path) -> Iterator[Twice]:
    told = Twice(tmp_path)
    yield told
    told.close()


@pytest.mark.parametrize("seed", seeds(4))
def test_a_note_is_read_as_the_samples_that_it_means(twice: Twice, seed: int) -> None:
    """Idle, busy, in a hurry, folded, settled, killed, in any order, for well over an hour."""
    draw = random.Random(seed)
    now, folded, values = float(HOUR), True, 0
    while now < HOUR + 5_000:
        variant = draw.choice(VARIANTS)
        match draw.choice(("idle", "idle", "fine", "used", "used", "invoked", "fold", "kill", "")):
            case "idle":
                twice.idle(variant, now, finely=False)
                folded = False
            case "fine":
                twice.idle(variant, now, finely=True)
                folded = False
            case "used":
                percent = draw.choice((0.0, 0.0, draw.uniform(0, 100)))
                twice.used(variant, {"CPUUtilization": percent, "MemoryUtilization": 2.5}, now)
                if draw.random() < 0.1:
                    twice.used(variant, {"ModelSetupTime": 1e6 * draw.random()}, now)
                folded = False
            case "invoked":
                twice.invoked(variant, now)
            case "fold":
                twice.recorder.fold()
                folded = True
            case "kill" if folded:
                twice.begin(now)
        if draw.random() < 0.03:
            values += twice.compare(now)
        now += draw.choice((0.0, 5.0, 10.0, 60.0))
    twice.recorder.fold()
    assert values + twice.compare(now) > 500


def test_what_was_folded_is_there_after_a_kill_and_once(twice: Twice) -> None:
    """Before its sheet is settled, and after: the transaction that writes it as datapoints takes it
    off the sheet."""
    variant = VARIANTS[0]
    twice.used(variant, {"MemoryUtilization": 2.0}, HOUR)
    for now in (HOUR, HOUR + SETTLE_SECONDS, HOUR + 2 * SETTLE_SECONDS):
        twice.recorder.note_idle([VARIANTS[1]], now)
        twice.recorder.fold()
        twice.begin(now)
        metric, _ = variant.metrics("MemoryUtilization")
        (seen,) = twice.recorder.read(metric, None, HOUR, HOUR + 3_600, 3_600).values()
        assert (seen.count, seen.total) == (1.0, 2.0)


class Full:
    """A storage whose disk is full when it is told to be."""

    def __init__(self, storage: MetricsDatabase) -> None:
        self._storage = storage
        self.is_full = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._storage, name)

    def fold(self, fold: Fold) -> None:
        if self.is_full:
            raise ServiceUnavailable("The disk is full.")
        self._storage.fold(fold)


def test_what_cannot_be_folded_is_folded_later(tmp_path: Path) -> None:
    """A sheet that was about to settle is lost by neither the full disk nor a kill in it."""
    storage = Full(open_metrics(at(tmp_path)))
    recorder = Recorder(storage, HOUR)  # type: ignore[arg-type]
    metric, _ = VARIANTS[0].metrics("MemoryUtilization")

    def total(asked: Recorder) -> float:
        found = asked.read(metric, None, HOUR, HOUR + 3_600, 60)
        return sum(seen.total for seen in found.values())

    for minute in range(2 + int(SETTLE_SECONDS) // 60):
        storage.is_full = minute > 10
        recorder.note_use([Use(VARIANTS[0], {"MemoryUtilization": 1.0})], HOUR + 60.0 * minute)
        if storage.is_full:
            with pytest.raises(ServiceUnavailable):
                recorder.fold()
        else:
            recorder.fold()
        assert total(recorder) == minute + 1
    killed = Recorder(open_metrics(at(tmp_path)), HOUR)
    assert total(killed) == 11, "what was folded before the disk was full"
    killed.close()
    storage.is_full = False
    recorder.fold()
    assert total(recorder) == minute + 1
    recorder.close()


def test_rows_of_another_version_are_read_by_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of other sheets, with other numbers for the metrics, of which one is no more."""
    recorder = Recorder(open_metrics(at(tmp_path)), HOUR)
    older = ("Forgotten", *reversed(tuple(METRICS)))
    with monkeypatch.context() as patch:
        patch.setattr("inservice.telemetry.sheets.SHEETS", SHEETS - 1)
        patch.setattr("inservice.telemetry.sheets._NAMES", older)
        numbers = {name: number for number, name in enumerate(older)}
        patch.setattr("inservice.telemetry.sheets._NUMBERS", numbers)
        for n in range(40):
            variant = replace(VARIANTS[0], endpoint=f"e{n}")
            recorder.note_use([Use(variant, {"MemoryUtilization": 3.0, "Forgotten": 1.0})], HOUR)
            recorder.note_idle([variant], HOUR)
        recorder.fold()
    recorder = Recorder(open_metrics(at(tmp_path)), HOUR)
    for step in range(2):
        for n in range(40):
            variant = replace(VARIANTS[0], endpoint=f"e{n}")
            for name, total in (("MemoryUtilization", 3.0), ("Invocations", 0.0)):
                for metric in variant.metrics(name):
                    (seen,) = recorder.read(metric, None, HOUR, HOUR + 60, 60).values()
                    assert seen.total == total
        for _ in range(SHEETS if step == 0 else 0):
            recorder.note_idle([VARIANTS[1]], HOUR + SETTLE_SECONDS)
            recorder.fold()
    assert {key[0] for key in recorder._storage.sheets()} == {sheet_of(VARIANTS[1])}
    recorder.close()


def change(path: Path, sql: str) -> None:
    with sqlite3.connect(path / "metrics.db") as connection:
        connection.execute(sql)
    connection.close()


@pytest.mark.parametrize("column", ["body = x'00'", "start = 7", "series = 30"])
def test_a_damaged_sheet_sets_the_metrics_aside(tmp_path: Path, column: str) -> None:
    """At the start, which reads them: as any other row that it reads."""
    recorder = Recorder(open_metrics(at(tmp_path)), HOUR)
    recorder.note_idle([VARIANTS[0]], HOUR)
    recorder.fold()
    recorder.close()
    change(tmp_path, f"UPDATE metric_chunks SET {column} WHERE seconds = 0")
    begun = open_metrics(at(tmp_path))
    assert begun.sheets() == {}
    begun.close()
    assert len(opening.were_set_aside(tmp_path / "metrics.db")) == 1


def test_a_variant_that_is_gone_leaves_no_page(tmp_path: Path) -> None:
    recorder = Recorder(open_metrics(at(tmp_path)), HOUR)
    recorder.note_idle(VARIANTS, HOUR)
    recorder.fold()
    for n in range(2 * SHEETS):
        recorder.note_idle([VARIANTS[0]], HOUR + SETTLE_SECONDS + n)
        recorder.fold()
    sheets = recorder._sheets._sheets
    assert [of for sheet in sheets for of in sheet] == [VARIANTS[0]]
    assert len(recorder._storage.sheets()) < 2 * SHEETS + 1
    recorder.close()


def test_a_sheet_keeps_no_series_from_being_forgotten(tmp_path: Path) -> None:
    """Though its rows are beside the chunks, with its number where they have their series."""
    recorder = Recorder(open_metrics(at(tmp_path)), HOUR)
    old = [
        Sample(Metric("1" * 12, "us-east-1", "App", f"m{n}"), "None", HOUR, Aggregate.of(1.0))
        for n in range(SHEETS + 5)
    ]
    recorder.put(old, HOUR)
    recorder.fold()
    later = HOUR + 460 * 86_400
    idle = [replace(VARIANTS[0], endpoint=f"e{n}") for n in range(200)]
    assert {sheet_of(variant) for variant in idle} == set(range(SHEETS))
    recorder.note_idle(idle, later)
    recorder.fold()
    recorder.expire(later)
    heard = recorder.heard_of("1" * 12, "us-east-1", 0.0)
    assert not [metric for metric in heard if metric.namespace == "App"]
    assert len(recorder._storage.sheets()) == SHEETS, "and what is on sheets stays"
    recorder.close()


def test_of_many_numbers_of_chunks_few_statements_are_made(tmp_path: Path) -> None:
    """The driver keeps each that it has seen, and one for hundreds of keys is large."""
    storage = open_metrics(at(tmp_path))
    statements: set[str] = set()

    def listen(_: object, __: object, statement: str, *___: object) -> None:
        statements.add(statement)

    sqlalchemy.event.listen(storage._engine, "before_cursor_execute", listen)
    for number in range(1, 520, 29):
        keys = [(series, 60, HOUR) for series in range(number)]
        fold = Fold([], {key: bytes([key[0] % 256]) for key in keys}, 0)
        storage.fold(fold)
        found = storage.chunks(keys)
        assert found == fold.chunks
        storage.fold(Fold([], {}, 0, sheets_over=keys[::2]))
        assert storage.chunks(keys).keys() == set(keys[1::2])
    for verb in ("SELECT metric_chunks", "DELETE FROM metric_chunks"):
        assert 0 < sum(one.startswith(verb) for one in statements) <= 9
    storage.close()
