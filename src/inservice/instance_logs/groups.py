"""The log files of instances as CloudWatch Logs has them: groups, streams, events.

    <log dir>/<account>/<region>/<endpoint>/<variant>/<instance id, quoted>.log[.1 …]
    /aws/sagemaker/Endpoints/<endpoint>     <variant>/<instance id>

A line is `<epoch milliseconds> <text>` and an event. Where an event is, is told by its time and by
how many events of the same time are before it in its stream: a place that holds when files rotate.
Files are only read, and never all of them: a moment is found by halving.

No name of a request becomes part of a path: directories are listed, and their names compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from inservice.instance_logs.base import FOREVER, START, LogEvent, LogGroup, Place
from inservice.instance_logs.lines import FILES

PREFIX = "/aws/sagemaker/Endpoints/"
TAIL_BYTES = 64 * 1024
"""More than the longest line: the end of a file that surely holds its last whole one."""

SHORT_TAIL_BYTES = 4 * 1024
"""What usually has the last whole line of a file."""

FIRST_PIECE_BYTES = 256 * 1024
"""What is read first on the way back from the end of a log: a thousand lines or two."""


@dataclass(frozen=True, slots=True)
class FileStream:
    """What one instance wrote."""

    name: str
    files: tuple[Path, ...]  # oldest first

    def stored_bytes(self) -> int:
        """Size of all its files."""
        return sum(_size(file) for file in self.files)

    def first_at_ms(self) -> int | None:
        """Time of its oldest event; None before the first."""
        return next((event.place.at_ms for event in self.events()), None)

    def last_at_ms(self) -> int | None:
        """Time of its newest event; None before the first."""
        return next((at for file in reversed(self.files) if (at := _last_at(file))), None)

    def latest(self, start_ms: int, before: Place, limit: int) -> list[LogEvent]:
        """The last `limit` events from `start_ms` on and before a place, oldest first."""
        return latest(self, start_ms, before, limit)

    def events(self, start: Place = START, end_ms: int = FOREVER) -> Iterator[LogEvent]:
        """Events from `start` on and before `end_ms`, oldest first."""
        at_ms, number = -1, 0
        for file in self.files:
            if (last := _last_at(file)) is not None and last < start.at_ms:
                continue
            for stamp, text in _lines(file, start.at_ms):
                number = number + 1 if stamp == at_ms else 0
                at_ms = stamp
                if stamp >= end_ms:
                    return
                if (stamp, number) >= start:
                    yield LogEvent(self.name, Place(stamp, number), text)


class FileGroups:
    """All log files of this server."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir

    def groups(self, account: str, region: str) -> list[LogGroup]:
        """Every group, by name."""
        owned = _children(_child(_child(self._log_dir, account), region))
        found = [LogGroup(PREFIX + name, _streams(path)) for name, path in owned]
        return sorted(found, key=lambda group: group.name)

    def group(self, account: str, region: str, name: str) -> LogGroup | None:
        """The group of that name, or None."""
        if not name.startswith(PREFIX):
            return None
        path = _child(_child(_child(self._log_dir, account), region), name.removeprefix(PREFIX))
        return None if path is None else LogGroup(name, _streams(path))


def latest(stream: FileStream, start_ms: int, before: Place, limit: int) -> list[LogEvent]:
    """The last `limit` events before a place, oldest first.

    Files are read from that place back, in pieces that grow, so the end of a long log costs a
    piece of it, and so does its middle.
    """
    for number, offset in _ways_back(stream.files, before.at_ms):
        complete = (number, offset) == (0, 0)
        found = list(_between(stream, number, offset, before))
        if not complete and found:
            # Numbers within a millisecond are right only from the oldest event of a log on.
            edge = found[0].place.at_ms
            found = [event for event in found if event.place.at_ms > edge]
            complete = edge < start_ms
        if complete or len(found) >= limit:
            return [event for event in found if event.place.at_ms >= start_ms][-limit:]
    return []


