"""Cutting lines that are too long, in a stream that comes in pieces of any size.

A model that prints a tensor prints a line of megabytes. Whole, it would fill the FIFO and push out
what is printed after it, which is the traceback more often than not; so of each line only the
beginning is passed on, with a mark that says how much is missing. A carriage return begins a line
anew, as on a terminal: a progress bar is no long line.
"""

from __future__ import annotations

import re

LINE_BYTES_MAX = 32 * 1024
"""What is kept of a line. Somebody reads these; and the smallest FIFO that the kernel gives,
64 KiB, has room for the next line beside it."""

MARK_BYTES_MAX = 48

FILES = 4
"""A stream's file and those it was rotated to; the newest has no number."""

_MARK = b" \xe2\x80\xa6 [inservice] cut %d bytes"
_PIECE = re.compile(rb"[^\r\n]*[\r\n]|[^\r\n]+")


class LineCutter:
    """Passes a stream on, without what its lines have beyond `kept_bytes_max`."""

    def __init__(self, kept_bytes_max: int) -> None:
        self._kept_max = kept_bytes_max
        self._kept = 0  # bytes passed on of the line that has begun
        self._cut = 0  # bytes of it that were not

    @property
    def cut_bytes(self) -> int:
        """How much of the line that has begun was not passed on."""
        return self._cut

    def pass_on(self, data: bytes) -> bytes:
        """What to pass on of the next piece."""
        if not self._cut and self._kept + len(data) <= self._kept_max:  # nothing can be too long
            end = max(data.rfind(b"\n"), data.rfind(b"\r"))
            self._kept = self._kept + len(data) if end < 0 else len(data) - end - 1
            return data
        return b"".join(map(self._of_one_line, _PIECE.findall(data)))

    def end_line(self) -> bytes:
        """What is to be said yet of the line that has begun. The next piece begins another."""
        mark = _MARK % self._cut if self._cut else b""
        self._kept = self._cut = 0
        return mark

    def _of_one_line(self, piece: bytes) -> bytes:
        end = piece[-1:] if piece.endswith((b"\n", b"\r")) else b""
        text = piece[: len(piece) - len(end)]
        kept = b"" if self._cut else text[: _whole(text, self._kept_max - self._kept)]
        self._kept += len(kept)
        self._cut += len(text) - len(kept)
        return kept + self.end_line() + end if end else kept


def _whole(text: bytes, count: int) -> int:
    """The most bytes, `count` at most, that do not end within a character of UTF-8."""
    if count >= len(text):
        return len(text)
    for at in range(count, max(count - 4, -1), -1):
        if text[at] & 0xC0 != 0x80:
            return at
    return count
