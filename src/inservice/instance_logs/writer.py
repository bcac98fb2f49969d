"""The output of instances, kept without ever making a model wait, and bounded on every side.

A log file holds one event a line, stdout and stderr together in the order they were written:

    <epoch milliseconds> <text>\\n          e.g.  1767225600123 model loaded in 31 ms

The text is what was written, undecodable bytes and colours included; it never holds a newline, so
a line is always one event, which is what CloudWatch Logs calls an InputLogEvent. A line longer than
LINE_BYTES_MAX is cut and ends with `… [inservice] cut N bytes`. Of a line that is written over and
over again with carriage returns, as progress bars are, the last state is kept and one every
PROGRESS_SECONDS before. What could not be kept is said in the log itself, in a line that begins
with `[inservice] dropped`. Files rotate by renaming: `x.log`, `x.log.1`, …; the highest number is
the oldest.

What bounds what:
- the FIFO: a model that writes while nobody reads drops its own output (`output.LossyOutput`);
- KEPT_BYTES_PER_SECOND with a burst: what is read beyond it is counted and thrown away;
- READ_BYTES_PER_SECOND: what is written beyond it is not even read, so that one shouting model
  cannot keep the fork server from the others;
- FILE_BYTES_MAX × FILES: disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inservice.instance_logs.lines import FILES, LINE_BYTES_MAX, LineCutter

PIPE_BYTES = 256 * 1024
"""What the FIFO holds while the collector is away. The kernel's default, 64 KiB, is one burst of
tracebacks; an unprivileged process may ask for up to 1 MiB."""

KEPT_BYTES_PER_SECOND = 1024 * 1024
KEPT_BURST_BYTES = 8 * 1024 * 1024
"""A chatty model writes kilobytes a second. 1 MiB/s fills all files of an instance in half a
minute, so more would only push the useful lines out sooner."""

READ_BYTES_PER_SECOND = 32 * 1024 * 1024
"""Reading and counting this much costs under 2 % of a core."""

PROGRESS_SECONDS = 5.0
"""A progress bar that hangs shows where; 720 lines an hour are no flood."""

FILE_BYTES_MAX = 8 * 1024 * 1024

_CONFESSION = re.compile(rb"^\[inservice\] dropped (\d{1,12}) bytes", re.MULTILINE)
"""What a model's own output says it has dropped: when that is dropped too, its count is not."""

_CONFESSION_BEGINS = b"[inservice] dropped "
_CONFESSION_BYTES_MAX = 64

_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z^-~])")
"""What is said to a terminal about colours, cursors and titles (ECMA-48)."""

_CHUNK_BYTES = 64 * 1024
_TAIL_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class LogEnd:
    """A place in the log files of an instance: behind so many bytes of one of them."""

    inode: int
    bytes: int


