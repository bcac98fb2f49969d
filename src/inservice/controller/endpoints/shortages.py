"""Telling a shortage of the host, which passes, from what no second try will mend.

A host runs out of descriptors, processes, memory or disk because of what else is going on there.
That is no fault of a model, and no reason to fail its endpoint: a launch that meets it waits and
tries again. Whoever saw the shortage knows its errno, and wraps it in an error of its own, so it is
looked for along the chain of causes.

A storage of artifacts that fails, or an index of packages that is not reached, is another's
trouble, which passes as well; and so is what others hold of the host. On the way forward it fails
the deployment all the same: what serves goes on serving, and whoever deploys had better hear of it.
On the way back there is nothing to turn to and nobody to ask, so there it is waited for.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from inservice.artifacts.errors import StorageFailed
from inservice.runtimes.base import (
    EnvironmentUnavailable,
    InsufficientCapacity,
    LaunchFailed,
)

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

_UNREACHED = frozenset(
    {
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EPIPE),
    }
)


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


def trouble_of_others(error: BaseException) -> str | None:
    """What stands in the way if it is a storage of artifacts that fails, an index of packages that
    is not reached, or what others hold of this host, in a clause; None if what they hold, or
    refuse, is the trouble: that stays."""
    if isinstance(error, InsufficientCapacity):
        return "what its instance type has is not free on this host"
    causes = list(_causes(error))
    if any(isinstance(cause, StorageFailed) for cause in causes):
        return "the storage of its model data fails"
    if isinstance(error, EnvironmentUnavailable) and any(map(_is_of_the_network, causes)):
        return "the index of the packages that it needs is not reached"
    return None


def _is_of_the_network(cause: BaseException) -> bool:
    return isinstance(cause, OSError) and cause.errno in _UNREACHED


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
