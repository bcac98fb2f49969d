"""What is noted of every variant once a minute, whether or not anybody will ever look.

Of a variant that is in service it is noted that nobody invoked it, and what its instances use: some
twenty series, each in a bucket of every tier. Kept as datapoints, that was fifty chunks in memory
and forty rows written a minute for each variant, and so nearly all that a server costs to which
nothing happens. So it is not kept as datapoints at first, but as it is noted: a few bytes a minute
on the *page* of the variant.

Pages are on *sheets*: a variant belongs to one of SHEETS by its name. A fold writes of each sheet
what came since the last one, as one row. When the oldest note on a sheet is SETTLE_SECONDS old, the
sheet is *settled*: its notes become samples, which are added to the chunks as any others, and the
same transaction that writes those chunks removes the rows of the sheet. So a crash finds every note
on a sheet or in the chunks, never in both. Whoever reads meanwhile is given both.

One sheet is settled by a fold at most, so no fold has more than a part of the variants to do.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

import msgspec

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import Metric
from inservice.telemetry.base import Sample, Use
from inservice.telemetry.names import METRICS, ZEROES, VariantKey, whose
from inservice.telemetry.storage import SHEET_SECONDS, ChunkKey

SHEETS = 31
"""With a thousand variants a sheet has thirty, which settle in some tens of milliseconds. A prime:
by a power of two, names that differ in digits would be on half of the sheets."""

SETTLE_SECONDS = 900.0
"""A chunk is read and written again for the notes of as long. Longer would save little and hold
more: a page grows by some 50 bytes a minute."""

_NOTE = struct.Struct("<IBd")  # epoch seconds, which metric, its value
_ZERO, _FINE_ZERO = 255, 254  # instead of a metric: that nobody invoked it, in this minute, second

_NAMES = tuple(METRICS)
_NUMBERS = {name: number for number, name in enumerate(_NAMES)}


class _Row(msgspec.Struct, array_like=True):
    """A row of a sheet as it is stored."""

    names: list[str]  # what the numbers of metrics mean
    pages: list[tuple[tuple[str, str, str, str, str], bytes]]


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Row).decode


class _Page:
    """What was noted of a variant since its sheet was settled."""

    __slots__ = ("notes", "written")

    def __init__(self) -> None:
        self.notes = bytearray()
        self.written = 0  # how many bytes of them a fold has written


class Sheets:
    """All pages. Not thread-safe: the recorder's lock is around it."""

    def __init__(self, rows: Mapping[ChunkKey, bytes]) -> None:
        """`rows`: those that folds have written. They are written anew by the next one, for another
        version may have had its variants on other sheets."""
        self._sheets: list[dict[VariantKey, _Page]] = [{} for _ in range(SHEETS)]
        self._rows: list[list[ChunkKey]] = [[] for _ in range(SHEETS)]
        self._over = list(rows)  # rows that are to be removed
        self._numbers = count(1 + max((number for _, _, number in rows), default=0))
        self._written: dict[ChunkKey, list[_Page]] = {}
        for _, body in sorted(rows.items()):
            row = _DECODE(body)
            numbers = {old: _NUMBERS.get(name) for old, name in enumerate(row.names)}
            for names, notes in row.pages:
                page = self._page(VariantKey(*names))
                for at, what, value in _NOTE.iter_unpack(notes):
                    if (known := numbers.get(what, what)) is not None:
                        page.notes += _NOTE.pack(at, known, value)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def idle(self, variant: VariantKey, now: float, *, finely: bool) -> None:
        """Nobody invoked it in this second or, unless `finely`, in this minute."""
        what = _FINE_ZERO if finely else _ZERO
        self._page(variant).notes += _NOTE.pack(int(now), what, 0.0)

    def used(self, use: Use, now: float) -> None:
        """What an instance uses."""
        page = self._page(use.variant)
        for name, value in use.values.items():
            page.notes += _NOTE.pack(int(now), _NUMBERS[name], value)

    def unwritten(self) -> dict[ChunkKey, bytes]:
        """Rows of what came since the last fold. Call `folded` once they are written."""
        rows: dict[ChunkKey, bytes] = {}
        self._written.clear()
        for number, sheet in enumerate(self._sheets):
            pages = {of: page for of, page in sheet.items() if page.written < len(page.notes)}
            if pages:
                key = (number, SHEET_SECONDS, next(self._numbers))
                news = [(_names(of), bytes(one.notes[one.written :])) for of, one in pages.items()]
                rows[key] = _ENCODE(_Row(list(_NAMES), news))
                self._written[key] = list(pages.values())
        return rows

    def over(self) -> Sequence[ChunkKey]:
        """The rows of sheets that were settled."""
        return self._over

    def folded(self) -> None:
        """What `unwritten` gave is written, and what is `over` is gone."""
        for key, pages in self._written.items():
            self._rows[key[0]].append(key)
            for page in pages:
                page.written = len(page.notes)
        self._written.clear()
        self._over = []

    def settle(self, now: float) -> list[Sample]:
        """The notes of a sheet that is due, which are none of its any more; they belong into the
        same fold as the removal of its rows."""
        oldest, number = min((_oldest(sheet), number) for number, sheet in enumerate(self._sheets))
        if now < oldest + SETTLE_SECONDS:
            return []
        sheet, self._sheets[number] = self._sheets[number], {}
        self._over += self._rows[number]
        self._rows[number] = []
        return [sample for of, page in sheet.items() for sample in _samples(of, page)]

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def of(self, metric: Metric) -> Iterator[Sample]:
        """What is noted and says something of a metric."""
        if (variant := whose(metric)) is None:
            return
        config = dict(metric.dimensions).get("EndpointConfigName")
        for of, page in self._sheets[_sheet_of(variant)].items():
            if (of.account, of.region, of.endpoint, of.variant) == variant and config in (
                None,
                of.config,
            ):
                for sample in _samples(of, page, metric.name):
                    if sample.metric == metric:
                        yield sample

    def heard_of(self, account: str, region: str, since: float) -> Iterator[tuple[Metric, str]]:
        """The metrics of an account in a region of which anything was noted since then, and their
        units."""
        for sheet in self._sheets:
            for of, page in sheet.items():
                if (of.account, of.region) != (account, region):
                    continue
                notes = _NOTE.iter_unpack(page.notes)
                for what in {what for at, what, _ in notes if at > since - 1.0}:
                    for name in ZEROES if what >= _FINE_ZERO else (_NAMES[what],):
                        yield from ((metric, METRICS[name].unit) for metric in of.metrics(name))

    def _page(self, variant: VariantKey) -> _Page:
        sheet = self._sheets[sheet_of(variant)]
        page = sheet.get(variant)
        if page is None:
            page = sheet[variant] = _Page()
        return page


