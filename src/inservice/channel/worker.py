"""A worker's end of the channel, without its socket: lines in; tables to serve by, and lines out.

A worker never goes back: an older table may send requests to instances that were stopped since. And
it serves by one table at a time, whole: a delta is taken when it leads on from the very version it
serves by. If it does not, the worker says so, changes nothing, and gets the whole table. It says
which version it serves by only once it does.

Nothing of this belongs to one connection, so a worker that is cut off goes on from where it was.

Who routes nothing has nothing to fear from an older table, and much from one that is not control's:
a key that is no more. It begins each connection as if it had no table, and takes the one it gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from inservice.channel.messages import (
    SPEAKS,
    Acknowledged,
    CountsKept,
    Hello,
    Missed,
    Tell,
    Told,
    Unfamiliar,
    Unsound,
    Welcome,
    Whole,
    asked_in,
    encode,
)
from inservice.channel.tables import Delta, table_after
from inservice.routing.table import RoutingTable


class Serving(Protocol):
    """Whoever serves by the table."""

    @property
    def table(self) -> RoutingTable:
        """What is served by now."""
        ...

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:
        """Serve by this from now on; `delta` is all in which it differs from the one before."""
        ...


@dataclass(slots=True)
class Heard:
    """What comes of a line."""

    answer: bytes = b""
    kept: int | None = None
    """Control has kept the counts up to this number."""
    notes: list[str] = field(default_factory=list)
    """For the log."""


class WorkerEnd:
    """What a worker makes of what control says."""

    def __init__(self, serving: Serving, pid: int, index: int, *, routes: bool = True) -> None:
        """`routes` says whether requests are sent to instances by what is heard."""
        self._serving = serving
        self._pid = pid
        self._index = index
        self._routes = routes
        self._noted: set[str] = set()

    def greeting(self) -> bytes:
        """The first line on a connection."""
        version = self._serving.table.version if self._routes else -1
        return encode(Hello(self._pid, version, self._index, SPEAKS, self._routes))

    def hear(self, line: bytes) -> Heard:
        """Take what a line says. Raises Garbled for what is no message."""
        heard = Heard()
        for message in asked_in(line):
            match message:
                case Delta():
                    heard.answer += self._follow(message)
                case Whole(table):
                    if table.version > self._serving.table.version or not self._routes:
                        self._serving.serve(table)
                    # Also when it is older: what control needs to know is what we serve by.
                    heard.answer += self._version_served()
                case Unsound(is_delta, why):
                    heard.notes.append(f"a routing table was refused: {why}")
                    heard.answer += self._missed() if is_delta else self._version_served()
                case CountsKept(seq):
                    heard.kept = seq
                case Tell():
                    if self._routes:
                        heard.answer += encode(Told(self._serving.table))
                case Welcome(speaks):
                    if speaks != SPEAKS:
                        self._note(
                            heard,
                            f"control speaks version {speaks} of the channel, this worker "
                            f"{SPEAKS}: what only one of them knows is passed over",
                        )
                case Unfamiliar(kind):
                    self._note(heard, f"control says {kind[:80]!r}: not known here, passed over")
        return heard

    def _follow(self, delta: Delta) -> bytes:
        table = self._serving.table
        if delta.version > table.version:
            if delta.after != table.version:
                return self._missed()
            self._serving.serve(table_after(table, [delta]), delta)
        return self._version_served()  # also of one that ours holds already

    def _version_served(self) -> bytes:
        return encode(Acknowledged(self._serving.table.version))

    def _missed(self) -> bytes:
        return encode(Missed(self._serving.table.version))

    def _note(self, heard: Heard, words: str) -> None:
        if words not in self._noted and len(self._noted) < NOTES_MAX:
            self._noted.add(words)
            heard.notes.append(words)


NOTES_MAX = 100
"""Different things that are said once each in the log: garbage has no end of new words."""
