"""Which storage the bucket of an `s3://` URI is in: this server's own, or another one.

    a bucket here, of the model's own account      here
    else, where another storage was named          there
    else, a bucket here, of another account        here, if its policy lets
    else                                           AWS, if there are credentials for it

So whoever uploads to this server and whoever keeps models elsewhere need not choose, and with both
nobody can put a bucket of theirs in the place of one that others mean: of another account's buckets
none is taken for one of a storage that the operator named.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inservice.artifacts.errors import ArtifactForbidden, ArtifactMissing, StorageFailed, shown
from inservice.artifacts.gunzip import ByteReader
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.own import OwnObjects, OwnSource
from inservice.artifacts.sources import (
    Item,
    Listing,
    Progress,
    Request,
    Rights,
    S3Location,
    Source,
)
from inservice.errors import AwsError

if TYPE_CHECKING:
    from inservice.artifacts.s3_client import Storage


class Places:
    """Where objects are. Safe to use from many threads."""

    def __init__(self, elsewhere: Callable[[], Storage], own: OwnObjects | None) -> None:
        """`elsewhere` makes the client of the other storage (see `artifacts.s3_client`), and is
        asked when that is first needed: botocore is slow to import. `own` are this server's
        objects, if it keeps any."""
        self._make = elsewhere
        self._own = own
        self._storage: Storage | None = None
        self._lock = threading.Lock()

    def source(
        self,
        request: Request,
        rights: Rights,
        limits: Limits,
        watch: Watch,
        progress: Progress | None,
    ) -> Source:
        """Where it is read. Raises ArtifactForbidden where there is nobody to ask, and what asking
        this server's own storage raises."""
        if own := self.own_source(request, rights, limits, watch):
            return own
        from inservice.artifacts.s3 import S3Source  # botocore

        here = "" if self._own is None else _bucket_of(request)
        with _not_here(here):
            storage = self._elsewhere().as_role(rights.role)
        return _Elsewhere(S3Source(storage, request, limits, watch, progress), here)

    def own_source(
        self, request: Request, rights: Rights, limits: Limits, watch: Watch
    ) -> OwnSource | None:
        """This server's own storage, if that is where it is read; raises as `source` does."""
        if self._own is None or (owner := _owner(self._own, _bucket_of(request))) is None:
            return None
        if owner != rights.account and self._is_named_elsewhere():
            return None
        return OwnSource(self._own, request, rights, limits, watch)

    def _elsewhere(self) -> Storage:
        with self._lock:
            if self._storage is None:
                self._storage = self._make()
            return self._storage

    def _is_named_elsewhere(self) -> bool:
        try:
            return self._elsewhere().is_named
        except ArtifactForbidden:  # named in a way that leads nowhere, or to this server itself
            return False


def _bucket_of(request: Request) -> str:
    assert isinstance(request.location, S3Location)
    return request.location.bucket


def _owner(own: OwnObjects, bucket: str) -> str | None:
    try:
        return own.owner(bucket)
    except (AwsError, OSError) as error:
        raise StorageFailed(
            f"The storage of this server could not be read: {shown(str(error))}"
        ) from error


class _Elsewhere:
    """A source in another storage. Who does not find it there is told of `bucket`, if that has a
    name, that it is not one of this server's either."""

    def __init__(self, source: Source, bucket: str) -> None:
        self._source = source
        self._bucket = bucket

    def look(self) -> Listing:
        """See `Source`."""
        with _not_here(self._bucket):
            return self._source.look()

    @contextmanager
    def open(self, item: Item) -> Iterator[ByteReader]:
        """See `Source`."""
        with _not_here(self._bucket), self._source.open(item) as reader:
            yield reader


@contextmanager
def _not_here(bucket: str) -> Iterator[None]:
    try:
        yield
    except (ArtifactMissing, ArtifactForbidden) as error:
        if not bucket:
            raise
        raise type(error)(
            f'This account has no bucket "{bucket}" on this server ("aws s3 mb s3://{bucket}" '
            f"makes one), so another storage was asked. {error.detail}"
        ) from error
