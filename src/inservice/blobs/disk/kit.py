"""What buckets, objects and uploads of a store have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from inservice.blobs.disk.arriving import Quota
from inservice.blobs.disk.database import Database
from inservice.blobs.disk.files import Files
from inservice.blobs.disk.manifests import Manifests
from inservice.s3_errors import NoSuchBucket


@dataclass(frozen=True, slots=True)
class Kit:
    """A store that is open."""

    database: Database
    files: Files
    quota: Quota
    now: Callable[[], float]  # epoch seconds
    manifests: Manifests = field(default_factory=Manifests)


def bucket_number(connection: sqlite3.Connection, name: str) -> int:
    """Raises NoSuchBucket."""
    found = connection.execute("SELECT number FROM buckets WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise NoSuchBucket(BucketName=name)
    return int(found[0])
