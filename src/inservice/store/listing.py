"""What a page of a list is asked for by, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SortKey(StrEnum):
    """What a list can be sorted by. Only endpoints have a status."""

    NAME = "Name"
    CREATION_TIME = "CreationTime"
    STATUS = "Status"


Position = tuple[str | float, str]
"""Where a page ended: the value that the list is sorted by, and the name key that breaks ties."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One page of a list. Times are epoch seconds; None: no such filter."""

    account: str
    region: str
    limit: int
    sort_by: SortKey = SortKey.CREATION_TIME
    descending: bool = True
    after: Position | None = None  # the end of the page before
    name_contains: str | None = None  # with regard to case
    created_before: float | None = None  # strictly
    created_after: float | None = None  # or at that very moment
    modified_before: float | None = None  # strictly; endpoints only
    modified_after: float | None = None  # or at that very moment; endpoints only
    status: str | None = None  # endpoints only


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a list."""

    name: str
    arn: str
    created_at: float
    modified_at: float | None = None  # endpoints only
    status: str | None = None  # endpoints only


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of one page, and where it ended if there are more."""

    lines: tuple[Summary, ...]
    end: Position | None


@dataclass(frozen=True, slots=True)
class EntityQuery:
    """Users, groups, roles or policies of an account, by name."""

    account: str
    path_prefix: str = "/"
    after: str | None = None  # the name that the page before ended with
    limit: int | None = None
    mentioning: str | None = None
    """A text that the record has, as JSON: `"arn:aws:iam::aws:policy/ReadOnlyAccess"`. Whoever asks
    looks again: it may stand for something else."""
