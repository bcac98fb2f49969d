"""A terminal as a person has one: a size that changes, a screen to read, keys to press.

pyte reads what a program writes as xterm would; what it leaves out, the alternate screen, is here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pyte

_ALTERNATE = 1049


class _Screen(pyte.Screen):
    """With an alternate screen, that gives back what was there when it is left."""

    kept: Any = None

    def set_mode(self, *modes: int, **how: Any) -> None:
        if how.get("private") and _ALTERNATE in modes:
            self.kept = (deepcopy(self.buffer), self.cursor.x, self.cursor.y)
            self.erase_in_display(2)
        super().set_mode(*modes, **how)

    def reset_mode(self, *modes: int, **how: Any) -> None:
        if how.get("private") and _ALTERNATE in modes and self.kept is not None:
            buffer, x, y = self.kept
            self.buffer.clear()
            self.buffer.update(buffer)
            self.cursor_position(y + 1, x + 1)
            self.kept = None
        super().reset_mode(*modes, **how)


class Terminal:
    """One command line in a terminal. Everything waits for conditions, with a deadline."""

    def __init__(self, words: list[str], columns: int, lines: int, **environment: str) -> None:
        self._leader, follower = pty.openpty()
        self.columns, self.lines = columns, lines
        self._screen = _Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.resize(columns, lines)
        clean = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "inservice.cli.main", *words],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**clean, "TERM": "xterm-256color", **environment},
        )
        os.close(follower)
        self.written = b""

    def resize(self, columns: int, lines: int) -> None:
        """What dragging the corner of the window does."""
        self.columns, self.lines = columns, lines
        self._screen.resize(lines, columns)
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, size)

    def rows(self) -> list[str]:
        """What is to be seen, row by row."""
        return [row.rstrip() for row in self._screen.display]

    def text(self) -> str:
        """The same in one."""
        return "\n".join(self.rows())

    def colour_of(self, words: str) -> str:
        """The colour of the first letter of the words where they stand."""
        for y, row in enumerate(self._screen.display):
            if (x := row.find(words)) >= 0:
                return str(self._screen.buffer[y][x].fg)
        raise AssertionError(f"{words!r} is not on the screen:\n{self.text()}")

    def wait_for(self, pattern: str, seconds: float = 30.0) -> str:
        """Read until the screen shows it; gives the screen."""
        self._until(lambda: re.search(pattern, self.text()) is not None, seconds, pattern)
        return self.text()

    def wait_until(self, question: Callable[[], bool], seconds: float = 30.0) -> str:
        """Read until it is so; gives the screen."""
        self._until(question, seconds, "a condition")
        return self.text()

    def ended(self, seconds: float = 30.0) -> int:
        """Read until the program is gone; its exit code."""
        self._until(lambda: self.child.poll() is not None, seconds, "the end")
        while self._read(0.05):
            pass
        return int(self.child.returncode)

    def close(self) -> None:
        """End the program, if it has not ended."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self._leader)

    def _until(self, question: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not question():
            assert time.monotonic() < deadline, f"no {what!r} on\n{self.text()}"
            self._read(0.05)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._leader], [], [], seconds)
        if not ready:
            return False
        with contextlib.suppress(OSError):  # Linux's way to say that the last writer has closed it
            piece = os.read(self._leader, 65_536)
            self.written += piece
            self._stream.feed(piece)
            return bool(piece)
        return False


@contextmanager
def terminal(
    *words: str, columns: int = 80, lines: int = 30, **environment: str
) -> Iterator[Terminal]:
    """A command in a terminal, ended with the block."""
    running = Terminal(list(words), columns, lines, **environment)
    try:
        yield running
    finally:
        running.close()
