"""What others see of the embedded objects: buckets, objects, uploads in parts.

Every method blocks: call them in threads. What is refused is an `AwsError` with S3's code. What is
acknowledged is durable: its data and its record outlive `kill -9` and a loss of power.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket. Names are unique on the server, as on AWS they are in a partition."""

    name: str
    account: str
    region: str
    created_at: float  # epoch seconds
    settings: Mapping[str, bytes] = field(default_factory=dict)
    """Documents that were put, as they came, by what they are: "policy", "cors", "tagging", …"""


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum that is kept with an object or a part."""

    algorithm: str  # CRC32 | CRC32C | CRC64NVME | SHA1 | SHA256
    value: str  # base64; of a composite one with its "-<parts>"
    composite: bool = False


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is kept of an object beside its data."""

    etag: str  # hex, of a multipart upload with its "-<parts>"; without quotes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Content-Type, Cache-Control, Content-Disposition, Content-Encoding, Content-Language,
    Expires, x-amz-storage-class, x-amz-server-side-encryption, …: said back as they were sent."""
    metadata: Mapping[str, str] = field(default_factory=dict)  # x-amz-meta-, keys in lower case
    tags: Mapping[str, str] = field(default_factory=dict)
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class PartOf:
    """One part of an object that came in parts, for GetObject by partNumber and
    GetObjectAttributes."""

    number: int
    size: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it is now."""

    bucket: str
    key: str
    size: int
    modified_at: float  # epoch seconds, to the millisecond
    attributes: Attributes
    parts: tuple[PartOf, ...] = ()
    """Of one that came in parts; a listing leaves them out."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What has to hold of the object that is there, judged in the transaction that changes it."""

    if_match: str | None = None  # an ETag, or *
    if_none_match: str | None = None
    if_modified_since: float | None = None
    if_unmodified_since: float | None = None


ANY_STATE = Conditions()
"""Whatever is there."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing: keys, and prefixes up to the delimiter, each in the order of UTF-8."""

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: str  # the last key or prefix of this page: where the next one starts after; "" if empty


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is under way."""

    id: str
    bucket: str
    key: str
    began_at: float
    attributes: Attributes  # its ETag is empty
    checksum_algorithm: str | None = None
    checksum_type: str = "COMPOSITE"  # or FULL_OBJECT


@dataclass(frozen=True, slots=True)
class PartGiven:
    """A part as CompleteMultipartUpload names it."""

    number: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """A page of the uploads under way in a bucket."""

    uploads: tuple[Upload, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last_key: str
    last_id: str


class Incoming(Protocol):
    """Data on its way in: invisible until it is kept, gone if it is not."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        ...

    def write(self, data: bytes | memoryview) -> None:
        """Add to it. Raises AwsError: QuotaExceeded, InsufficientStorage (a full disk); then it is
        discarded."""
        ...

    def discard(self) -> None:
        """Forget it. May be called at any time, also after it was kept: then it does nothing."""
        ...


