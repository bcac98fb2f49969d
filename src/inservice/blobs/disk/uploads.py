"""Uploads in parts: begun, parts kept, completed, aborted, forgotten.

A part is slices of data like an object; completing an upload makes a manifest of the parts' slices
and moves no byte. Parts that are not named go. What was completed is remembered as long as an
upload that nobody completes, so whoever did not hear the answer can ask again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from inservice.blobs.base import (
    ANY_STATE,
    Attributes,
    Checksum,
    Conditions,
    Incoming,
    PartGiven,
    PartOf,
    StoredObject,
    Upload,
    UploadsPage,
)
from inservice.blobs.disk import content
from inservice.blobs.disk.arriving import Arriving
from inservice.blobs.disk.database import Change
from inservice.blobs.disk.kit import Kit, bucket_number
from inservice.blobs.disk.objects import put, replaced, same, state
from inservice.blobs.disk.rows import (
    PART,
    UPLOAD,
    ObjectRow,
    PartRow,
    Slice,
    encode,
    given_digest,
    milliseconds,
    part_row,
    slices_in,
    stored_in,
    upload_in,
    upload_row,
)
from inservice.blobs.errors import ObjectDamaged
from inservice.checksums import DEFAULT
from inservice.objects import digests, listing, parts
from inservice.objects.conditions import judge_write
from inservice.objects.names import key_bytes, text_bytes
from inservice.s3_errors import BadDigest, InvalidRange, NoSuchBucket, NoSuchUpload
from inservice.seal import seal_of

FORGOTTEN_AT_ONCE = 20
"""Uploads in one transaction: each has up to ten thousand parts."""

_PARTS = f"SELECT {PART} FROM parts WHERE upload = ?"


class DiskUploads:
    """`blobs.base.Uploads`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def begin_upload(
        self,
        bucket: str,
        key: str,
        attributes: Attributes,
        checksum_algorithm: str | None,
        checksum_type: str,
    ) -> Upload:
        """See `Uploads`. Ids of a key are in the order in which the uploads began."""
        began = milliseconds(self._kit.now())
        id_ = f"{began:012x}{secrets.token_hex(26)}"
        upload = Upload(
            id_, bucket, key, began / 1000, attributes, checksum_algorithm, checksum_type
        )
        values = (
            *(key_bytes(key), id_, began, checksum_algorithm, checksum_type),
            encode(attributes),
        )

        def make(change: Change) -> Upload:
            number = bucket_number(change.connection, bucket)
            change.run(
                f"INSERT INTO uploads (bucket, {UPLOAD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(number, *values, seal_of("uploads", "seal", (number, *values))),
            )
            change.uploads += 1
            return upload

        return self._kit.database.change(make)

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """See `Uploads`."""
        with self._kit.database.reading() as connection:
            number = bucket_number(connection, bucket)
            row = connection.execute(
                f"SELECT {UPLOAD} FROM uploads WHERE bucket = ? AND key = ? AND id = ?",
                (number, key_bytes(key), upload_id),
            ).fetchone()
            if row is not None:
                return upload_row(bucket, number, row)
            row = connection.execute(
                "SELECT upload FROM completed WHERE id = ?", (upload_id,)
            ).fetchone()
        upload = None if row is None else upload_in(row[0])
        if upload is None or (upload.bucket, upload.key) != (bucket, key):
            raise NoSuchUpload(UploadId=upload_id)
        return upload

    def keep_part(self, upload: Upload, part: PartOf, data: Incoming) -> None:
        """See `Uploads`. What is refused is discarded."""
        assert isinstance(data, Arriving)
        try:
            parts.check_number(part.number)
            parts.check_part_size(data.size)
            arrived = data.arrive()

            def make(change: Change) -> None:
                _check_under_way(change, upload)
                number = content.add(change, arrived)
                slices = [Slice(number, 0, arrived.size)]
                self._put(change, upload, replace(part, size=arrived.size), slices)

            self._kit.database.change(make)
        except BaseException:
            data.discard()
            raise
        data.kept()

    def copy_part(
        self, upload: Upload, part: PartOf, source: StoredObject, start: int, length: int
    ) -> None:
        """See `Uploads`. No byte is moved: the part needs the source's data as well."""
        parts.check_number(part.number)
        parts.check_part_size(length)
        if start < 0 or start + length > source.size:
            raise InvalidRange(RangeRequested=f"{start}+{length}", ActualObjectSize=source.size)

        def make(change: Change) -> None:
            _check_under_way(change, upload)
            row = same(change.connection, source)
            slices = content.cut(content.slices_of(change, row), start, length)
            content.take_slices(change, slices)
            self._put(change, upload, replace(part, size=length), slices)

        self._kit.database.change(make)

    def parts(
        self, upload: Upload, after: int = 0, most: int = 1000
    ) -> tuple[Sequence[tuple[PartOf, float]], bool]:
        """See `Uploads`."""
        with self._kit.database.reading() as connection:
            connection.execute("BEGIN")
            _check_under_way(Change(connection), upload)
            wanted = f"{_PARTS} AND number > ? ORDER BY number LIMIT ?"
            rows = connection.execute(wanted, (upload.id, after, most + 1)).fetchall()
        there = [part_row(upload.id, row) for row in rows[:most]]
        return [(row.told(), row.kept / 1000) for row in there], len(rows) > most

    def complete(
        self,
        upload: Upload,
        given: Sequence[PartGiven],
        checksum: Checksum | None,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """See `Uploads`. As on S3 the object is as old as its upload."""
        key = key_bytes(upload.key)

        def make(change: Change) -> StoredObject:
            if (number := _under_way(change, upload)) is None:
                return _answered(change, upload, given)
            rows = [part_row(upload.id, row) for row in change.all(_PARTS, upload.id)]
            named = parts.chosen(upload.id, given, {row.number: row for row in rows})
            stored = _completed(upload, named, checksum)
            there = replaced(change.connection, number, key, when)
            judge_write(when, upload.key, state(there))
            slices = [each for row in named for each in slices_in(row.slices)]
            manifest = self._kit.files.number()
            content.add_manifest(change, manifest, slices, stored.parts)
            modified, attributes = milliseconds(upload.began_at), encode(stored.attributes)
            row = ObjectRow(key, stored.size, modified, None, manifest, attributes, "")
            put(change, number, row, there)
            taken = {row.number for row in named}
            for each in rows:
                if each.number not in taken:
                    content.release_slices(change, slices_in(each.slices))
            change.run("DELETE FROM parts WHERE upload = ?", upload.id)
            _end(change, number, upload)
            _remember(change, upload, given, stored, milliseconds(self._kit.now()))
            return stored

        return self._kit.database.change(make)

    def abort(self, upload: Upload) -> None:
        """See `Uploads`."""

        def make(change: Change) -> None:
            if (number := _under_way(change, upload)) is None:
                raise NoSuchUpload(UploadId=upload.id)
            forget(change, upload.id)
            change.run(
                "DELETE FROM uploads WHERE bucket = ? AND key = ? AND id = ?",
                *(number, key_bytes(upload.key), upload.id),
            )

        self._kit.database.change(make, frees=True)

    def uploads(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: tuple[str, str] = ("", ""),
        most: int = 1000,
    ) -> UploadsPage:
        """See `Uploads`."""
        after_key, after_id = text_bytes(after[0]), after[1]
        with self._kit.database.reading() as connection:
            connection.execute("BEGIN")
            number = bucket_number(connection, bucket)

            def cursor(place: bytes) -> Iterator[tuple[bytes, tuple[object, ...]]]:
                """Of the key that the page before ended with, the uploads behind that one."""
                where, values = "key >= ?", cast("tuple[object, ...]", (place,))
                if after_id and place <= after_key:
                    where, values = "(key, id) > (?, ?)", (after_key, after_id)
                wanted = f"SELECT {UPLOAD} FROM uploads WHERE bucket = ? AND {where}"
                found = connection.execute(f"{wanted} ORDER BY key, id", (number, *values))
                return ((row[0], row) for row in found)

            cut = listing.page(
                cursor,
                prefix=text_bytes(prefix),
                delimiter=text_bytes(delimiter),
                after=b"" if after_id else after_key,
                most=most,
            )
        told = tuple(upload_row(bucket, number, row) for row in cut.rows)
        last = cut.last.decode()
        last_id = told[-1].id if told and told[-1].key == last else ""
        prefixes = tuple(each.decode() for each in cut.prefixes)
        return UploadsPage(told, prefixes, cut.truncated, last, last_id)

    def expire_uploads(self, before: float) -> int:
        """See `Uploads`."""

        def make(change: Change) -> int:
            old = change.all(
                "SELECT bucket, key, id FROM uploads WHERE began < ? LIMIT ?",
                *(milliseconds(before), FORGOTTEN_AT_ONCE),
            )
            for row in old:
                forget(change, row[2])
                change.run("DELETE FROM uploads WHERE bucket = ? AND key = ? AND id = ?", *row)
            change.run("DELETE FROM completed WHERE at < ?", milliseconds(before))
            return len(old)

        expired = 0
        while some := self._kit.database.change(make, frees=True):
            expired += some
        return expired

    def _put(self, change: Change, upload: Upload, part: PartOf, slices: Sequence[Slice]) -> None:
        """Have this as the part of its number, and no more what was there."""
        there = change.one(f"{_PARTS} AND number = ?", upload.id, part.number)
        kept = milliseconds(self._kit.now())
        values = (
            *(part.number, part.size, part.etag, encode((part.checksum,)), kept),
            encode(slices),
        )
        change.run(
            f"INSERT OR REPLACE INTO parts (upload, {PART}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(upload.id, *values, seal_of("parts", "seal", (upload.id, *values))),
        )
        if there is not None:
            content.release_slices(change, slices_in(part_row(upload.id, there).slices))


def forget(change: Change, upload_id: str) -> None:
    """Have the parts of an upload no more; its own row is the caller's to delete."""
    for row in change.all(_PARTS, upload_id):
        content.release_slices(change, slices_in(part_row(upload_id, row).slices))
    change.run("DELETE FROM parts WHERE upload = ?", upload_id)
    change.uploads -= 1


def _under_way(change: Change, upload: Upload) -> int | None:
    """The number of an upload's bucket, as long as the upload is under way."""
    found = change.one(
        "SELECT bucket FROM uploads JOIN buckets ON bucket = buckets.number "
        "WHERE name = ? AND key = ? AND id = ?",
        *(upload.bucket, key_bytes(upload.key), upload.id),
    )
    return None if found is None else int(found[0])


def _check_under_way(change: Change, upload: Upload) -> None:
    if _under_way(change, upload) is None:
        raise NoSuchUpload(UploadId=upload.id)


def _end(change: Change, bucket: int, upload: Upload) -> None:
    change.run(
        "DELETE FROM uploads WHERE bucket = ? AND key = ? AND id = ?",
        *(bucket, key_bytes(upload.key), upload.id),
    )
    change.uploads -= 1


def _completed(upload: Upload, named: Sequence[PartRow], stated: Checksum | None) -> StoredObject:
    """The object that these parts make. Raises BadDigest."""
    etag = digests.multipart_etag([row.etag for row in named])
    checksum = _checksum(upload, named)
    if stated is not None and not _agree(stated, checksum):
        raise BadDigest(
            f"The {stated.algorithm.lower()} you specified did not match the calculated checksum."
        )
    return StoredObject(
        upload.bucket,
        upload.key,
        sum(row.size for row in named),
        upload.began_at,
        replace(upload.attributes, etag=etag, checksum=checksum),
        tuple(row.told() for row in named),
    )


def _checksum(upload: Upload, named: Sequence[PartRow]) -> Checksum | None:
    """Of the whole, if every part has one of the upload's algorithm; of an upload that said none,
    of the one that S3 has for everything."""
    algorithm = upload.checksum_algorithm or DEFAULT
    sums = [each for row in named if (each := row.checksum) and each.algorithm == algorithm]
    if len(sums) < len(named):
        return None
    if upload.checksum_type == digests.COMPOSITE:
        return Checksum(algorithm, digests.composite(algorithm, (s.value for s in sums)), True)
    sizes = (row.size for row in named)
    values = zip((each.value for each in sums), sizes, strict=True)
    return Checksum(algorithm, digests.full_object(algorithm, values))


def _agree(stated: Checksum, computed: Checksum | None) -> bool:
    """A composite one may be stated without the number of its parts."""
    if computed is None or stated.algorithm != computed.algorithm:
        return False
    return stated.value in (computed.value, computed.value.partition("-")[0])


def _remember(
    change: Change,
    upload: Upload,
    given: Sequence[PartGiven],
    stored: StoredObject,
    at: int,
) -> None:
    values = (upload.id, at, encode(upload), given_digest(given), encode(stored))
    change.run(
        "INSERT INTO completed (id, at, upload, given, answer, seal) VALUES (?, ?, ?, ?, ?, ?)",
        *(*values, seal_of("completed", "seal", values)),
    )


def _answered(change: Change, upload: Upload, given: Sequence[PartGiven]) -> StoredObject:
    """What was answered when it was completed with these parts. Raises NoSuchUpload."""
    row = change.one(
        "SELECT id, at, upload, given, answer, seal FROM completed WHERE id = ?", upload.id
    )
    if row is None:
        if change.one("SELECT 1 FROM buckets WHERE name = ?", upload.bucket) is None:
            raise NoSuchBucket(BucketName=upload.bucket)
        raise NoSuchUpload(UploadId=upload.id)
    if seal_of("completed", "seal", row[:-1]) != row[-1]:
        raise ObjectDamaged("completed", upload.id)
    if row[3] != given_digest(given):
        raise NoSuchUpload(UploadId=upload.id)
    return stored_in(row[4])
