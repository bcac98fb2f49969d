"""Streams of batches, held against the plain list that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from inservice.instance_logs.base import LogEvent, Place
from inservice.instance_logs.groups import FileStream
from inservice.operations.logs.written import (
    Kept,
    LeftStream,
    WrittenStream,
    packed,
    unpacked,
)
from inservice.store.collections.client_logs import BatchPlace

TIMES = st.integers(0, 30) | st.integers(0, 10_000_000)
BATCHES = st.lists(st.lists(TIMES, min_size=1, max_size=8).map(sorted), max_size=8)
EDGES = st.none() | TIMES


def stream_of(batches: Sequence[Sequence[int]], page: int) -> WrittenStream:
    """A stream with these times in its batches, which a store of pages of `page` has."""
    bodies = {
        number: packed([Kept(at, f"{number}.{n}") for n, at in enumerate(times)], number)
        for number, times in enumerate(batches, 1)
    }
    places = sorted(
        (BatchPlace(number, times[0], times[-1]) for number, times in enumerate(batches, 1)),
        key=lambda one: (one.first_ms, one.number),
    )

    def some(start: int, end: int, after: tuple[int, int], limit: int) -> Sequence[BatchPlace]:
        framed = [one for one in places if one.last_ms >= start and one.first_ms < end]
        return [one for one in framed if (one.first_ms, one.number) > after][: min(page, limit)]

    every = [at for times in batches for at in times]
    return WrittenStream(
        "s",
        batches=some,
        open=lambda number: bodies[number],
        size=0,
        first_ms=min(every, default=None),
        last_ms=max(every, default=None),
    )


def listed(batches: Sequence[Sequence[int]]) -> list[LogEvent]:
    """The same as a list: by time, then as they came, numbered within each millisecond."""
    every = sorted(
        (at, number, n) for number, times in enumerate(batches, 1) for n, at in enumerate(times)
    )
    events: list[LogEvent] = []
    for at, number, n in every:
        within = events[-1].place.number + 1 if events and events[-1].place.at_ms == at else 0
        events.append(LogEvent("s", Place(at, within), f"{number}.{n}", number))
    return events


@given(BATCHES, st.integers(1, 3), EDGES, st.integers(0, 3), EDGES)
def test_events_are_those_of_the_frame_by_time(
    batches: list[list[int]], page: int, start: int | None, number: int, end: int | None
) -> None:
    begin = Place(start or 0, number if start else 0)
    end_ms = 1 << 62 if end is None else end
    found = list(stream_of(batches, page).events(begin, end_ms))
    wanted = [e for e in listed(batches) if e.place >= begin and e.place.at_ms < end_ms]
    assert found == wanted


@given(BATCHES, st.integers(1, 3), EDGES, EDGES, st.integers(0, 3), st.integers(1, 12), EDGES)
def test_the_latest_are_the_last_of_the_frame(
    batches: list[list[int]],
    page: int,
    start: int | None,
    end: int | None,
    number: int,
    limit: int,
    floor: int | None,
) -> None:
    before = Place(1 << 62, 0) if end is None else Place(end, number)
    stream = LeftStream.of(stream_of(batches, page), floor or 0)
    found = stream.latest(start or 0, before, limit)
    least = max(start or 0, floor or 0)
    wanted = [e for e in listed(batches) if e.place.at_ms >= least and e.place < before]
    assert found == wanted[-limit:]


@given(BATCHES, TIMES, TIMES)
def test_a_batch_that_comes_later_moves_no_place(
    batches: list[list[int]], first: int, second: int
) -> None:
    """What a token points at stays where it is, however much is written in between."""
    before = listed(batches)
    after = stream_of([*batches, sorted([first, second])], 2).events()
    places = {event.message: event.place for event in after}
    assert {event.message: event.place for event in before}.items() <= places.items()


@given(st.lists(st.tuples(TIMES, st.text())), TIMES)
def test_a_batch_is_read_back(events: list[tuple[int, str]], ingested_ms: int) -> None:
    kept = [Kept(*event) for event in events]
    assert unpacked(packed(kept, ingested_ms)) == (ingested_ms, kept)


def test_a_stream_of_which_nothing_went_is_itself() -> None:
    stream = FileStream("s", ())
    assert LeftStream.of(stream, 0) is stream


def test_what_is_left_has_its_own_first_and_last() -> None:
    whole = stream_of([[1, 5], [3, 9]], 2)
    left = LeftStream.of(whole, 4)
    assert (left.first_at_ms(), left.last_at_ms()) == (5, 9)
    nothing = LeftStream.of(whole, 10)
    assert (nothing.first_at_ms(), nothing.last_at_ms()) == (None, None)