class Reading(Protocol):
    """An object that is being read. It stays what it was, whatever happens to its key meanwhile."""

    @property
    def stored(self) -> StoredObject:
        """What is read."""
        ...

    def chunks(self, start: int, length: int, size: int = 256 * 1024) -> Iterator[bytes]:
        """So many bytes from `start`, in chunks of at most `size`. Raises OSError."""
        ...

    def path(self) -> Path | None:
        """The file that holds all of the data and nothing else, for who reads it in place or links
        it; None for an object that is kept in another way. It is never written to again."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Buckets(Protocol):
    """The half that is about buckets."""

    def create_bucket(self, bucket: Bucket) -> bool:
        """Make it, with its settings; False if the account has it already. Raises
        BucketAlreadyExists (another account's), TooManyBuckets, InvalidBucketName."""
        ...

    def bucket(self, name: str) -> Bucket:
        """Raises NoSuchBucket."""
        ...

    def buckets(self, account: str, prefix: str = "", after: str = "") -> Sequence[Bucket]:
        """An account's, by name."""
        ...

    def delete_bucket(self, name: str) -> None:
        """Raises NoSuchBucket, BucketNotEmpty."""
        ...

    def set_bucket(self, name: str, setting: str, document: bytes | None) -> None:
        """Keep a setting, or with None have it no more. Raises NoSuchBucket."""
        ...


class Objects(Protocol):
    """The half that is about objects."""

    def incoming(self, bucket: str) -> Incoming:
        """Begin to take data for a bucket. Raises NoSuchBucket."""
        ...

    def keep(
        self,
        bucket: str,
        key: str,
        data: Incoming,
        attributes: Attributes,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """Make it the object, in the place of what was there. Raises NoSuchBucket,
        PreconditionFailed, NoSuchKey (`when` wants one to match, and there is none)."""
        ...

    def stored(self, bucket: str, key: str) -> StoredObject:
        """Raises NoSuchBucket, NoSuchKey."""
        ...

    def read(self, bucket: str, key: str) -> Reading:
        """Raises NoSuchBucket, NoSuchKey."""
        ...

    def delete(self, bucket: str, keys: Iterable[str], when: Conditions = ANY_STATE) -> None:
        """Have them no more; of one that is not there nothing is said, unless `when` asks for
        something. Raises NoSuchBucket, PreconditionFailed, NoSuchKey (`when`
        wants one to match, and there is none)."""
        ...

    def copy(
        self,
        source: StoredObject,
        bucket: str,
        key: str,
        attributes: Attributes,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """The same data under another key, without moving a byte. `source` was just read: raises
        NoSuchKey if it has been replaced since, and what `keep` does."""
        ...

    def set_tags(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Raises NoSuchBucket, NoSuchKey."""
        ...

    def page(
        self, bucket: str, prefix: str = "", delimiter: str = "", after: str = "", most: int = 1000
    ) -> Page:
        """Costs the page, however large the bucket is. Raises NoSuchBucket."""
        ...


class Uploads(Protocol):
    """The half that is about uploads in parts."""

    def begin_upload(
        self,
        bucket: str,
        key: str,
        attributes: Attributes,
        checksum_algorithm: str | None,
        checksum_type: str,
    ) -> Upload:
        """Raises NoSuchBucket."""
        ...

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """One that is under way, or was completed lately: what needs one under way says so itself.
        Raises NoSuchBucket, NoSuchUpload."""
        ...

    def keep_part(self, upload: Upload, part: PartOf, data: Incoming) -> None:
        """Keep a part, in the place of one with its number; its size is that of the data. Raises
        NoSuchUpload, InvalidArgument (its number), EntityTooLarge."""
        ...

    def copy_part(
        self, upload: Upload, part: PartOf, source: StoredObject, start: int, length: int
    ) -> None:
        """A part out of an object's data, without moving a byte. `source` was just read: raises
        NoSuchKey if it has been replaced since, NoSuchUpload, and InvalidRange, InvalidArgument,
        EntityTooLarge."""
        ...

    def parts(
        self, upload: Upload, after: int = 0, most: int = 1000
    ) -> tuple[Sequence[tuple[PartOf, float]], bool]:
        """Parts after that number, each with when it was kept, and whether there are more. Raises
        NoSuchUpload."""
        ...

    def complete(
        self,
        upload: Upload,
        given: Sequence[PartGiven],
        checksum: Checksum | None,
        when: Conditions = ANY_STATE,
    ) -> StoredObject:
        """Make the parts the object. Completing again, with the same parts, what was completed is
        answered as it was. Raises NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall,
        PreconditionFailed, BadDigest (`checksum`, which the client gave, is another)."""
        ...

    def abort(self, upload: Upload) -> None:
        """Forget it with its parts. Raises NoSuchUpload."""
        ...

    def uploads(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: tuple[str, str] = ("", ""),
        most: int = 1000,
    ) -> UploadsPage:
        """After a key and an upload's id. Raises NoSuchBucket."""
        ...

    def expire_uploads(self, before: float) -> int:
        """Forget uploads that began before then (epoch seconds), with their parts, and what is
        remembered of those that were completed; how many were under way."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds."""

    buckets: int
    objects: int
    bytes: int  # of objects and of parts; once, however many share them
    uploads: int


class Blobs(Buckets, Objects, Uploads, Protocol):
    """All of it."""

    def usage(self) -> Usage:
        """Costs the same however much there is."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