def _ways_back(files: Sequence[Path], before_ms: int) -> Iterator[tuple[int, int]]:
    """Where to begin reading: (number of the file, offset), ever further back."""
    for number in reversed(range(len(files))):
        try:
            with files[number].open("rb") as opened:
                end = os.fstat(opened.fileno()).st_size
                if before_ms < FOREVER:
                    end = min(end, _find(opened, before_ms) + 2 * TAIL_BYTES)
        except FileNotFoundError:
            continue
        piece = FIRST_PIECE_BYTES
        while end > 0:
            end = max(0, end - piece)
            piece *= 2
            yield number, end
    yield 0, 0


def _between(stream: FileStream, number: int, offset: int, before: Place) -> Iterator[LogEvent]:
    """Events from an offset in one of a stream's files up to a place."""
    at_ms, count = -1, 0
    for file in stream.files[number:]:
        for stamp, text in _lines_from(file, offset):
            count = count + 1 if stamp == at_ms else 0
            at_ms = stamp
            if (stamp, count) >= before:
                return
            yield LogEvent(stream.name, Place(stamp, count), text)
        offset = 0


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def _children(directory: Path | None) -> list[tuple[str, Path]]:
    """The names that a directory's entries were quoted from, and the entries."""
    if directory is None:
        return []
    try:
        return [(unquote(entry.name), Path(entry.path)) for entry in os.scandir(directory)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _child(directory: Path | None, name: str) -> Path | None:
    return next((path for child, path in _children(directory) if child == name), None)


def _streams(endpoint: Path) -> tuple[FileStream, ...]:
    found = [
        FileStream(f"{variant}/{file.removesuffix('.log')}", _files(path))
        for variant, directory in _children(endpoint)
        for file, path in _children(directory)
        if file.endswith(".log")
    ]
    return tuple(sorted(found, key=lambda stream: stream.name))


def _files(newest: Path) -> tuple[Path, ...]:
    older = [newest.with_name(f"{newest.name}.{number}") for number in range(1, FILES)]
    return tuple(reversed([newest, *(path for path in older if path.exists())]))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _lines(file: Path, from_ms: int) -> Iterator[tuple[int, str]]:
    """(time, text) of the lines from the first that is not before `from_ms`."""
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        return
    with opened:
        opened.seek(_find(opened, from_ms))
        for line in opened:
            parsed = _parse(line)
            if parsed is not None and parsed[0] >= from_ms:
                yield parsed


def _lines_from(file: Path, offset: int) -> Iterator[tuple[int, str]]:
    """(time, text) of the whole lines from an offset on."""
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        return
    with opened:
        if offset:
            opened.seek(offset)
            opened.readline()
        yield from (parsed for line in opened if (parsed := _parse(line)) is not None)


def _find(opened: BinaryIO, from_ms: int) -> int:
    """Offset of a line at or shortly before the first that is not before `from_ms`."""
    low, high = 0, os.fstat(opened.fileno()).st_size
    while high - low > TAIL_BYTES:
        middle = (low + high) // 2
        opened.seek(middle)
        opened.readline()
        parsed = _parse(opened.readline())
        if parsed is None or parsed[0] >= from_ms:
            high = middle
        else:
            low = middle
    if low:
        opened.seek(low)
        opened.readline()
        return opened.tell()
    return 0


def _last_at(file: Path) -> int | None:
    """Time of the last line."""
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            for tail in (SHORT_TAIL_BYTES, TAIL_BYTES):
                opened.seek(max(0, size - tail))
                lines = opened.read().splitlines(keepends=True)
                if size > tail:
                    del lines[:1]  # half a line, perhaps
                for line in reversed(lines):
                    if (parsed := _parse(line)) is not None:
                        return parsed[0]
    except FileNotFoundError:
        pass
    return None


def _parse(line: bytes) -> tuple[int, str] | None:
    """None for half a line: one that is being written, or that a seek landed in."""
    stamp, space, text = line.partition(b" ")
    if not space or not line.endswith(b"\n") or not stamp.isdigit() or len(stamp) > 15:
        return None
    return int(stamp), text[:-1].decode(errors="replace")
