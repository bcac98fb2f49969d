"""The routing table on disk: a snapshot, and a journal of what has changed since.

A change of one endpoint costs one line of the journal, however many endpoints there are. Control
writes the line before it tells any worker, so a worker that starts while control is gone begins
with the newest table. Only control writes. A crash can leave half a line at the end, which was told
to nobody and is passed over; a snapshot takes its place by a rename, and the lines that it holds
already are passed over too, so no moment between two steps is one in which a reader is misled.

    routes.json      one table, as `encode_table` writes it
    routes.journal   lines of `encode_delta`, each leading from one version to the next
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from inservice import disk
from inservice.channel.tables import (
    Delta,
    decode_delta,
    decode_table,
    encode_delta,
    encode_table,
    table_after,
)
from inservice.reserve import Room
from inservice.routing.table import RoutingTable

JOURNAL_BYTES = 1024 * 1024
"""A journal of this size, or of its snapshot's if that is larger, is folded into a new snapshot: so
reading stays within twice the table, and writing snapshots within twice what was changed."""


class TableFile:
    """The two files, for whoever reads or writes them."""

    def __init__(self, path: Path, room: Room = contextlib.nullcontext) -> None:
        """What is written is written within `room`, which may give some of a full disk."""
        self.path = path
        self._room = room
        self.journal = path.with_suffix(".journal")
        self._snapshot: tuple[int, int] | None = None  # which snapshot is ours, and its size
        self._lines: list[tuple[int, bytes]] = []  # the journal's, with the versions they lead to
        self._size = 0  # of the journal
        self._version = -1  # that the two lead to

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def read(self) -> RoutingTable:
        """The newest table that is whole. Raises OSError, and ValueError for what is no table."""
        while True:
            before = _identity(self.path)
            table = decode_table(self.path.read_bytes())
            try:
                lines = self.journal.read_bytes().split(b"\n")[:-1]
            except FileNotFoundError:
                lines = []
            if _identity(self.path) == before:  # else the lines may be those of the next snapshot
                return table_after(table, _sequel(table.version, lines))

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def replace(self, encoded: bytes, version: int) -> None:
        """Make this table the snapshot; later lines stay in the journal. Raises OSError when there
        is no room, and then nothing has changed."""
        lines = [(to, line) for to, line in self._lines if to > version]
        kept = b"".join(line for _, line in lines)
        # The snapshot is the inner one, which takes its place first: the old journal beside it
        # misleads nobody, a new one beside the old snapshot would. All that takes room is before.
        with (
            self._room(),
            disk.replacing(self.journal, synced=False) as journal,
            disk.replacing(self.path, synced=False) as snapshot,
        ):
            for file, content in ((journal, kept), (snapshot, encoded)):
                file.write(content)
                file.flush()
        self._snapshot, self._lines, self._size = _identity(self.path), lines, len(kept)

        self._version = lines[-1][0] if lines else version

    def append(self, delta: Delta, table: RoutingTable) -> bytes:
        """Add the delta that leads to `table`; gives its line. Raises OSError when there is no
        room, and then nothing has changed. Files that somebody removed or touched, or that could
        not be written when a table before this one was new, are written anew."""
        line, version = encode_delta(delta), delta.version
        if not self._is_ours() or delta.after != self._version:
            self.replace(encode_table(table), version)
            return line
        journal = os.open(self.journal, os.O_WRONLY | os.O_APPEND)
        try:
            with self._room():
                written = os.write(journal, line)
            if written != len(line):
                os.ftruncate(journal, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.journal))
        finally:
            os.close(journal)
        self._size += len(line)
        self._lines.append((version, line))
        self._version = version
        return line

    def sequel(self, version: int) -> list[bytes] | None:
        """The lines that lead on from a version; None if the journal does not go back to it."""
        later = [line for to, line in self._lines if to > version]
        if later and decode_delta(later[0]).after != version:
            return None
        return later

    def is_long(self) -> bool:
        """Whether it is time to fold the journal into a new snapshot."""
        return self._size > max(JOURNAL_BYTES, self._snapshot[1] if self._snapshot else 0)

    def _is_ours(self) -> bool:
        if self._snapshot is None:
            return False
        try:
            untouched = self.journal.stat().st_size == self._size
        except FileNotFoundError:
            return False
        return untouched and _identity(self.path) == self._snapshot


def _sequel(version: int, lines: list[bytes]) -> list[Delta]:
    """Of a journal what leads on from a version, up to the first line that does not."""
    found = []
    for line in lines:
        try:
            delta = decode_delta(line)
        except ValueError:
            break
        if delta.version <= version:
            continue
        if delta.after != version:
            break
        found.append(delta)
        version = delta.version
    return found


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size
