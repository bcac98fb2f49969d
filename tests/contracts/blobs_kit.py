"""Objects of tests: made, and read back, in a line."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inservice.blobs.base import (
    ANY_STATE,
    Attributes,
    Blobs,
    Bucket,
    Checksum,
    Conditions,
    PartGiven,
    PartOf,
    StoredObject,
    Upload,
)
from inservice.blobs.disk.rows import slices_in

ACCOUNT = "123456789012"
OTHER = "210987654321"
BUCKET = "a-bucket"
WRITE_BYTES = 256 * 1024


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def crc32(data: bytes) -> Checksum:
    return Checksum("CRC32", base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode())


def bucket(name: str = BUCKET, account: str = ACCOUNT) -> Bucket:
    return Bucket(name, account, "us-east-1", 1_700_000_000.5)


def attributes(data: bytes, **metadata: str) -> Attributes:
    headers = {"Content-Type": "application/octet-stream"}
    return Attributes(md5(data), headers, metadata, {}, crc32(data))


def put(
    blobs: Blobs, key: str, data: bytes, *, into: str = BUCKET, when: Conditions = ANY_STATE
) -> StoredObject:
    incoming = blobs.incoming(into)
    for start in range(0, len(data), WRITE_BYTES):
        incoming.write(memoryview(data)[start : start + WRITE_BYTES])
    assert incoming.size == len(data)
    return blobs.keep(into, key, incoming, attributes(data), when)


def got(blobs: Blobs, key: str, *, out_of: str = BUCKET) -> bytes:
    reading = blobs.read(out_of, key)
    try:
        return b"".join(reading.chunks(0, reading.stored.size))
    finally:
        reading.close()


def keys(blobs: Blobs, *, of: str = BUCKET) -> list[str]:
    """All of them, by pages."""
    found: list[str] = []
    after = ""
    while True:
        page = blobs.page(of, after=after, most=100)
        found += [each.key for each in page.objects]
        if not page.truncated:
            return found
        after = page.last


def put_part(blobs: Blobs, upload: Upload, number: int, data: bytes) -> PartGiven:
    incoming = blobs.incoming(upload.bucket)
    incoming.write(data)
    blobs.keep_part(upload, PartOf(number, len(data), md5(data), crc32(data)), incoming)
    return PartGiven(number, md5(data))


def put_in_parts(blobs: Blobs, key: str, pieces: Iterable[bytes]) -> StoredObject:
    upload = blobs.begin_upload(BUCKET, key, Attributes(""), "CRC32", "FULL_OBJECT")
    given = [put_part(blobs, upload, number, piece) for number, piece in enumerate(pieces, 1)]
    return blobs.complete(upload, given, None)


def files(directory: Path) -> list[Path]:
    """Of data, whatever the records say."""
    return sorted(path for path in (directory / "data").rglob("*") if path.is_file())


@dataclass
class Clock:
    """Time that goes when it is told to."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def check_records(directory: Path) -> None:
    """Count everything again, of a store that is closed: who needs what, how much there is, and
    which files there are."""
    with contextlib.closing(sqlite3.connect(directory / "objects.db")) as connection:
        rows = connection.execute
        needed = Counter(number for (number,) in rows("SELECT data FROM objects WHERE data > 0"))
        manifests = Counter(
            number for (number,) in rows("SELECT manifest FROM objects WHERE manifest > 0")
        )
        for table in ("manifests", "parts"):
            for (content,) in rows(f"SELECT slices FROM {table}"):
                needed.update(each.data for each in slices_in(content))
        assert dict(rows("SELECT number, uses FROM data").fetchall()) == needed
        assert dict(rows("SELECT number, uses FROM manifests").fetchall()) == manifests
        counted = rows(
            "SELECT (SELECT count(*) FROM buckets), (SELECT count(*) FROM objects), "
            "(SELECT coalesce(sum(size), 0) FROM data), (SELECT count(*) FROM uploads)"
        ).fetchone()
        assert rows("SELECT buckets, objects, bytes, uploads FROM counters").fetchone() == counted
        in_files = {number for (number,) in rows("SELECT number FROM data WHERE body IS NULL")}
        assert {int(path.name) for path in files(directory)} == in_files, "orphans, or losses"
