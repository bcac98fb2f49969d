"""What processes that share a socket know of each other's clients."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from inservice.transport.census import AHEAD, Census, make_census, strike_out


@pytest.fixture
def descriptor() -> Iterator[int]:
    descriptor = make_census(3)
    yield descriptor
    os.close(descriptor)


def test_whoever_is_alone_is_never_ahead(descriptor: int) -> None:
    census = Census(descriptor, 1)
    assert not census.is_ahead(1_000_000)
    census.tell(70_000)
    assert not census.is_ahead(70_000)


def test_whoever_has_more_than_somebody_else_is_ahead_until_that_one_is_gone(
    descriptor: int,
) -> None:
    first, last = Census(descriptor, 0), Census(descriptor, 2)
    first.tell(5)
    last.tell(300)
    assert last.is_ahead(300)
    assert last.is_ahead(5 + AHEAD + 1)
    assert not last.is_ahead(5 + AHEAD)
    assert not first.is_ahead(5)
    strike_out(descriptor, 0)
    assert not last.is_ahead(300)
