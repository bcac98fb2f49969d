"""Buckets: their names, whose they are, and the documents that were put on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from inservice.blobs.base import Bucket
from inservice.blobs.disk.database import Change
from inservice.blobs.disk.kit import Kit, bucket_number
from inservice.blobs.disk.rows import encode, settings_in
from inservice.blobs.disk.uploads import forget
from inservice.blobs.errors import ObjectDamaged
from inservice.objects.listing import successor
from inservice.objects.names import check_bucket_name
from inservice.s3_errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket, TooManyBuckets
from inservice.seal import seal_of

BUCKETS_MAX: Final = 10_000
"""Of an account: what AWS gives without being asked."""

_COLUMNS = "number, name, account, region, created, settings, seal"


class DiskBuckets:
    """`blobs.base.Buckets`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def create_bucket(self, bucket: Bucket) -> bool:
        """See `Buckets`."""
        check_bucket_name(bucket.name)

        def make(change: Change) -> bool:
            there = change.one("SELECT account FROM buckets WHERE name = ?", bucket.name)
            if there is not None:
                if there != (bucket.account,):
                    raise BucketAlreadyExists(BucketName=bucket.name)
                return False
            row = change.one("SELECT count(*) FROM buckets WHERE account = ?", bucket.account)
            if row is not None and row[0] >= BUCKETS_MAX:
                raise TooManyBuckets
            values = (bucket.name, bucket.account, bucket.region, float(bucket.created_at))
            _insert(change, *values, encode(dict(bucket.settings)))
            change.buckets += 1
            return True

        return self._kit.database.change(make)

    def bucket(self, name: str) -> Bucket:
        """See `Buckets`."""
        with self._kit.database.reading() as connection:
            wanted = f"SELECT {_COLUMNS} FROM buckets WHERE name = ?"
            row = connection.execute(wanted, (name,)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=name)
        return _told(row)

    def buckets(self, account: str, prefix: str = "", after: str = "") -> Sequence[Bucket]:
        """See `Buckets`."""
        end = successor(prefix.encode())
        with self._kit.database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM buckets WHERE account = ? AND name >= ? AND name > ? "
                "AND (? IS NULL OR name < ?) ORDER BY name",
                (account, prefix, after, *[end and end.decode()] * 2),
            ).fetchall()
        return [_told(row) for row in rows]

    def delete_bucket(self, name: str) -> None:
        """See `Buckets`. Uploads that are under way in it end with it, as on S3."""

        def make(change: Change) -> None:
            number = bucket_number(change.connection, name)
            if change.one("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", number):
                raise BucketNotEmpty(BucketName=name)
            for (id_,) in change.all("SELECT id FROM uploads WHERE bucket = ?", number):
                forget(change, id_)
            change.run("DELETE FROM uploads WHERE bucket = ?", number)
            change.run("DELETE FROM buckets WHERE number = ?", number)
            change.buckets -= 1

        self._kit.database.change(make, frees=True)

    def set_bucket(self, name: str, setting: str, document: bytes | None) -> None:
        """See `Buckets`."""

        def make(change: Change) -> None:
            row = change.one(f"SELECT {_COLUMNS} FROM buckets WHERE name = ?", name)
            if row is None:
                raise NoSuchBucket(BucketName=name)
            settings = dict(_told(row).settings)
            if document is None:
                settings.pop(setting, None)
            else:
                settings[setting] = document
            content = encode(settings)
            change.run(
                "UPDATE buckets SET settings = ?, seal = ? WHERE number = ?",
                *(content, seal_of("buckets", "seal", (*row[:5], content)), row[0]),
            )

        self._kit.database.change(make, frees=document is None)


def _insert(change: Change, *values: object) -> None:
    """Its number is the database's to say, and in the seal."""
    wanted = "INSERT INTO buckets (name, account, region, created, settings, seal)"
    change.run(f"{wanted} VALUES (?, ?, ?, ?, ?, '')", *values)
    found = change.one("SELECT number FROM buckets WHERE name = ?", values[0])
    assert found is not None
    seal = seal_of("buckets", "seal", (*found, *values))
    change.run("UPDATE buckets SET seal = ? WHERE number = ?", seal, *found)


def _told(row: Sequence[Any]) -> Bucket:
    """Raises ObjectDamaged."""
    _, name, account, region, created, settings, seal = row
    if seal_of("buckets", "seal", row[:-1]) != seal:
        raise ObjectDamaged("buckets", name)
    return Bucket(name, account, region, created, settings_in(settings))
