"""What is under way: a few slots in a file that takes no more room when it is written to.

A change is noted in a slot before it is made, and the slot is emptied when the change's line is in
the trail. So a control that is killed in between leaves the slot, and the next one writes the line
that is missing. And a line for which there is no room in the trail stays in its slot, on the
platter, until there is.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from inservice.audit.entry import LINE_BYTES_MAX

SLOTS: Final = 16
"""More than control has threads that change anything: each has one change under way."""


class Begun:
    """The slots. Safe for threads."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, where there is no room for the file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        try:
            os.posix_fallocate(self._descriptor, 0, SLOTS * LINE_BYTES_MAX)
            self.left: dict[int, bytes] = {}
            """By slot, the lines that were there when the file was opened."""
            for slot in range(SLOTS):
                there = os.pread(self._descriptor, LINE_BYTES_MAX, slot * LINE_BYTES_MAX)
                line, end, _ = there.partition(b"\n")
                if end and line.startswith(b"{"):
                    self.left[slot] = line + end
        except BaseException:
            os.close(self._descriptor)
            raise
        self._lock = threading.Lock()
        self._free = [slot for slot in range(SLOTS) if slot not in self.left]

    def take(self, line: bytes) -> int | None:
        """Note a line in a slot, which outlives a kill; gives its number, None when all are taken.
        Raises OSError."""
        with self._lock:
            if not self._free:
                return None
            slot = self._free.pop()
        try:
            self._write(slot, line)
        except OSError:
            self.empty(slot)
            raise
        return slot

    def keep(self, slot: int, line: bytes) -> None:
        """Have another line in a slot, durable when this returns. Raises OSError."""
        self._write(slot, line)
        os.fdatasync(self._descriptor)

    def empty(self, slot: int) -> None:
        """There is nothing under way in it. Raises OSError."""
        os.pwrite(self._descriptor, b"\0", slot * LINE_BYTES_MAX)
        with self._lock:
            self._free.append(slot)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _write(self, slot: int, line: bytes) -> None:
        if os.pwrite(self._descriptor, line, slot * LINE_BYTES_MAX) != len(line):
            raise OSError("a slot was not written whole")
