"""The artifacts of this host: each fetched once, unpacked once, shared by every instance.

A fleet keeps the digest that it began with: replacements and rollbacks launch the same files when
the object has changed or is gone. One process at a time owns a root.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inservice.artifacts.base import PIN_GRACE_SECONDS, Artifact, OnChanged
from inservice.artifacts.errors import (
    ArtifactChanged,
    ArtifactError,
    FetchCancelled,
    FetchTimedOut,
    SourceRefused,
    StoreFull,
)
from inservice.artifacts.files import Allowed, FileSource
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.own import OwnObjects
from inservice.artifacts.places import Places
from inservice.artifacts.shelf import Shelf, Tree, source_key
from inservice.artifacts.sources import (
    NOBODYS,
    FileLocation,
    Listing,
    Progress,
    Request,
    Rights,
    Source,
    parse,
)
from inservice.artifacts.unpack import unpack

DOWNLOADS_MAX = 3
"""How often a download begins anew because the object was replaced meanwhile."""


class ArtifactStore:
    """Fetches artifacts, and keeps them. Methods block: call them in threads."""

    def __init__(
        self,
        root: Path,
        limits: Limits | None = None,
        *,
        s3: Callable[[], Any],
        own: OwnObjects | None = None,
        file_roots: Sequence[Path] = (),
        private: Sequence[Path] = (),
        on_changed: OnChanged = lambda _: None,
    ) -> None:
        """Sweep what a killed process left behind.

        `s3` makes the client of a storage elsewhere when one is first needed (see
        `artifacts.s3_client`), `own` are this server's objects (see `artifacts.places`);
        `file_roots` are the directories below which file:// may read: by default none; and
        `private` those in them that it never reads, whoever asks: the server's keys and records.
        `on_changed` is told of files here that somebody changed, or the disk lost.
        """
        self._limits = limits or Limits()
        self._shelf = Shelf(root, on_changed)
        self._allowed = Allowed(tuple(file_roots), tuple(private))
        self._places = Places(s3, own)
        self._lock = threading.Lock()  # guards what is below
        self._flights: dict[str, _Flight] = {}

    def fetch(
        self,
        uri: str,
        *,
        data_type: str = "S3Object",
        compression: str = "Gzip",
        pin: str,
        rights: Rights = NOBODYS,
        file_roots: Sequence[Path] | None = None,
        deadline: float | None = None,
        cancelled: threading.Event | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        """The directory of an artifact, from the cache if it is there.

        `pin` is the fleet: the first fetch of a URI by a fleet decides its digest, and later ones
        get the same, whatever became of the object. `rights` are those that it is read with where
        somebody asks for them. `file_roots` are the directories below which this caller's files may
        be; None: as this store was told. `deadline` is an instant of `time.monotonic()`. Callers
        that want the same artifact at once, with the same rights, share one download, and
        `progress` is told of it only in the caller that leads. Raises ArtifactError, whose `reason`
        is fit for FailureReason.
        """
        watch = Watch(deadline, cancelled)
        try:
            request = parse(uri, data_type=data_type, compression=compression)
            if (digest := self._shelf.pinned(request, pin)) and (
                tree := self._shelf.take(digest, request, pin, None)
            ):
                return _artifact(tree, {})
            allowed = self._allowed
            if file_roots is not None:
                allowed = replace(allowed, roots=tuple(file_roots))
            if isinstance(request.location, FileLocation):
                # Before others are waited for, who may be fetching it and be allowed to.
                allowed.resolve(request.location.path)
            return self._fetch_with_others(_Fetch(request, pin, rights, watch, progress, allowed))
        except ArtifactError as error:
            # A new one each time: threads that shared the failure must not share its traceback.
            raise type(error)(error.detail, uri=uri) from error

    def glance(self, uri: str, *, data_type: str, compression: str, rights: Rights) -> bool:
        """Look whether it is there, for who has these rights, if it would be read from this
        server's own storage: else nobody is asked, and it is False. Raises ArtifactError."""
        try:
            request = parse(uri, data_type=data_type, compression=compression)
        except SourceRefused:
            return False  # whoever fetches it says so
        if isinstance(request.location, FileLocation):
            return False
        own = self._places.own_source(request, rights, self._limits, Watch())
        if own is None:
            return False
        own.glance()
        return True

    def release(
        self,
        pins_in_use: Collection[str],
        *,
        grace_seconds: float = PIN_GRACE_SECONDS,
        keep_idle: bool = True,
    ) -> None:
        """Forget fleets that are gone, then evict the least recently used over the cap, or (on a
        full disk) all that no fleet needs.

        What a live fleet needs is never evicted, whatever its size. Call it every few minutes with
        every fleet there is.
        """
        bytes_max = self._limits.cache_bytes_max if keep_idle else 0
        self._shelf.release(pins_in_use, grace_seconds=grace_seconds, bytes_max=bytes_max)

    def _fetch_with_others(self, fetch: _Fetch) -> Artifact:
        """Fetch, or wait for the thread that does. Its failure is ours, unless it gave up."""
        # Who may read it is found out by whoever fetches, so others wait only if they are the same.
        rights = fetch.rights
        key = f"{source_key(fetch.request)} {rights.account} {rights.region} {rights.role}"
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    own = self._flights[key] = _Flight()
                    break
            while not flight.landed.wait(0.05):
                fetch.watch.check()
            if flight.error and not isinstance(flight.error, FetchTimedOut | FetchCancelled):
                raise flight.error
            if flight.digest and (
                tree := self._shelf.take(flight.digest, fetch.request, fetch.pin, None)
            ):
                return _artifact(tree, {})
        try:
            artifact = self._download(fetch)
        except ArtifactError as error:
            own.error = error
            raise
        else:
            own.digest = artifact.digest
            return artifact
        finally:
            with self._lock:
                del self._flights[key]
            own.landed.set()

    def _download(self, fetch: _Fetch) -> Artifact:
        """Look, and transfer unless the version is the one we have."""
        for left in reversed(range(DOWNLOADS_MAX)):
            began = time.monotonic()
            source = self._source(fetch)
            listing = source.look()
            listing.check(self._limits)
            phases = {"look": time.monotonic() - began}
            digest = self._shelf.known(fetch.request, listing.version)
            tree = digest and self._shelf.take(digest, fetch.request, fetch.pin, listing.version)
            if tree:
                return _artifact(tree, phases)
            try:
                digest = self._unpack(fetch, source, listing, phases)
            except ArtifactChanged:
                if not left:
                    raise
                continue
            if tree := self._shelf.take(digest, fetch.request, fetch.pin, listing.version):
                return _artifact(tree, phases)
        raise StoreFull("Its files were evicted as soon as they were unpacked.")

    def _unpack(
        self, fetch: _Fetch, source: Source, listing: Listing, phases: dict[str, float]
    ) -> str:
        partial = self._shelf.new_partial()
        try:
            unpacked = unpack(
                source,
                listing,
                partial / "model",
                gzip=fetch.request.compression == "Gzip",
                limits=self._limits,
                watch=fetch.watch,
            )
            phases["download"] = unpacked.download_seconds
            phases["unpack"] = unpacked.unpack_seconds
            return self._shelf.admit(partial, unpacked.entries)
        finally:
            self._shelf.drop(partial)

    def _source(self, fetch: _Fetch) -> Source:
        if isinstance(fetch.request.location, FileLocation):
            return FileSource(fetch.request, fetch.allowed, self._limits, fetch.watch)
        return self._places.source(
            fetch.request, fetch.rights, self._limits, fetch.watch, fetch.progress
        )


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One call of `fetch`."""

    request: Request
    pin: str
    rights: Rights
    watch: Watch
    progress: Progress | None
    allowed: Allowed  # where a file may be


@dataclass(slots=True)
class _Flight:
    """A fetch that others may wait for. Written by its leader before `landed` is set."""

    landed: threading.Event = field(default_factory=threading.Event)
    digest: str = ""
    error: ArtifactError | None = None


def _artifact(tree: Tree, phases: Mapping[str, float]) -> Artifact:
    return Artifact(tree.path, tree.digest, tree.size_bytes, phases)
