"""The table of legal status moves, and that nothing else moves an endpoint."""

from __future__ import annotations

import pytest

from inservice.hosting.endpoint import (
    IN_PROGRESS,
    MOVES,
    EndpointStatus,
    IllegalMove,
    check_move,
)


def test_every_status_is_in_the_table() -> None:
    assert MOVES.keys() == {None, *EndpointStatus}


def test_nothing_leaves_deleting_but_gone() -> None:
    assert MOVES[EndpointStatus.DELETING] == {None}


def test_a_failed_endpoint_can_only_be_deleted() -> None:
    assert MOVES[EndpointStatus.FAILED] == {EndpointStatus.DELETING}


def test_an_endpoint_in_progress_cannot_be_deleted() -> None:
    """AWS refuses it, with the words "Cannot update in-progress endpoint"."""
    assert all(EndpointStatus.DELETING not in MOVES[status] for status in IN_PROGRESS)


def test_a_failed_rollback_has_a_way_out() -> None:
    assert MOVES[EndpointStatus.UPDATE_ROLLBACK_FAILED] >= {EndpointStatus.UPDATING}


def test_every_status_leads_to_gone() -> None:
    leads: set[EndpointStatus | None] = {None}
    while more := {s for s, to in MOVES.items() if to & leads} - leads:
        leads |= more
    assert leads == MOVES.keys()


@pytest.mark.parametrize("before", [None, *EndpointStatus])
@pytest.mark.parametrize("after", [None, *EndpointStatus])
def test_check_move_is_the_table(
    before: EndpointStatus | None, after: EndpointStatus | None
) -> None:
    if before is after or after in MOVES[before]:
        check_move(before, after)
    else:
        with pytest.raises(IllegalMove):
            check_move(before, after)
