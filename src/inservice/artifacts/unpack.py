"""From what a source lists to a finished tree: an archive unpacked, or objects copied."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inservice.artifacts.errors import StorageFailed, UnsafeMember, shown
from inservice.artifacts.gunzip import PIECE_BYTES, ByteReader, Gunzip
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.paths import parts_of_key, parts_of_member
from inservice.artifacts.sources import InPlace, Listing, Source
from inservice.artifacts.tar import Kind, Member, TarReader
from inservice.artifacts.tree import Entry, TreeWriter

_LINK_ADVICE = {
    Kind.SYMBOLIC_LINK: 'Pack the file it points to instead: "tar --dereference" (-h).',
    Kind.HARD_LINK: 'Pack the file it points to instead: "tar --hard-dereference".',
}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A tree that is complete and read-only."""

    entries: tuple[Entry, ...]
    download_seconds: float  # waiting for the source
    unpack_seconds: float  # all else: decompressing, hashing, writing


def unpack(
    source: Source, listing: Listing, target: Path, *, gzip: bool, limits: Limits, watch: Watch
) -> Unpacked:
    """Fill the new directory `target` while the source is read; packed bytes are never written.

    Raises every ArtifactError but those of looking up.
    """
    began = time.monotonic()
    waited = _Waited()
    with TreeWriter(target, limits, watch) as tree:
        if gzip:
            with source.open(listing.objects[0]) as opened:
                unpack_archive(Gunzip(waited.on(opened), limits, watch), tree)
        else:
            for item in listing.objects:
                parts = parts_of_key(item.relative, item.name)
                with source.open(item) as opened:
                    content = _exactly(waited.on(opened), item.size_bytes)
                    if isinstance(opened, InPlace):
                        tree.add_shared(parts, opened.descriptor, item.size_bytes, content)
                    else:
                        tree.add_file(parts, content)
        entries = tree.finish()
    return Unpacked(entries, waited.seconds, time.monotonic() - began - waited.seconds)


def refuse_unsafe(member: Member) -> None:
    """Files and directories pass. Raises UnsafeMember for links, devices and pipes."""
    if member.kind in (Kind.FILE, Kind.DIRECTORY):
        return
    where = f' to "{shown(member.target)}"' if member.kind in _LINK_ADVICE else ""
    advice = _LINK_ADVICE.get(member.kind, "Leave it out of the archive.")
    raise UnsafeMember(
        f'Member "{shown(member.name)}" is a {member.kind}{where}; an artifact holds files and '
        f"directories only. {advice}"
    )


def unpack_archive(stream: Gunzip, tree: TreeWriter) -> None:
    """Everything in an archive. Raises every ArtifactError of archives."""
    archive = TarReader(stream)
    for member in archive.members():
        refuse_unsafe(member)
        is_directory = member.kind is Kind.DIRECTORY
        parts = parts_of_member(member.name, directory=is_directory)
        if is_directory:
            tree.add_directory(parts)
        else:
            tree.add_file(parts, archive.content())


def _exactly(reader: ByteReader, size_bytes: int) -> Iterator[bytes]:
    left = size_bytes
    while left:
        piece = reader.read(min(left, PIECE_BYTES))
        if not piece:
            raise StorageFailed(f"The object ended {left:,} bytes before its stated size.")
        left -= len(piece)
        yield piece


class _Waited:
    """How long reading took, to tell the network's share from ours."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on(self, reader: ByteReader) -> ByteReader:
        return _Timed(reader, self)


class _Timed:
    def __init__(self, reader: ByteReader, waited: _Waited) -> None:
        self._reader = reader
        self._waited = waited

    def read(self, size: int, /) -> bytes:
        began = time.monotonic()
        try:
            return self._reader.read(size)
        finally:
            self._waited.seconds += time.monotonic() - began
