"""Objects in memory: what `blobs.base` asks for, without a disk. Held to the same contract as the
store on the disk, and a second opinion on it: the rules are those of `objects`, the bookkeeping is
dictionaries."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from inservice.blobs.base import (
    ANY_STATE,
    Attributes,
    Bucket,
    Checksum,
    Conditions,
    Incoming,
    Page,
    PartGiven,
    PartOf,
    StoredObject,
    Upload,
    UploadsPage,
    Usage,
)
from inservice.objects import digests, listing
from inservice.objects.conditions import judge_write
from inservice.objects.names import check_bucket_name, key_bytes, text_bytes
from inservice.objects.parts import chosen
from inservice.s3_errors import (
    BadDigest,
    BucketAlreadyExists,
    BucketNotEmpty,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
)

Data = tuple[memoryview, ...]
"""Of an object or a part: views of bytes, which several may share."""


class MemoryIncoming:
    """Data on its way in."""

    def __init__(self) -> None:
        self._written: bytearray | None = bytearray()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """Add to it. Raises ValueError if it was discarded or kept."""
        if self._written is None:
            raise ValueError("no more is taken")
        self._written += data
        self._size += len(data)

    def taken(self) -> Data:
        """All of it, which is no more on its way."""
        data = (memoryview(bytes(self._written or b"")),)
        self._written = None
        return data

    def discard(self) -> None:
        """Forget it."""
        self._written = None


def cut(data: Data, start: int, length: int) -> Data:
    """A stretch of it."""
    views, left = [], length
    for view in data:
        if start < len(view) and left:
            views.append(view[start : start + left])
            left -= len(views[-1])
        start = max(0, start - len(view))
    return tuple(views)


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """An object that is being read."""

    stored: StoredObject
    data: Data

    def chunks(self, start: int, length: int, size: int = 256 * 1024) -> Iterator[bytes]:
        """So many bytes from `start`."""
        whole = b"".join(cut(self.data, start, length))
        for place in range(0, len(whole), size):
            yield whole[place : place + size]

    def path(self) -> Path | None:
        """It is in no file."""
        return None

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _Under:
    """An upload under way, or done."""

    upload: Upload
    parts: dict[int, tuple[PartOf, Data, float]] = field(default_factory=dict)
    done: StoredObject | None = None
    given: tuple[PartGiven, ...] = ()  # of one that is done


@dataclass(slots=True)
class _Held:
    """A bucket with what is in it."""

    bucket: Bucket
    objects: dict[bytes, tuple[StoredObject, Data]] = field(default_factory=dict)
    uploads: dict[str, _Under] = field(default_factory=dict)


class MemoryBlobs:
    """All of `blobs.base.Blobs`. `now` tells the time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._clock = now
        self._held: dict[str, _Held] = {}
        self._lock = threading.RLock()
        self._ids = itertools.count(1)

    # ── buckets ──────────────────────────────────────────────────────────────────────────────────

    def create_bucket(self, bucket: Bucket) -> bool:
        """See `Buckets`."""
        check_bucket_name(bucket.name)
        with self._lock:
            held = self._held.get(bucket.name)
            if held is None:
                self._held[bucket.name] = _Held(bucket)
                return True
            if held.bucket.account != bucket.account:
                raise BucketAlreadyExists(BucketName=bucket.name)
            return False

    def bucket(self, name: str) -> Bucket:
        """See `Buckets`."""
        return self._of(name).bucket

    def buckets(self, account: str, prefix: str = "", after: str = "") -> Sequence[Bucket]:
        """See `Buckets`."""
        return [
            self._held[name].bucket
            for name in sorted(self._held)
            if name.startswith(prefix) and name > after
            if self._held[name].bucket.account == account
        ]

    def delete_bucket(self, name: str) -> None:
        """See `Buckets`."""
        with self._lock:
            if self._of(name).objects:
                raise BucketNotEmpty(BucketName=name)
            del self._held[name]

    def set_bucket(self, name: str, setting: str, document: bytes | None) -> None:
        """See `Buckets`."""
        with self._lock:
            held = self._of(name)
            settings = {k: v for k, v in held.bucket.settings.items() if k != setting}
            if document is not None:
                settings[setting] = document
            held.bucket = replace(held.bucket, settings=settings)

    # ── objects ──────────────────────────────────────────────────────────────────────────────────

    def incoming(self, bucket: str) -> Incoming:
        """See `Objects`."""
        self._of(bucket)
        return MemoryIncoming()

    def keep(
        self,
        bucket: str,
        key: str,
        data: Incoming,
        attributes: Attributes,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """See `Objects`."""
        assert isinstance(data, MemoryIncoming)
        return self._put(bucket, key, data.taken(), attributes, when)

    def stored(self, bucket: str, key: str) -> StoredObject:
        """See `Objects`."""
        return self._object(bucket, key)[0]

    def read(self, bucket: str, key: str) -> MemoryReading:
        """See `Objects`."""
        return MemoryReading(*self._object(bucket, key))

    def delete(self, bucket: str, keys: Iterable[str], when: Conditions = ANY_STATE) -> None:
        """See `Objects`."""
        with self._lock:
            objects = self._of(bucket).objects
            names = [key_bytes(key) for key in keys]
            for name in names:
                judge_write(when, name.decode(), _there(objects.get(name)))
            for name in names:
                objects.pop(name, None)

    def copy(
        self,
        source: StoredObject,
        bucket: str,
        key: str,
        attributes: Attributes,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """See `Objects`."""
        with self._lock:
            stored, data = self._object(source.bucket, source.key)
            if stored != source:
                raise NoSuchKey(Key=source.key)
            parts = source.parts if "-" in attributes.etag else ()
            return self._put(bucket, key, data, attributes, when, parts)

    def set_tags(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """See `Objects`."""
        with self._lock:
            stored, data = self._object(bucket, key)
            tagged = replace(stored.attributes, tags=dict(tags))
            self._of(bucket).objects[key.encode()] = (replace(stored, attributes=tagged), data)

    def page(
        self, bucket: str, prefix: str = "", delimiter: str = "", after: str = "", most: int = 1000
    ) -> Page:
        """See `Objects`."""
        objects = self._of(bucket).objects
        keys = sorted(objects)

        def cursor(place: bytes) -> Iterator[tuple[bytes, StoredObject]]:
            return ((key, objects[key][0]) for key in keys if key >= place)

        cut = listing.page(
            cursor,
            prefix=text_bytes(prefix),
            delimiter=text_bytes(delimiter),
            after=text_bytes(after),
            most=most,
        )
        rows = tuple(replace(row, parts=()) for row in cut.rows)
        prefixes = tuple(each.decode() for each in cut.prefixes)
        return Page(rows, prefixes, cut.truncated, cut.last.decode())

    # ── uploads ──────────────────────────────────────────────────────────────────────────────────

    def begin_upload(
        self,
        bucket: str,
        key: str,
        attributes: Attributes,
        checksum_algorithm: str | None,
        checksum_type: str,
    ) -> Upload:
        """See `Uploads`."""
        key_bytes(key)
        with self._lock:
            upload = Upload(
                f"upload-{next(self._ids):06}",
                bucket,
                key,
                self._now(),
                attributes,
                checksum_algorithm,
                checksum_type,
            )
            self._of(bucket).uploads[upload.id] = _Under(upload)
        return upload

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """See `Uploads`."""
        under = self._of(bucket).uploads.get(upload_id)
        if under is None or under.upload.key != key:
            raise NoSuchUpload(UploadId=upload_id)
        return under.upload

    def keep_part(self, upload: Upload, part: PartOf, data: Incoming) -> None:
        """See `Uploads`."""
        assert isinstance(data, MemoryIncoming)
        with self._lock:
            self._under(upload).parts[part.number] = (part, data.taken(), self._now())

    def copy_part(
        self, upload: Upload, part: PartOf, source: StoredObject, start: int, length: int
    ) -> None:
        """See `Uploads`."""
        if start < 0 or start + length > source.size:
            raise InvalidRange(RangeRequested=f"{start}+{length}", ActualObjectSize=source.size)
        with self._lock:
            stored, data = self._object(source.bucket, source.key)
            if stored != source:
                raise NoSuchKey(Key=source.key)
            taken = cut(data, start, length)
            self._under(upload).parts[part.number] = (part, taken, self._now())

    def parts(
        self, upload: Upload, after: int = 0, most: int = 1000
    ) -> tuple[Sequence[tuple[PartOf, float]], bool]:
        """See `Uploads`."""
        parts = self._under(upload).parts
        numbers = [number for number in sorted(parts) if number > after]
        page = [(parts[number][0], parts[number][2]) for number in numbers[:most]]
        return page, len(numbers) > most

    def complete(
        self,
        upload: Upload,
        given: Sequence[PartGiven],
        checksum: Checksum | None,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """See `Uploads`."""
        with self._lock:
            under = self._of(upload.bucket).uploads.get(upload.id)
            if under is None:
                raise NoSuchUpload(UploadId=upload.id)
            if under.done is not None:
                if under.given != tuple(given):
                    raise NoSuchUpload(UploadId=upload.id)
                return under.done
            came = {number: part for number, (part, _, _) in under.parts.items()}
            parts = chosen(upload.id, given, came)
            whole = _checksum(upload, parts)
            if checksum is not None and (whole is None or not _agree(checksum, whole)):
                raise BadDigest(
                    f"The {checksum.algorithm.lower()} you specified did not match the calculated "
                    "checksum."
                )
            attributes = replace(
                upload.attributes,
                etag=digests.multipart_etag([part.etag for part in parts]),
                checksum=whole,
            )
            data = tuple(view for part in parts for view in under.parts[part.number][1])
            bucket, key = upload.bucket, upload.key
            under.given = tuple(given)
            under.done = self._put(
                bucket, key, data, attributes, when, tuple(parts), upload.began_at
            )
            return under.done

    def abort(self, upload: Upload) -> None:
        """See `Uploads`."""
        with self._lock:
            self._under(upload)
            del self._of(upload.bucket).uploads[upload.id]

    def uploads(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: tuple[str, str] = ("", ""),
        most: int = 1000,
    ) -> UploadsPage:
        """See `Uploads`."""
        found: list[Upload] = []
        prefixes: list[str] = []
        last = ("", "")
        under = [each.upload for each in self._of(bucket).uploads.values() if each.done is None]
        for upload in sorted(under, key=lambda each: (each.key.encode(), each.id)):
            is_later = upload.key > after[0] or (
                upload.key == after[0] and after[1] and upload.id > after[1]
            )
            if not upload.key.startswith(prefix) or not is_later:
                continue
            rolled = listing.rolled_up(upload.key.encode(), prefix.encode(), delimiter.encode())
            common = rolled.decode()
            if common and (common in prefixes or common <= after[0]):
                continue
            if len(found) + len(prefixes) == most:
                return UploadsPage(tuple(found), tuple(prefixes), True, *last)
            if common:
                prefixes.append(common)
                last = (common, "")
            else:
                found.append(upload)
                last = (upload.key, upload.id)
        return UploadsPage(tuple(found), tuple(prefixes), False, *last)

    def expire_uploads(self, before: float) -> int:
        """See `Uploads`."""
        with self._lock:
            old = [
                (held, each)
                for held in self._held.values()
                for each in held.uploads.values()
                if each.upload.began_at < before
            ]
            for held, each in old:
                del held.uploads[each.upload.id]
            return sum(each.done is None for _, each in old)

    # ── all of it ────────────────────────────────────────────────────────────────────────────────

    def usage(self) -> Usage:
        """See `Blobs`."""
        held = list(self._held.values())
        under = [each for one in held for each in one.uploads.values() if each.done is None]
        views = [view for one in held for _, data in one.objects.values() for view in data]
        views += [view for each in under for _, data, _ in each.parts.values() for view in data]
        shared = {id(view.obj): len(view.obj) for view in views}  # type: ignore[arg-type]
        count = sum(len(one.objects) for one in held)
        return Usage(len(held), count, sum(shared.values()), len(under))

    def close(self) -> None:
        """Nothing is held."""

    def _now(self) -> float:
        """To the millisecond, as records have it."""
        return math.floor(self._clock() * 1000) / 1000

    def _of(self, bucket: str) -> _Held:
        held = self._held.get(bucket)
        if held is None:
            raise NoSuchBucket(BucketName=bucket)
        return held

    def _object(self, bucket: str, key: str) -> tuple[StoredObject, Data]:
        found = self._of(bucket).objects.get(key_bytes(key))
        if found is None:
            raise NoSuchKey(Key=key)
        return found

    def _under(self, upload: Upload) -> _Under:
        under = self._of(upload.bucket).uploads.get(upload.id)
        if under is None or under.done is not None:
            raise NoSuchUpload(UploadId=upload.id)
        return under

    def _put(
        self,
        bucket: str,
        key: str,
        data: Data,
        attributes: Attributes,
        when: Conditions,
        parts: tuple[PartOf, ...] = (),
        at: float | None = None,
    ) -> StoredObject:
        with self._lock:
            objects, name = self._of(bucket).objects, key_bytes(key)
            judge_write(when, key, _there(objects.get(name)))
            stored = StoredObject(
                bucket, key, sum(map(len, data)), at or self._now(), attributes, parts
            )
            objects[name] = (stored, data)
            return stored


def _there(found: tuple[StoredObject, Data] | None) -> tuple[str, float] | None:
    return None if found is None else (found[0].attributes.etag, found[0].modified_at)


def _agree(one: Checksum, other: Checksum) -> bool:
    """A composite checksum may be said with the number of its parts and without."""
    return one.algorithm == other.algorithm and one.value in (
        other.value,
        other.value.partition("-")[0],
    )


def _checksum(upload: Upload, parts: Sequence[PartOf]) -> Checksum | None:
    algorithm = upload.checksum_algorithm or "CRC64NVME"
    sums = [part.checksum for part in parts]
    values = [each.value for each in sums if each is not None and each.algorithm == algorithm]
    if len(values) != len(parts):
        return None
    if upload.checksum_type == "COMPOSITE":
        return Checksum(algorithm, digests.composite(algorithm, values), composite=True)
    sized = list(zip(values, (part.size for part in parts), strict=True))
    return Checksum(algorithm, digests.full_object(algorithm, sized))
