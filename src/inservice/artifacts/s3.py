"""Artifacts in S3, or in anything that speaks its protocol.

A read is bound to the version that was looked up (`If-Match`) and goes on where it stopped
(`Range`) after a reset, so a large artifact survives a bad connection and never mixes two versions.
Redirects are not followed: a configured endpoint alone is talked to. (Of AWS itself botocore learns
a bucket's region and asks there.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NotConnected
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from inservice.artifacts.errors import (
    ArtifactChanged,
    ArtifactError,
    ArtifactForbidden,
    ArtifactMissing,
    LimitExceeded,
    StorageFailed,
    shown,
)
from inservice.artifacts.gunzip import ByteReader
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.s3_client import OWN_KEY_ADVICE, STALL_SECONDS, Storage
from inservice.artifacts.sources import Item, Listing, Progress, Request, S3Location

FAILURES_MAX = 5
"""Failures in a row without progress. With the usual pauses that is about 6 s of outage; what
lasts longer is better told to the user than waited for."""
PROGRESS_BYTES = 1024 * 1024
"""What must arrive between two failures for them not to be "in a row"."""


_ON_THE_WAY = (HTTPClientError, NotConnected, ResponseParserError)
"""Of botocore's errors, those that another try may mend: the network, or a garbled answer."""


class S3Source:
    """One object, or the objects below one prefix."""

    def __init__(
        self,
        storage: Storage,
        request: Request,
        limits: Limits,
        watch: Watch,
        progress: Progress | None = None,
    ) -> None:
        assert isinstance(request.location, S3Location)
        self._storage = storage
        self._client = storage.client
        self._bucket = request.location.bucket
        self._key = request.location.key
        self._prefix = request.prefix
        self._limits = limits
        self._watch = watch
        self._progress = progress
        self._bytes_in_all = 0
        self._bytes_so_far = 0

    def look(self) -> Listing:
        """One HeadObject, or as many ListObjectsV2 as there are pages."""
        listing = self._look_below() if self._prefix else self._look_at()
        self._bytes_in_all = sum(item.size_bytes for item in listing.objects)
        self._bytes_so_far = 0
        return listing

    @contextmanager
    def open(self, item: Item) -> Iterator[ByteReader]:
        """Read one object. Raises ArtifactChanged if it is not the one that was looked up."""
        reader = _ObjectReader(
            self._storage, self._get, item, self._limits, self._watch, self._arrived
        )
        try:
            yield reader
        finally:
            reader.close()

    def _look_at(self) -> Listing:
        answer = _patiently(
            self._storage,
            self._watch,
            self._limits,
            lambda: self._client.head_object(Bucket=self._bucket, Key=self._key),
        )
        name = self._key.rsplit("/", 1)[-1]
        size = int(answer.get("ContentLength", 0))
        item = Item(self._key, name, size, str(answer.get("ETag", "")))
        return Listing((item,), f"{item.version} {size} {answer.get('LastModified')}")

    def _look_below(self) -> Listing:
        items: list[Item] = []
        token: dict[str, str] = {}
        while True:
            page = _patiently(self._storage, self._watch, self._limits, partial(self._list, token))
            for found in page.get("Contents", ()):
                key, size = str(found.get("Key", "")), int(found.get("Size", -1))
                relative = key.removeprefix(self._key)
                items.append(Item(key, relative, size, str(found.get("ETag", ""))))
            if len(items) > self._limits.entries_max:
                raise LimitExceeded(
                    f"There are more than {self._limits.entries_max:,} objects below the prefix."
                )
            if not page.get("IsTruncated"):
                break
            if not page.get("NextContinuationToken"):
                raise StorageFailed("The storage listed a part and did not say how to go on.")
            token = {"ContinuationToken": page["NextContinuationToken"]}
        if not items:
            raise ArtifactMissing("There is no object below this prefix.")
        digest = hashlib.sha256()
        for item in items:
            digest.update(f"{item.name}\0{item.version}\0{item.size_bytes}\0".encode())
        return Listing(tuple(items), digest.hexdigest())

    def _list(self, token: Mapping[str, str]) -> Any:
        return self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key, **token)

    def _get(self, item: Item, at: int) -> Any:
        """A body that begins at byte `at` of the version that was looked up."""
        parameters: dict[str, str] = {"IfMatch": item.version} if item.version else {}
        if at:
            parameters["Range"] = f"bytes={at}-"
        answer = self._client.get_object(Bucket=self._bucket, Key=item.name, **parameters)
        if item.version and answer.get("ETag", item.version) != item.version:
            answer["Body"].close()
            raise _changed(item)
        stated = answer.get("ContentLength")
        begins = not at or str(answer.get("ContentRange", "")).startswith(f"bytes {at}-")
        if not begins or stated != item.size_bytes - at:
            answer["Body"].close()
            raise StorageFailed(
                f'The storage announced {stated} bytes for "{shown(item.name)}" from byte {at}; '
                f"{item.size_bytes - at} were expected."
            )
        answer["Body"].set_socket_timeout(max(0.1, min(STALL_SECONDS, self._left_seconds())))
        return answer["Body"]

    def _left_seconds(self) -> float:
        return self._watch.remaining_seconds()

    def _arrived(self, size: int) -> None:
        self._bytes_so_far += size
        if self._progress:
            self._progress(self._bytes_so_far, self._bytes_in_all)


