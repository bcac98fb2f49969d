"""What is on disk: finished trees, which URI gave which, and which fleet needs which.

    <root>/trees/<digest>/model/          what instances see, read-only
    <root>/trees/<digest>/manifest.json   every path, size and SHA-256 in it
    <root>/sources/<source>.json          the version of a URI that gave a digest
    <root>/pins/<pin>-<source>.json       the digest that a fleet began with
    <root>/partial/<random>/              being written; nothing there is ever served
    <root>/set-aside/<digest>-<random>/   was found changed; the latest few, to be looked into

A model is code, and where it runs as the user of this server it can write to its tree, which other
endpoints share. So no tree is handed out on trust: before it is taken for the first time by this
process it is read, byte for byte, and each further time it is compared with the seal of then (see
`tree.seal_of`). One that was changed is set aside and fetched anew.

A tree, and every record, appears by one rename when it is complete, so a process killed at any
moment leaves the whole of it or nothing but a partial one, and partial ones are swept at start.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from inservice import disk
from inservice.artifacts.base import ChangedTree, OnChanged
from inservice.artifacts.errors import ArtifactChanged
from inservice.artifacts.sources import Request
from inservice.artifacts.tree import (
    Entry,
    Seal,
    digest_of,
    disk_errors,
    remove_tree,
    seal_of,
    verified,
)

SET_ASIDE_MAX = 3
"""Changed trees that are kept for whoever looks into it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tree:
    """A finished tree."""

    path: Path
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Whole:
    """A tree that this process has read from end to end."""

    size_bytes: int
    seal: Seal


@dataclass(frozen=True, slots=True)
class _Manifest:
    size_bytes: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Origin:
    """A URI, at one version, gave this digest."""

    uri: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Pin:
    """A fleet began with this digest."""

    pin: str
    uri: str
    digest: str


_Record = TypeVar("_Record")


