"""What a worker tells of its invocations, row by row: never less than nothing, and exact in sum."""

from __future__ import annotations

from inservice.channel.counts import InvocationRow
from inservice.channel.messages import Counts, said_in
from inservice.gateway.runtime.taps.counting import Counting, Tally
from inservice.telemetry.rows import samples_of, step_counts_of
from tests.gateway.rig import fleet, table_of

ROUTE = next(iter(table_of(fleet("f", "unix:/a", "unix:/b"), step="g-2/1").endpoints.values()))


def tally_of(counting: Counting) -> Tally:
    return counting.hear(ROUTE, ROUTE.fleets[0])


def told(counting: Counting) -> list[InvocationRow]:
    """The rows of all messages so far, as control reads them."""
    said = [one for line in counting.unconfirmed() for one in said_in(line)]
    return [row for one in said if isinstance(one, Counts) for row in one.rows]


def test_what_could_not_be_sent_is_no_invocation() -> None:
    counting = Counting()
    tally_of(counting).begun(2)
    tally_of(counting).begun(2)
    tally_of(counting).unsent()
    counting.flush(1.0)
    (row,) = told(counting)
    assert (row.invocations, row.taken_back, row.retried, row.per_instance) == (1, 0, 1, 0.5)


def test_what_was_told_is_taken_back_by_a_later_row() -> None:
    """A connection may be refused after the second in which it was begun has been told."""
    counting = Counting()
    tally_of(counting).begun(2)
    counting.flush(1.0)
    tally_of(counting).unsent()
    counting.flush(2.0)
    first, second = told(counting)
    assert (first.invocations, first.taken_back) == (1, 0)
    assert (second.invocations, second.taken_back, second.retried) == (0, 1, 1)
    assert sum(count.invocations for count in step_counts_of([first, second], "7@1.0")) == 0
    for row in (first, second):
        assert all(sample.seen.count > 0 for sample in samples_of(row))


def test_what_is_taken_back_is_set_off_against_what_is_sent_next() -> None:
    counting = Counting()
    tally_of(counting).begun(2)
    counting.flush(1.0)
    tally_of(counting).unsent()
    tally_of(counting).begun(2)
    counting.flush(2.0)
    assert [(row.invocations, row.taken_back) for row in told(counting)] == [(1, 0), (0, 0)]


def test_an_idle_fleet_says_nothing() -> None:
    counting = Counting()
    tally_of(counting).begun(2)
    tally_of(counting).answered(200, 0.001, 0.001)
    assert counting.flush(1.0) is not None
    assert counting.flush(2.0) is None
