"""What processes use of the host's CPU and memory, read from /proc once for all of them.

One pass over /proc says of every process who its parent is, so the descendants of three hundred
instances cost the same pass as those of one. What a process really holds of memory it shares, its
proportional set size, the kernel adds up page by page: a millisecond for a model of some hundred
megabytes. So it is only asked again when the process has had some page faults since, or holds more
pages or fewer; of an idle one it is asked every few minutes, because its share also changes with
the others that end.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inservice import linux

PSS_SECONDS = 300.0
"""How long the memory of a process that does nothing is taken to be what it was."""

PAGES = 256
"""Page faults, or pages more or fewer, that change little: a megabyte at most."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as the kernel counts it."""

    pid: int
    parent: int
    start_ticks: int  # since boot; with the pid, who it is
    cpu_seconds: float
    faults: int  # page faults
    pages: int  # resident


@dataclass(frozen=True, slots=True)
class _Held:
    """How much memory a process held, and when and in what state that was seen."""

    bytes: int
    by: Process
    at: float

    def is_true_of(self, process: Process, now: float) -> bool:
        """Whether it cannot be much else by now."""
        return (
            self.by.start_ticks == process.start_ticks
            and process.faults - self.by.faults < PAGES
            and abs(process.pages - self.by.pages) < PAGES
            and 0.0 <= now - self.at < PSS_SECONDS
        )


class Processes:
    """Looks, and remembers what need not be looked at again."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self.summed = 0
        """How often the kernel was asked to add up somebody's pages."""

    def look(self) -> Family:
        """Everybody, now."""
        everybody = {process.pid: process for process in _everybody()}
        self._held = {pid: held for pid, held in self._held.items() if pid in everybody}
        return Family(everybody)

    def memory_bytes(self, process: Process, now: float) -> int:
        """What it holds, what it shares with others shared out; 0 when it is gone."""
        held = self._held.get(process.pid)
        if held is None or not held.is_true_of(process, now):
            self.summed += 1
            held = self._held[process.pid] = _Held(_pss_bytes(process.pid), process, now)
        return held.bytes


class Family:
    """Who was there, and whose children they were."""

    def __init__(self, everybody: dict[int, Process]) -> None:
        self._everybody = everybody
        self._children: dict[int, list[Process]] = defaultdict(list)
        for process in everybody.values():
            self._children[process.parent].append(process)

    def of(self, pid: int) -> list[Process]:
        """A process and all its descendants; nobody when it is gone."""
        first = self._everybody.get(pid)
        found = [] if first is None else [first]
        for process in found:  # grows
            found += self._children.get(process.pid, ())
        return found


def _everybody() -> Iterator[Process]:
    for pid in linux.pids():
        if (stat := linux.process_stat(pid)) is not None:
            yield Process(
                pid,
                parent=int(stat[linux.PARENT]),
                start_ticks=int(stat[linux.START_TICKS]),
                cpu_seconds=(int(stat[linux.USER_TICKS]) + int(stat[linux.SYSTEM_TICKS])) / _TICKS,
                faults=int(stat[linux.MINOR_FAULTS]) + int(stat[linux.MAJOR_FAULTS]),
                pages=int(stat[linux.PAGES]),
            )


def _pss_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:  # gone, or not ours to look into
        return 0
    return sum(
        int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(b"Pss:")
    )