class _ObjectReader:
    """The bytes of one version of one object, in order, through dropped connections."""

    def __init__(
        self,
        storage: Storage,
        get: Callable[[Item, int], Any],
        item: Item,
        limits: Limits,
        watch: Watch,
        arrived: Callable[[int], None],
    ) -> None:
        self._storage = storage
        self._get = get
        self._item = item
        self._limits = limits
        self._watch = watch
        self._arrived = arrived
        self._at = 0
        self._failed_at = 0
        self._failures = 0
        self._body: Any = None

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, as soon as any are there; b"" only at the object's end."""
        while left := self._item.size_bytes - self._at:
            self._watch.check()
            try:
                piece = self._read_some(min(size, left))
            except ClientError as error:
                self._go_on_after(_meaning(error, self._item, self._storage), error)
            except (BotoCoreError, HTTPError, OSError, ResponseParserError) as error:
                self._go_on_after(_meaning(error, self._item, self._storage), error)
            except StorageFailed as error:
                self._go_on_after(error, error)
            else:
                if piece:
                    self._at += len(piece)
                    self._arrived(len(piece))
                    return piece
                short = StorageFailed(
                    f"The storage closed the connection at byte {self._at:,} of "
                    f'{self._item.size_bytes:,} of "{shown(self._item.name)}".'
                )
                self._go_on_after(short, short)
        return b""

    def close(self) -> None:
        """Give up the connection; an unread rest must not be drained."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _read_some(self, size: int) -> bytes:
        if self._body is None:
            self._body = self._get(self._item, self._at)
        # StreamingBody.read waits until `size` bytes are there, so a server that drips could hold
        # us far beyond the deadline. Its urllib3 response can give what has arrived.
        piece: bytes = self._body._raw_stream.read1(size)
        return piece

    def _go_on_after(self, meaning: ArtifactError, error: Exception) -> None:
        """Pause before the next try, or raise `meaning` when trying again is no use."""
        self.close()
        if self._at - self._failed_at >= PROGRESS_BYTES:
            self._failures = 0
        self._failed_at = self._at
        self._failures += 1
        if not meaning.transient or self._failures >= FAILURES_MAX:
            raise meaning from error
        self._watch.pause(_pause_seconds(self._limits, self._failures))


def _patiently(storage: Storage, watch: Watch, limits: Limits, call: Callable[[], Any]) -> Any:
    """Ask until there is an answer. Raises what the last failure means."""
    for failures in range(1, FAILURES_MAX + 1):
        watch.check()
        try:
            return call()
        except (ClientError, BotoCoreError, HTTPError, OSError, ResponseParserError) as error:
            meaning = _meaning(error, None, storage)
            if not meaning.transient or failures == FAILURES_MAX:
                raise meaning from error
        watch.pause(_pause_seconds(limits, failures))
    raise AssertionError("unreachable: the last failure raises")


def _pause_seconds(limits: Limits, failures: int) -> float:
    pause: float = limits.retry_pause_seconds * 2 ** (failures - 1)
    return pause


def _changed(item: Item) -> ArtifactChanged:
    return ArtifactChanged(
        f'"{shown(item.name)}" was replaced while it was being downloaded. Upload each version '
        "under its own key."
    )


def _meaning(error: Exception, item: Item | None, storage: Storage) -> ArtifactError:
    """What an error of the storage, or of the way to it, says about the artifact."""
    if isinstance(error, ClientError):
        return _meaning_of_answer(error, item, storage)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        if own_key := storage.passed_over:
            return ArtifactForbidden(
                f"The server has no S3 credentials for {shown(storage.name)}. It found the access "
                f"key {shown(own_key)}, which is for this server itself and is sent to no storage. "
                f"{OWN_KEY_ADVICE}"
            )
        return ArtifactForbidden(
            f"The server has no S3 credentials for {shown(storage.name)}. Give it some where boto3 "
            "looks for them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile) before it "
            "starts, or name a profile for artifacts in INSERVICE_S3_PROFILE."
        )
    text = shown(str(error), characters_max=200)
    if isinstance(error, BotoCoreError) and not isinstance(error, _ON_THE_WAY):
        return ArtifactForbidden(f"The S3 client could not ask for it: {text}")
    return StorageFailed(f"The storage did not answer, {FAILURES_MAX} times: {text}")


def _meaning_of_answer(error: ClientError, item: Item | None, storage: Storage) -> ArtifactError:
    if error.operation_name == "AssumeRole":
        return _meaning_of_sts(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = shown(str(error.response.get("Error", {}).get("Code", "")), characters_max=60)
    named = f" ({code})" if code not in ("", str(status)) else ""  # to HEAD there is no more to say
    said = f"The storage answered {status}{named}."
    with_key = f" to the access key {shown(storage.key_id)}" if storage.key_id else ""
    who = f"{shown(storage.name)} answered {status}{named}{with_key}."
    if status == 404:
        return ArtifactMissing(
            f"There is no such bucket or object. {said} Please ensure that the object exists, "
            "and that the server's S3 endpoint (AWS_ENDPOINT_URL_S3) is the right storage."
        )
    if status in (401, 403):
        return ArtifactForbidden(
            f'{who} Please ensure that the server\'s S3 credentials have "s3:GetObject" (for a '
            'prefix also "s3:ListBucket") permissions, and that the object exists.'
        )
    if status == 412 and item is not None:
        return _changed(item)
    if status in (408, 429) or status >= 500:
        return StorageFailed(f"{said} It was asked {FAILURES_MAX} times.")
    return ArtifactForbidden(
        f"{said} Please ensure that the object is located in the region, and under the endpoint, "
        "that this server uses for S3."
    )


def _meaning_of_sts(error: ClientError) -> ArtifactError:
    """That the execution role could not be assumed, before anything was asked of the storage."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = shown(str(error.response.get("Error", {}).get("Code", "")), characters_max=60)
    words = shown(str(error.response.get("Error", {}).get("Message", "")), characters_max=300)
    said = f"The execution role could not be assumed: STS answered {status} ({code}): {words}"
    if status in (408, 429) or status >= 500 or code in ("Throttling", "ThrottlingException"):
        return StorageFailed(f"{said} It was asked {FAILURES_MAX} times.")
    return ArtifactForbidden(
        f"{said} Please ensure that the role exists, and that its trust relationship policy allows "
        'the action "sts:AssumeRole" to the server\'s credentials. Without AWS_ENDPOINT_URL_STS '
        "the server reads model data with those themselves."
    )
