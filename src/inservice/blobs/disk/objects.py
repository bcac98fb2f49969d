"""Objects: what is under a key, kept, read, copied, deleted, listed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from inservice.blobs.base import (
    ANY_STATE,
    Attributes,
    Conditions,
    Incoming,
    Page,
    PartOf,
    Reading,
    StoredObject,
)
from inservice.blobs.disk import content, manifests
from inservice.blobs.disk.arriving import Arriving
from inservice.blobs.disk.database import Change
from inservice.blobs.disk.kit import Kit, bucket_number
from inservice.blobs.disk.reading import DiskReading
from inservice.blobs.disk.rows import (
    OBJECT,
    ObjectRow,
    attributes_in,
    encode,
    milliseconds,
    object_row,
    object_seal,
)
from inservice.blobs.errors import ObjectDamaged
from inservice.objects import listing
from inservice.objects.conditions import judge_write
from inservice.objects.names import key_bytes, text_bytes
from inservice.s3_errors import NoSuchKey

_ONE = f"SELECT {OBJECT} FROM objects WHERE bucket = ? AND key = ?"
_IN_RECORD = f"""
    SELECT o.bucket, {", ".join(f"o.{name}" for name in OBJECT.split(", "))},
        d.number, d.size, d.body, d.seal
    FROM objects o JOIN data d ON d.number = o.data
    WHERE o.bucket = (SELECT number FROM buckets WHERE name = ?) AND o.key = ?
        AND d.body IS NOT NULL"""
_FROM = f"SELECT {OBJECT} FROM objects WHERE bucket = ? AND key >= ? ORDER BY key"

_NOTHING = encode(Attributes(""))

_log = logging.getLogger(__name__)


class DiskObjects:
    """`blobs.base.Objects`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def keep(
        self,
        bucket: str,
        key: str,
        data: Incoming,
        attributes: Attributes,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """See `Objects`. What is refused is discarded."""
        assert isinstance(data, Arriving)
        try:
            name, arrived = key_bytes(key), data.arrive()

            def make(change: Change) -> StoredObject:
                number = bucket_number(change.connection, bucket)
                there = replaced(change.connection, number, name, when)
                judge_write(when, key, state(there))
                modified = milliseconds(self._kit.now())
                kept = content.add(change, arrived)
                row = ObjectRow(name, arrived.size, modified, kept, None, encode(attributes), "")
                put(change, number, row, there)
                return StoredObject(bucket, key, arrived.size, modified / 1000, attributes)

            stored = self._kit.database.change(make)
        except BaseException:
            data.discard()
            raise
        data.kept()
        return stored

    def stored(self, bucket: str, key: str) -> StoredObject:
        """See `Objects`."""
        with self._kit.database.reading() as connection:
            connection.execute("BEGIN")
            row = self._there(connection, bucket, key)
            return row.told(bucket, self._parts_of(connection, row))

    def read(self, bucket: str, key: str) -> Reading:
        """See `Objects`."""
        if (small := self._in_record(bucket, key)) is not None:
            return small
        while True:
            with self._kit.database.reading() as connection:
                connection.execute("BEGIN")
                row = self._there(connection, bucket, key)
                reading = self._reading(connection, bucket, row)
            try:
                if self._is_held(row, reading):
                    return reading
            except BaseException:
                reading.close()
                raise
            reading.close()

    def delete(self, bucket: str, keys: Iterable[str], when: Conditions = ANY_STATE) -> None:
        """See `Objects`."""
        names = [key_bytes(key) for key in keys]

        def make(change: Change) -> None:
            number = bucket_number(change.connection, bucket)
            there = {name: replaced(change.connection, number, name, when) for name in names}
            for name, row in there.items():
                judge_write(when, name.decode(), state(row))
            for row in filter(None, there.values()):
                change.run("DELETE FROM objects WHERE bucket = ? AND key = ?", number, row.key)
                content.release(change, row)
                change.objects -= 1

        self._kit.database.change(make, frees=True)

    def copy(
        self,
        source: StoredObject,
        bucket: str,
        key: str,
        attributes: Attributes,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """See `Objects`."""
        name = key_bytes(key)

        def make(change: Change) -> StoredObject:
            original = same(change.connection, source)
            number = bucket_number(change.connection, bucket)
            there = replaced(change.connection, number, name, when)
            judge_write(when, key, state(there))
            modified = milliseconds(self._kit.now())
            kept = original._replace(key=name, modified=modified, attributes=encode(attributes))
            content.take(change, kept)
            put(change, number, kept, there)
            return kept.told(bucket, self._parts_of(change.connection, kept))

        return self._kit.database.change(make)

    def set_tags(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """See `Objects`."""
        name = key_bytes(key)

        def make(change: Change) -> None:
            number = bucket_number(change.connection, bucket)
            row = found(change.connection, number, name)
            if row is None:
                raise NoSuchKey(Key=key)
            attributes = replace(attributes_in(row.attributes), tags=dict(tags))
            write(change, number, row._replace(attributes=encode(attributes)))

        self._kit.database.change(make, frees=not tags)

    def page(
        self, bucket: str, prefix: str = "", delimiter: str = "", after: str = "", most: int = 1000
    ) -> Page:
        """See `Objects`."""
        asked = {
            "prefix": text_bytes(prefix),
            "delimiter": text_bytes(delimiter),
            "after": text_bytes(after),
        }
        with self._kit.database.reading() as connection:
            connection.execute("BEGIN")
            number = bucket_number(connection, bucket)

            def cursor(place: bytes) -> Iterator[tuple[bytes, tuple[object, ...]]]:
                return ((row[0], row) for row in connection.execute(_FROM, (number, place)))

            cut = listing.page(cursor, most=most, **asked)
        objects = tuple(object_row(number, row).told(bucket) for row in cut.rows)
        prefixes = tuple(each.decode() for each in cut.prefixes)
        return Page(objects, prefixes, cut.truncated, cut.last.decode())

    def _in_record(self, bucket: str, key: str) -> Reading | None:
        """An object whose data is in its record, as most are that are asked for often: one
        statement finds it, and no file has to be held."""
        with self._kit.database.reading() as connection:
            found = connection.execute(_IN_RECORD, (bucket, key_bytes(key))).fetchone()
        if found is None:
            return None
        number, data = found[0], found[-4]
        row = object_row(number, found[1:-4])
        _, body = manifests.checked_data(data, found[-3:])
        assert body is not None
        made = manifests.of_one(data, row.size, in_file=False)
        return DiskReading(row.told(bucket), made, {data: body}, self._kit.files, None)

    def _there(self, connection: sqlite3.Connection, bucket: str, key: str) -> ObjectRow:
        row = found(connection, bucket_number(connection, bucket), key_bytes(key))
        if row is None:
            raise NoSuchKey(Key=key)
        return row

    def _reading(self, connection: sqlite3.Connection, bucket: str, row: ObjectRow) -> DiskReading:
        """Its files are pinned, and may be gone already."""
        bodies: dict[int, bytes] = {}
        if row.data is not None:
            _, body = manifests.data(connection, row.data)
            made = manifests.of_one(row.data, row.size, in_file=body is None)
            if body is not None:
                bodies[row.data] = body
        else:
            made = self._kit.manifests.read(connection, row.manifest)
            for number in made.in_records:
                bodies[number] = manifests.data(connection, number)[1] or b""
        stored = row.told(bucket, made.parts if _is_in_parts(row) else ())
        whole = None if made.whole is None else self._kit.files.path(made.whole)
        self._kit.files.pin(made.in_files)
        return DiskReading(stored, made, bodies, self._kit.files, whole)

    def _is_held(self, row: ObjectRow, reading: DiskReading) -> bool:
        """Whether the pin came in time. What has a record after it has its files until it ends;
        what has none may have lost them in between, and somebody else's object is there now."""
        if not reading.made.in_files:
            return True
        table, number = ("data", row.data) if row.data else ("manifests", row.manifest)
        with self._kit.database.reading() as connection:
            wanted = f"SELECT 1 FROM {table} WHERE number = ?"
            if connection.execute(wanted, (number,)).fetchone() is None:
                return False
        try:
            reading.open_first()
        except FileNotFoundError as gone:
            raise ObjectDamaged("data", gone.filename) from gone
        return True

    def _parts_of(self, connection: sqlite3.Connection, row: ObjectRow) -> tuple[PartOf, ...]:
        if row.manifest is None or not _is_in_parts(row):
            return ()
        return self._kit.manifests.read(connection, row.manifest).parts


def found(connection: sqlite3.Connection, bucket: int, key: bytes) -> ObjectRow | None:
    """What is under a key now. Raises ObjectDamaged."""
    row = connection.execute(_ONE, (bucket, key)).fetchone()
    return None if row is None else object_row(bucket, row)


def replaced(
    connection: sqlite3.Connection, bucket: int, key: bytes, when: Conditions
) -> ObjectRow | None:
    """What is under a key and may go. Nothing is believed of a row that is damaged, but that it may
    be replaced, else it would be there for ever: what it needed stays. Raises ObjectDamaged where a
    condition asks for what it was."""
    try:
        return found(connection, bucket, key)
    except ObjectDamaged as damaged:
        if when != ANY_STATE:
            raise
        _log.error("%s It is replaced or removed.", damaged)
        return ObjectRow(key, 0, 0, None, None, _NOTHING, "")


def same(connection: sqlite3.Connection, source: StoredObject) -> ObjectRow:
    """The row of an object that was just read. Raises NoSuchKey if it is another by now."""
    number = bucket_number(connection, source.bucket)
    row = found(connection, number, key_bytes(source.key))
    if row is None or (row.size, row.modified) != (source.size, milliseconds(source.modified_at)):
        raise NoSuchKey(Key=source.key)
    if attributes_in(row.attributes).etag != source.attributes.etag:
        raise NoSuchKey(Key=source.key)
    return row


def put(change: Change, bucket: int, row: ObjectRow, there: ObjectRow | None) -> None:
    """Have this under its key, and no more what was there."""
    write(change, bucket, row)
    if there is None:
        change.objects += 1
    else:
        content.release(change, there)


def write(change: Change, bucket: int, row: ObjectRow) -> None:
    """Write a row, sealed."""
    change.run(
        f"INSERT OR REPLACE INTO objects (bucket, {OBJECT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *(bucket, *row[:-1], object_seal(bucket, *row[:-1])),
    )


def state(row: ObjectRow | None) -> tuple[str, float] | None:
    """What conditions are about."""
    return None if row is None else (attributes_in(row.attributes).etag, row.modified / 1000)


def _is_in_parts(row: ObjectRow) -> bool:
    """What was copied out of parts under an ETag of its own is not."""
    return "-" in attributes_in(row.attributes).etag
