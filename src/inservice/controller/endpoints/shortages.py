"""Telling a shortage of the host, which passes, from what no second try will mend.

A host runs out of descriptors, processes, memory or disk because of what else is going on there.
That is no fault of a model, and no reason to fail its endpoint: a launch that meets it waits and
tries again. Whoever saw the shortage knows its errno, and wraps it in an error of its own, so it is
looked for along the chain of causes.

A storage of artifacts that fails is another's trouble, which passes as well. On the way forward it
fails the deployment all the same: what serves goes on serving, and whoever deploys had better hear
of it. On the way back there is nothing to turn to and nobody to ask, so there it is waited for.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from inservice.artifacts.errors import StorageFailed
from inservice.runtimes.base import LaunchFailed

FIRST_PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 30.0
"""A neighbour's burst is over in a second; what lasts longer is not over sooner for being asked
every second."""

_SHORT_OF = {
    errno.EMFILE: "file descriptors",
    errno.ENFILE: "file descriptors",
    errno.EAGAIN: "processes",
    errno.ENOMEM: "memory",
    errno.ENOBUFS: "memory",
    errno.ENOSPC: "disk space",
    errno.EDQUOT: "disk space",
}


def shortage(error: BaseException) -> str | None:
    """What the host is short of, in a clause; None if that is not what stood in the way."""
    for cause in _causes(error):
        if isinstance(cause, TimeoutError) and isinstance(error, LaunchFailed):
            return "the host is too busy to start a process in time"
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _SHORT_OF:
            name = errno.errorcode[number]
            return f"the host is out of {_SHORT_OF[number]} ({name})"
        if isinstance(cause, MemoryError):
            return "the host is out of memory"
        if isinstance(cause, RuntimeError) and "can't start new thread" in str(cause):
            return "the host is out of threads"
    return None


def storage_trouble(error: BaseException) -> str | None:
    """What stands in the way if it is a storage of artifacts that fails, in a clause; None if what
    it holds, or what it refuses, is the trouble: that stays."""
    if any(isinstance(cause, StorageFailed) for cause in _causes(error)):
        return "the storage of its model data fails"
    return None


def pause(tries: int) -> float:
    """How long to wait after so many tries, in seconds."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, 10), PAUSE_SECONDS_MAX)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
