"""What a store refuses, and whose fault it is.

    StoreRefused              it cannot be opened: a person has to see to it
      StoreInUse              … somebody else has it open
      StoreDamaged            … it is not a sound database of ours
      StoreTooNew             … a newer InService has written it
    RecordDamaged             the disk's: one record is not what was written, the others are
    StaleDecision             nobody's: the caller was slower than somebody else, and looks again
    StaleLease                nobody's: somebody else decides now, and this process ends

What can only be waited out is `errors.ServiceUnavailable`, AWS's 503. Not-found and already-exists
are AWS's ValidationExceptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inservice.errors import InternalFailure, ServiceUnavailable


class StoreRefused(Exception):
    """The store cannot be opened; the message says why and what to do. Nothing was changed."""


class StoreInUse(StoreRefused):
    """Another process has it open."""


class StoreDamaged(StoreRefused):
    """It is not a sound database of ours, and it is never replaced by an empty one."""


class StoreTooNew(StoreRefused):
    """A newer version of InService has written it."""


class RecordDamaged(InternalFailure):
    """A record is not what was written any more, which its seal tells. It is not answered from."""

    def __init__(self, table: str, key: Sequence[Any]) -> None:
        super().__init__(
            f"The record {name_of_record(table, key)} is damaged: what it holds is not what was "
            "written. See `inservice status` after a restart, and docs/howto/recover.md."
        )


def name_of_record(table: str, key: Sequence[Any]) -> str:
    """How people are told which record is meant."""
    return f"{table} {'/'.join(map(str, key))}"


class StaleDecision(Exception):
    """Someone newer has saved this endpoint, or it is gone: drop the decision, look again."""


class StaleLease(ServiceUnavailable):
    """Somebody else has taken the lease. What was under way did not happen, and nothing will be
    written by this process again: see `store.lease`. Clients that try again reach the new one."""

    def __init__(self) -> None:
        super().__init__("Another server decides over these records now.")


class NotRemembered(Exception):
    """Memory alone cannot answer this question: ask it of the database, in a thread."""
