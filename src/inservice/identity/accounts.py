"""Accounts beside the server's own: who shares the server, each with resources of their own.

The words are those of AWS Organizations. The *management account* is the server's own, which its
settings name; it is always there, and its record says only that its default execution role was
made. A *member account* is made by its root, and is closed by it. The id of a closed one is never
given again: metrics and the logs of instances outlive an account for as long as they are kept, and
would show the next one of that id whose it was before.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemberAccount:
    """An account that was made here."""

    id: str  # twelve digits
    name: str  # unique among those that are not closed
    created_at: float  # epoch seconds
    closed_at: float | None = None  # epoch seconds; None: it is in use

    @property
    def is_open(self) -> bool:
        """Whether anybody of it may still ask for anything."""
        return self.closed_at is None
