"""What the storage process has counted since it began, and what it holds now: told to control, for
whoever scrapes it.

It is told whole each time, so that a message that is lost costs nothing but its moment; a member
keeps its name and its meaning, and a new one has a default.
"""

from __future__ import annotations

import msgspec


class OperationCount(msgspec.Struct, frozen=True):
    """So many requests for one operation were answered with statuses of one class."""

    operation: str
    """As AWS's model names it; "" of a request that is none."""
    code_class: str
    """2xx, 3xx, 4xx or 5xx."""
    count: int


class StorageCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of it."""

    operations: list[OperationCount] = []
    bytes_received: int = 0
    """Of objects and parts, as they are kept."""
    bytes_sent: int = 0
    buckets: int = 0
    objects: int = 0
    bytes: int = 0
    """Of objects and of parts."""
    uploads: int = 0
    quota_bytes: int = 0
    """That may be kept; 0: no such limit."""