def _samples(of: VariantKey, page: _Page, name: str | None = None) -> Iterator[Sample]:
    """The samples that notes mean, of one metric or of each."""
    for at, what, value in _NOTE.iter_unpack(page.notes):
        is_idle = what >= _FINE_ZERO
        for each in ZEROES if is_idle else (_NAMES[what],):
            if name in (None, each):
                seen = Aggregate.zero() if is_idle else Aggregate.of(value)
                for metric in of.metrics(each):
                    yield Sample(metric, METRICS[each].unit, float(at), seen, what != _ZERO)


def _oldest(sheet: Mapping[VariantKey, _Page]) -> float:
    """When the first of what is on a sheet was noted."""
    firsts: Iterable[int] = (_NOTE.unpack_from(page.notes)[0] for page in sheet.values())
    return min(firsts, default=float("inf"))


def _names(variant: VariantKey) -> tuple[str, str, str, str, str]:
    return (variant.account, variant.region, variant.endpoint, variant.variant, variant.config)


def sheet_of(variant: VariantKey) -> int:
    """The number of the sheet that its page is on: whatever the config, so that who asks for all
    configs of a variant looks at one sheet."""
    return _sheet_of((variant.account, variant.region, variant.endpoint, variant.variant))


def _sheet_of(place: tuple[str, str, str, str]) -> int:
    return zlib.crc32("\0".join(place).encode()) % SHEETS