class Shelf:
    """The trees of one root, and who needs them. Safe to use from many threads of one process."""

    def __init__(self, root: Path, on_changed: OnChanged = lambda _: None) -> None:
        """Make the directories, and sweep what a killed process left half written."""
        self._on_changed = on_changed
        self._trees = root / "trees"
        self._sources = root / "sources"
        self._pins = root / "pins"
        self._partial = root / "partial"
        self._set_aside = root / "set-aside"
        # Between finding a tree and pinning it nobody may evict it, so both hold the lock.
        self._lock = threading.Lock()
        self._whole: dict[str, _Whole] = {}  # by digest
        for directory in (
            self._trees,
            self._sources,
            self._pins,
            self._partial,
            self._set_aside,
        ):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        for left_behind in self._partial.iterdir():
            if left_behind.is_dir():
                remove_tree(left_behind)
            else:
                left_behind.unlink(missing_ok=True)
        for records in (self._sources, self._pins):
            for draft in records.glob("*.new"):
                draft.unlink(missing_ok=True)

    def pinned(self, request: Request, pin: str) -> str | None:
        """The digest that this fleet began with."""
        record = _read(self._pin_path(request, pin), _Pin)
        return record.digest if record else None

    def known(self, request: Request, version: str) -> str | None:
        """The digest that this URI gave when it was at this version."""
        record = _read(self._source_path(request), _Origin)
        return record.digest if record and record.version == version else None

    def new_partial(self) -> Path:
        """A directory to unpack into: `<it>/model`. Hand it to `admit` or to `drop`."""
        partial = self._partial / secrets.token_hex(8)
        with disk_errors():
            partial.mkdir(mode=0o755)
        return partial

    def drop(self, partial: Path) -> None:
        """Delete a partial tree; fine if it was admitted."""
        remove_tree(partial)

    def admit(self, partial: Path, entries: tuple[Entry, ...]) -> str:
        """Turn a partial tree that is complete into a tree; its digest.

        A tree of the same digest that is here stays, unless it was changed: this one is what was
        just fetched.
        """
        digest = digest_of(entries)
        manifest = _Manifest(sum(entry.size_bytes for entry in entries), entries)
        with disk_errors():
            (partial / "manifest.json").write_bytes(msgspec.json.encode(manifest))
        if self._whole_bytes(digest) is None:
            seal = seal_of(partial / "model")
            with self._lock:
                if not (self._trees / digest).exists():
                    partial.rename(self._trees / digest)
                    self._whole[digest] = _Whole(manifest.size_bytes, seal)
        return digest

    def take(self, digest: str, request: Request, pin: str, version: str | None) -> Tree | None:
        """Pin a tree for a fleet; None if it is not here, or no longer whole.

        `version` is what the URI was at when it gave this digest; None if that was not looked up.
        Raises ArtifactChanged when the fleet began with another digest.
        """
        size_bytes = self._whole_bytes(digest)
        if size_bytes is None:
            return None
        began_with = self.pinned(request, pin)
        if began_with and began_with != digest:
            raise ArtifactChanged(
                "It is not what this fleet began with, and this host's copy of that is gone. "
                "Create a new endpoint config, or put the former object back."
            )
        with self._lock, disk_errors():
            tree = self._trees / digest
            if not tree.exists():
                return None
            os.utime(tree)  # the age that eviction goes by
            pin_path = self._pin_path(request, pin)
            if began_with:
                os.utime(pin_path)
            else:
                self._write(pin_path, _Pin(pin, request.uri, digest))
            if version is not None:
                origin = _Origin(request.uri, version, digest)
                self._write(self._source_path(request), origin)
        return Tree(tree / "model", digest, size_bytes)

    def release(
        self, pins_in_use: Collection[str], *, grace_seconds: float, bytes_max: int
    ) -> None:
        """Forget pins that are neither in use nor fresh, then evict what nothing needs."""
        used = {_hash(pin) for pin in pins_in_use}
        with self._lock:
            needed = set()
            for path in self._pins.glob("*.json"):
                record = _read(path, _Pin)
                fresh = time.time() - path.stat().st_mtime < grace_seconds
                if record and (fresh or path.name.split("-")[0] in used):
                    needed.add(record.digest)
                else:
                    path.unlink()
            self._evict(needed, bytes_max)

    def _evict(self, needed: Collection[str], bytes_max: int) -> None:
        """The least recently used first, until all trees together are within the cap."""
        manifests = {
            path.name: _read(path / "manifest.json", _Manifest) for path in self._trees.iterdir()
        }
        sizes = {
            name: manifest.size_bytes if manifest else 0 for name, manifest in manifests.items()
        }
        total = sum(sizes.values())
        idle = [name for name in sizes if name not in needed]
        idle.sort(key=lambda name: (self._trees / name).stat().st_mtime)
        for name in idle:
            if total <= bytes_max:
                break
            self._discard(name)
            total -= sizes[name]
        for path in self._sources.glob("*.json"):
            record = _read(path, _Origin)
            if not record or not (self._trees / record.digest).exists():
                path.unlink()

    def _discard(self, digest: str) -> None:
        """Out of sight by one rename, then deleted. The caller holds the lock."""
        self._whole.pop(digest, None)
        doomed = self._partial / secrets.token_hex(8)
        (self._trees / digest).rename(doomed)
        remove_tree(doomed)

    def _whole_bytes(self, digest: str) -> int | None:
        """The size of a tree that is whole; one that is not is set aside."""
        tree = self._trees / digest
        known = self._whole.get(digest)
        with contextlib.suppress(OSError):
            if known is not None and seal_of(tree / "model") == known.seal:
                return known.size_bytes
        manifest = _read(tree / "manifest.json", _Manifest)
        # The manifest lies beside the tree and may have been changed with it; the name says what
        # both have to be.
        if manifest is not None and digest_of(manifest.entries) == digest:
            seal = verified(tree / "model", manifest.entries)
            if seal is not None:
                size_bytes = sum(entry.size_bytes for entry in manifest.entries)
                self._whole[digest] = _Whole(size_bytes, seal)
                return size_bytes
        self._put_aside(digest, known)
        return None

    def _put_aside(self, digest: str, known: _Whole | None) -> None:
        """Out of sight by one rename, so that it can be served to nobody, and kept for a while."""
        with self._lock:
            if self._whole.get(digest) is not known or not (self._trees / digest).exists():
                return  # another thread did, and may have put a fresh one there
            self._whole.pop(digest, None)
            place = self._set_aside / f"{digest}-{secrets.token_hex(4)}"
            (self._trees / digest).rename(place)
            _log.warning(
                "the files of artifact %s are not what was unpacked: somebody changed them, or the "
                "disk lost them; they are fetched anew, and kept in %s",
                digest,
                place,
            )
            os.utime(place)
            records = [_read(path, _Pin) for path in self._pins.iterdir()]
            kept = sorted(self._set_aside.iterdir(), key=lambda path: path.lstat().st_mtime)
        for doomed in kept[:-SET_ASIDE_MAX]:
            with contextlib.suppress(OSError):  # whoever changed it may have made it immutable
                remove_tree(doomed)
        pins = frozenset(record.pin for record in records if record and record.digest == digest)
        self._on_changed(ChangedTree(digest, place, pins))

    def _write(self, path: Path, record: object) -> None:
        """Durable before it is visible: a pin that a crash forgets is a promise broken."""
        disk.write(path, msgspec.json.encode(record))

    def _pin_path(self, request: Request, pin: str) -> Path:
        return self._pins / f"{_hash(pin)}-{source_key(request)}.json"

    def _source_path(self, request: Request) -> Path:
        return self._sources / f"{source_key(request)}.json"


def source_key(request: Request) -> str:
    """One URI, read in one way."""
    return _hash(f"{request.data_type} {request.compression} {request.uri}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, kind: type[_Record]) -> _Record | None:
    """A record, or None if there is none that can be read: it is then made anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
