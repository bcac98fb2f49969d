"""What is on disk: finished trees, which URI gave which, and which fleet needs which.

    <root>/trees/<digest>/model/          what instances see, read-only
    <root>/trees/<digest>/manifest.json   every path, size and SHA-256 in it
    <root>/trees/<digest>/boot            the boot of this host in which it was last found whole
    <root>/sources/<source>.json          the version of a URI that gave a digest
    <root>/pins/<pin>-<source>.json       the digest that a fleet began with
    <root>/partial/<random>/              being written; nothing there is ever served

A tree, and every record, appears by one rename when it is complete, so a process killed at any
moment leaves the whole of it or nothing but a partial one, and partial ones are swept at start.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from inservice.artifacts.errors import ArtifactChanged
from inservice.artifacts.sources import Request
from inservice.artifacts.tree import Entry, digest_of, disk_errors, is_as_recorded, remove_tree


@dataclass(frozen=True, slots=True)
class Tree:
    """A finished tree."""

    path: Path
    digest: str
    size_bytes: int


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

    def __init__(self, root: Path) -> None:
        """Make the directories, and sweep what a killed process left half written."""
        self._trees = root / "trees"
        self._sources = root / "sources"
        self._pins = root / "pins"
        self._partial = root / "partial"
        # Between finding a tree and pinning it nobody may evict it, so both hold the lock.
        self._lock = threading.Lock()
        self._whole: dict[str, int] = {}  # digest → bytes, of trees this process has checked
        for directory in (self._trees, self._sources, self._pins, self._partial):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        for left_behind in self._partial.iterdir():
            if left_behind.is_dir():
                remove_tree(left_behind)
            else:
                left_behind.unlink(missing_ok=True)

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
        """Turn a partial tree that is complete into a tree; its digest."""
        digest = digest_of(entries)
        manifest = _Manifest(sum(entry.size_bytes for entry in entries), entries)
        with disk_errors():
            (partial / "manifest.json").write_bytes(msgspec.json.encode(manifest))
            (partial / "boot").write_text(_boot_id())
        with self._lock:
            if not (self._trees / digest).exists():
                partial.rename(self._trees / digest)
            self._whole[digest] = manifest.size_bytes
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
            for path in self._pins.iterdir():
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
        for path in self._sources.iterdir():
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
        """The size of a tree that is whole; one that is not is discarded.

        A tree is checked once per process by names and sizes, and once per boot byte for byte: a
        host that lost power may have kept the rename and lost the content.
        """
        if (known := self._whole.get(digest)) is not None:
            return known
        tree = self._trees / digest
        manifest = _read(tree / "manifest.json", _Manifest)
        if manifest is not None:
            boot = tree / "boot"
            same_boot = boot.exists() and boot.read_text() == _boot_id()
            if is_as_recorded(tree / "model", manifest.entries, content=not same_boot):
                boot.write_text(_boot_id())
                self._whole[digest] = manifest.size_bytes
                return manifest.size_bytes
        with self._lock:
            if tree.exists():
                self._discard(digest)
        return None

    def _write(self, path: Path, record: object) -> None:
        """Durable before it is visible: a pin that a crash forgets is a promise broken."""
        draft = self._partial / secrets.token_hex(8)
        try:
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except OSError:
            draft.unlink(missing_ok=True)  # each try on a full volume would leave one more
            raise

    def _pin_path(self, request: Request, pin: str) -> Path:
        return self._pins / f"{_hash(pin)}-{source_key(request)}.json"

    def _source_path(self, request: Request) -> Path:
        return self._sources / f"{source_key(request)}.json"


def source_key(request: Request) -> str:
    """One URI, read in one way."""
    return _hash(f"{request.data_type} {request.compression} {request.uri}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _read(path: Path, kind: type[_Record]) -> _Record | None:
    """A record, or None if there is none that can be read: it is then made anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
