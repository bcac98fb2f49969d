"""The feed: what was committed, told to whoever must act on it. There is no other signal.

A commit is told by the names of the records that it changed, by collection, and by who changed
them; never by what they are now. Who hears of it looks, and decides from what is: so a commit that
is told twice does no harm, and one that overtakes another is no riddle. Each is told once it is
durable, in the order of the commits, before `transaction()` returns to whoever made it: what hangs
on a change (an access key, a wake-up) has been set going when its caller gets an answer.

`publish` is the seam. Today the one process that writes calls it. Where several controls share a
PostgreSQL it is to be called for what the others tell by NOTIFY; a `Commit` is small and plain for
that, and its number shows a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog

_Name = TypeVar("_Name", bound=Hashable)

CALLER = "caller"
"""Who changes records by an operation of an API. Parts of control that write have their own name,
so that they need not be woken by themselves."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Topic(Generic[_Name]):
    """A collection, as the feed tells of it. `_Name` is what its records are named by."""

    collection: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What a committed transaction changed. Names, never contents."""

    number: int  # of the commits that the database has seen
    by: str  # CALLER, or the part of control that wrote
    changes: Mapping[Topic[Any], frozenset[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Subscription:
    listener: Callable[[frozenset[Any]], None]
    but_not_by: str
    loop: asyncio.AbstractEventLoop | None


class Feed:
    """Passes commits on."""

    def __init__(self) -> None:
        self._subscriptions: dict[Topic[Any], list[_Subscription]] = {}

    def subscribe(
        self,
        topic: Topic[_Name],
        listener: Callable[[frozenset[_Name]], None],
        *,
        but_not_by: str = "",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Have `listener` called with the names of the records that a commit changed, unless it was
        made `but_not_by` this part of control.

        It is called in `loop`; without one in the thread that committed, where it must be quick,
        must not write to the store, and holds up every other writer.
        """
        subscription = _Subscription(listener, but_not_by, loop)
        self._subscriptions.setdefault(topic, []).append(subscription)

    def publish(self, commit: Commit) -> None:
        """Tell of a commit. Never raises: what is committed is committed, whoever heeds it."""
        for topic, names in commit.changes.items():
            for each in self._subscriptions.get(topic, ()):
                if each.but_not_by == commit.by:
                    continue
                if each.loop is not None:
                    with contextlib.suppress(RuntimeError):  # it has ended: nobody waits any more
                        each.loop.call_soon_threadsafe(each.listener, names)
                    continue
                try:
                    each.listener(names)
                except Exception:  # noqa: BLE001 - the writer has done nothing wrong
                    _log.exception("feed.not_heeded", collection=topic.collection)