class LogFiles:
    """The log files of one instance, written to by one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1  # until there is room for one
        self._size = 0
        with contextlib.suppress(OSError):
            self._file = self._opened()
        self._lines = LineCutter(LINE_BYTES_MAX)
        self._partial = b""  # the last line, whose end has not been written yet
        self._progress_at = float("-inf")  # when a line was kept that was then written over
        self._tokens = float(KEPT_BURST_BYTES)
        self._refilled_at = time.monotonic()
        self._dropped_bytes = 0

    def keep(self, chunk: bytes) -> None:
        """Write the lines that end here, and hold what is of the next."""
        now = time.monotonic()
        self._tokens = min(
            KEPT_BURST_BYTES, self._tokens + (now - self._refilled_at) * KEPT_BYTES_PER_SECOND
        )
        self._refilled_at = now
        if self._tokens < len(chunk):
            self._drop(self._partial + chunk)
            return
        self._tokens -= len(chunk)
        self._own_up()
        *lines, partial = (self._partial + self._lines.pass_on(chunk)).split(b"\n")
        lines = [_shown_last(line) for line in lines]
        # The last carriage return may be half of a line's end, and overwrites nothing yet.
        over, _, rest = partial[:-1].rpartition(b"\r")
        self._partial = rest + partial[-1:]
        if (shown := _shown_last(over)) and now - self._progress_at >= PROGRESS_SECONDS:
            self._progress_at = now
            lines.append(shown)
        if lines:
            self._write(lines)

    def finish(self) -> None:
        """Nothing more will come: keep the line that has begun, and close."""
        if partial := self._partial + self._lines.end_line():
            self._partial = b""
            self._write([_shown_last(partial)])
        self._own_up()
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def end(self) -> LogEnd:
        """Where the log ends now."""
        if self._file < 0:
            return LogEnd(0, 0)
        return LogEnd(os.fstat(self._file).st_ino, self._size)

    def go_back(self, end: LogEnd) -> None:
        """Forget what was written behind a place, by who was killed before it noted that it had.

        Between two notes the file is renamed once at most, so the place is in this file or in the
        one before it; anywhere else it is nothing that can be gone back to.
        """
        older = _numbered(self._path, 1)
        with contextlib.suppress(OSError):
            if self._file >= 0 and end.inode == os.fstat(self._file).st_ino:
                os.ftruncate(self._file, min(self._size, end.bytes))
            elif end.inode == older.stat().st_ino:
                os.truncate(older, min(older.stat().st_size, end.bytes))
                if self._file >= 0:
                    os.ftruncate(self._file, 0)
            if self._file >= 0:
                self._size = os.fstat(self._file).st_size

    def _drop(self, output: bytes) -> None:
        """Count it, and what it confesses. A confession that the end of the read has cut in two is
        left for the next one: half of it may speak of megabytes."""
        last = output[output.rfind(b"\n") + 1 :]
        cut = _CONFESSION_BEGINS.startswith(last) or (
            last.startswith(_CONFESSION_BEGINS) and len(last) <= _CONFESSION_BYTES_MAX
        )
        self._partial = last if cut else b""
        self._dropped_bytes += self._lines.cut_bytes
        self._lines.end_line()
        whole = output[: len(output) - len(self._partial)]
        self._dropped_bytes += len(whole) + sum(map(int, _CONFESSION.findall(whole)))

    def _own_up(self) -> None:
        """Say in the log how much is missing from it at this place."""
        if self._dropped_bytes:
            count, self._dropped_bytes = self._dropped_bytes, 0
            line = b"[inservice] dropped %d bytes of output: too much at once" % count
            if not self._write([line]):
                self._dropped_bytes = count  # of output: this line is none

    def _write(self, lines: list[bytes]) -> bool:
        """Append with the time. False if the disk is full: then what did not fit is counted as
        dropped, from the first line on that is not whole."""
        stamp = b"%d " % (time.time() * 1000)
        text = b"".join(stamp + line + b"\n" for line in lines)
        try:
            if self._file < 0:
                self._file = self._opened()
            if self._size + len(text) > FILE_BYTES_MAX:
                self._rotate()
            kept = os.write(self._file, text)
        except OSError:  # a full disk: the model goes on, and the log says so when it can
            self._dropped_bytes += len(text)
            return False
        if kept < len(text):
            kept = text.rfind(b"\n", 0, kept) + 1
            os.ftruncate(self._file, self._size + kept)
            self._dropped_bytes += len(text) - kept
        self._size += kept
        return kept == len(text)

    def _opened(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = _open(self._path)
        self._size = os.fstat(file).st_size
        return file

    def _rotate(self) -> None:
        """The new file first: where there is no room for one, nothing has been pushed out."""
        fresh_path = self._path.with_name(f"{self._path.name}.new")
        fresh = _open(fresh_path)
        for number in range(FILES - 1, 0, -1):
            older = self._path if number == 1 else _numbered(self._path, number - 1)
            if older.exists():
                older.replace(_numbered(self._path, number))
        fresh_path.replace(self._path)
        os.close(self._file)
        self._file, self._size = fresh, 0


class Collector:
    """Moves one instance's output from its FIFO to its log files."""

    def __init__(self, fifo: Path, path: Path) -> None:
        self._files = LogFiles(path)
        self.fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # over this user's allowance: then it holds 64 KiB
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._second = 0  # the second that `_read` counts
        self._read = 0  # bytes read in it

    def collect(self) -> float:
        """Read what is there, once. Seconds to leave the FIFO alone: 0 unless it is a flood."""
        now = time.monotonic()
        if int(now) != self._second:
            self._second, self._read = int(now), 0
        if self._read >= READ_BYTES_PER_SECOND:
            return 1.0 - now % 1.0
        try:
            chunk = os.read(self.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return 0.0
        self._read += len(chunk)
        self._files.keep(chunk)
        return 0.0

    def finish(self) -> None:
        """The writer has ended: keep what it left, then close."""
        try:
            # What a full FIFO can hold, twice: a survivor that goes on writing cannot hold us.
            for _ in range(2 * PIPE_BYTES // _CHUNK_BYTES):
                chunk = os.read(self.fd, _CHUNK_BYTES)
                if not chunk:
                    break
                self._files.keep(chunk)
        except BlockingIOError:
            pass
        self._files.finish()
        os.close(self.fd)

    def close(self) -> None:
        """Let go of the FIFO and the file."""
        os.close(self.fd)
        self._files.close()


def tail(path: Path, count: int, since: float = 0.0) -> tuple[str, ...]:
    """The last lines from `since` (epoch seconds) on, without their times, and made harmless to
    show: no colours and no control characters."""
    kept: list[str] = []
    for file in (path, _numbered(path, 1)):
        kept = [*_last_lines(file, since), *kept]
        if len(kept) >= count:
            break
    return tuple(kept[-count:])


def _shown_last(line: bytes) -> bytes:
    """What a terminal would show of a line in the end: what follows the last carriage return."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _last_lines(path: Path, since: float) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            cut = file.tell() > 0
            text = file.read().decode(errors="replace")
    except OSError:
        return
    lines = text.split("\n")[1 if cut else 0 : -1]
    for line in lines:
        stamp, _, words = line.partition(" ")
        if not stamp.isdecimal() or int(stamp) < int(since * 1000):
            continue
        yield "".join(
            c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}"
            for c in _TERMINAL.sub("", words)
        )


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
