"""Control's end of the channel, without its sockets and files: who has what, and what to send.

A fleet may be stopped when every live worker has acknowledged a table without it. So a version is
believed to be served by a worker only after that worker has said so, on the connection that it has
now, of a version that it was sent there or brought along. Who it is, the kernel says. A worker that
lives and has not called counts as one that has acknowledged nothing.

A delta goes to whoever was sent the version before. Who calls is brought up by the deltas since, if
the journal goes back as far, else by the whole table; who says that a delta was missed gets the
whole table, once, because the same deltas would be missed again. Versions only grow, also over
restarts and over a lost file: they are milliseconds since the epoch, or the last version plus one
if that is more.

A control that finds no table, or a damaged one, while workers serve asks them for theirs before it
publishes anything: they know more than it does, and must not be told to know less. Only of workers
that live is a newer table believed, since control goes ahead of it.

Connections are numbers here. What the edge is to do is told in events, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from inservice.channel.denials import DenialRow
from inservice.channel.messages import (
    GREETING_BYTES_MAX,
    LINE_BYTES_MAX,
    SPEAKS,
    Acknowledged,
    Counts,
    CountsKept,
    Denials,
    Garbled,
    Hello,
    Lines,
    Missed,
    Tell,
    Told,
    Unfamiliar,
    Welcome,
    delta_line,
    encode,
    said_in,
    whole_line,
)
from inservice.channel.storage_counts import StorageCounts
from inservice.channel.tables import VERSION_MAX, Delta
from inservice.routing.table import RoutingTable


@dataclass(frozen=True, slots=True)
class Send:
    """A line for a connection."""

    to: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Encode:
    """Somebody needs the whole table: encode this one, and call `encoded`."""

    table: RoutingTable


@dataclass(frozen=True, slots=True)
class Outbid:
    """The table has got a new version, and no delta leads to it: write it down."""

    table: RoutingTable


@dataclass(frozen=True, slots=True)
class News:
    """Workers may have come to serve by a newer table."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """It is known now whose connection this is."""

    origin: int
    pid: int


@dataclass(frozen=True, slots=True)
class HangUp:
    """The same process has called again: end this older connection of it. If a worker hears
    nothing more on it and does live, it calls again."""

    origin: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A worker's counts: keep them, and then send what `kept` gives."""

    origin: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Denied:
    """Invocations that a worker refused: have them written down."""

    rows: Sequence[DenialRow]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the storage process has counted."""

    counts: StorageCounts


@dataclass(frozen=True, slots=True)
class Note:
    """For the log."""

    words: str
    pid: int | None = None


Event = Send | Encode | Outbid | News | Greeted | HangUp | Counted | Denied | Stored | Note

Alive = Collection[int] | None
"""The pids of the workers that live; None when nobody says, and whoever calls is one of them."""

NOTES_MAX = 100
"""Different things that are said once each in the log: garbage has no end of new words."""


@dataclass(slots=True)
class _Peer:
    """A connection, and the worker that greeted on it."""

    number: int
    caller: int  # the pid that the kernel gives; 0 if it cannot tell
    lines: Lines
    pid: int = 0  # until it has greeted
    version: int = -1  # the newest table it has acknowledged
    sent: int = -1  # the newest that was sent to it
    newest: int = -1  # that it can have: the newest it was ever sent here or brought along
    routes: bool = True  # else it follows, and nobody waits for it or believes it
    asked: bool = False  # to tell its table, and has not yet
    waits: bool = False  # for the whole table, which is being encoded
    follows: bool = True  # deltas: it knows all that can be in one


class ControlEnd:
    """What control makes of what the workers say."""

    def __init__(
        self, sequel: Callable[[int], Sequence[bytes] | None], millis: Callable[[], int]
    ) -> None:
        """`sequel` gives the encoded deltas that lead on from a version to the newest table; None
        if it does not go back as far. `millis` is the time, in milliseconds since the epoch."""
        self._millis = millis
        self._sequel = sequel
        self._peers: dict[int, _Peer] = {}
        self._workers: dict[int, _Peer] = {}  # by pid: the connection that greeted last
        self._encoding = False
        self._noted: set[str] = set()
        self.table = RoutingTable(0, {}, {})
        self.recovering = False

    def next_version(self) -> int:
        """Of a table that is new now."""
        return max(self.table.version + 1, self._millis())

    def acknowledged(self, alive: Alive) -> int:
        """The newest version that every live worker serves from; -1 if one has said nothing."""
        pids = self._routing() if alive is None else alive
        return min(
            (self._workers[pid].version if pid in self._workers else -1 for pid in pids), default=-1
        )

    def _routing(self) -> list[int]:
        """The pids of those who have called and send requests to instances."""
        return [pid for pid, peer in self._workers.items() if peer.routes]

    # ── connections ─────────────────────────────────────────────────────────────────────────────
    def connected(self, number: int, caller: int) -> None:
        """The process `caller` has called; 0 if nobody can tell."""
        self._peers[number] = _Peer(number, caller, Lines(GREETING_BYTES_MAX))

    def gone(self, number: int) -> list[Event]:
        """A connection has ended: nothing that was said on it holds any more."""
        peer = self._peers.pop(number)
        if self._workers.get(peer.pid) is not peer:
            return []
        del self._workers[peer.pid]
        return [News()]

    def pid(self, number: int) -> int | None:
        """Who greeted on a connection."""
        return self._peers[number].pid or None

    def lines(self, number: int, data: bytes) -> list[bytes]:
        """The lines that end in these bytes. Raises Garbled: then the connection is to end."""
        return self._peers[number].lines.feed(data)

    def hear(self, number: int, line: bytes, alive: Alive) -> list[Event]:
        """Take what a line says. Raises Garbled: then the connection is to end."""
        peer = self._peers[number]
        events: list[Event] = []
        for message in said_in(line):
            match message:
                case Unfamiliar(kind):
                    events += self._note(
                        f"a worker says {kind[:80]!r}: not known here, passed over", peer.pid
                    )
                case Hello():
                    events += self._greet(peer, message, alive)
                case _ if not peer.pid:
                    raise Garbled("it has not said who it is")
                case Acknowledged(version):
                    peer.version = _possible(version, peer)
                    events.append(News())
                case Missed(version):
                    peer.version = peer.sent = _possible(version, peer)
                    events += [News(), *self._bring_up_whole(peer)]
                case Told(table):
                    events += self._told(peer, table, alive)
                case Counts():
                    events.append(Counted(number, message))
                case Denials(rows):
                    events.append(Denied(rows))
                case StorageCounts():
                    events.append(Stored(message))
        return events

    def kept(self, number: int, seq: int) -> list[Event]:
        """A worker's counts are as durable as they are going to be."""
        return [Send(number, encode(CountsKept(seq)))] if number in self._peers else []

    def _greet(self, peer: _Peer, hello: Hello, alive: Alive) -> list[Event]:
        if peer.pid:
            raise Garbled("it has said before who it is")
        if peer.caller not in (0, hello.pid):
            raise Garbled(f"it is process {peer.caller}, and says {hello.pid}")
        peer.pid, peer.lines.limit, peer.routes = hello.pid, LINE_BYTES_MAX, hello.routes
        peer.version = peer.sent = peer.newest = hello.version
        peer.follows = hello.speaks >= SPEAKS
        older = self._workers.get(peer.pid)
        self._workers[peer.pid] = peer
        events: list[Event] = [
            *([HangUp(older.number)] if older else []),
            Greeted(peer.number, peer.pid),
            Send(peer.number, encode(Welcome(SPEAKS))),
        ]
        if hello.speaks != SPEAKS:
            events += self._note(
                f"a worker speaks version {hello.speaks} of the channel, control {SPEAKS}: "
                "what only one of them knows is passed over",
                peer.pid,
            )
        if not self.recovering:
            return [*events, *self.looked(alive), *self._bring_up(peer), News()]
        if hello.version > self.table.version and peer.routes:
            peer.asked = True
            events.append(Send(peer.number, encode(Tell())))
        return events

    def looked(self, alive: Alive) -> list[Event]:
        """Go ahead of every live worker that serves by a newer table than ours, and was too late to
        tell it: it would take nothing of ours until then. By the clock, and not just by one: the
        version after theirs may be the one that another worker serves by."""
        newest = max((peer.version for peer in self._living(alive)), default=-1)
        if self.recovering or newest <= self.table.version or newest >= VERSION_MAX:
            return []
        version = max(newest + 1, self._millis())
        self.table = replace(self.table, version=version)
        events: list[Event] = [
            Note(f"a worker has a newer routing table, of version {newest}"),
            Outbid(self.table),
        ]
        for peer in self._workers.values():
            events += self._bring_up(peer)
        return events

    def _living(self, alive: Alive) -> list[_Peer]:
        return [
            peer
            for pid, peer in self._workers.items()
            if peer.routes and (alive is None or pid in alive)
        ]

    # ── what is sent ────────────────────────────────────────────────────────────────────────────
    def published(self, delta: Delta, encoded: bytes, table: RoutingTable) -> list[Event]:
        """A delta is written down, and leads to this table: tell everybody."""
        self.table = table
        line = delta_line(encoded)
        events: list[Event] = []
        for peer in self._workers.values():
            if peer.sent == delta.after and peer.follows and not peer.waits:
                peer.sent = peer.newest = delta.version
                events.append(Send(peer.number, line))
            else:
                events += self._bring_up(peer)
        return events

    def _bring_up(self, peer: _Peer) -> list[Event]:
        """What it has not got: the deltas since, or the whole table."""
        if self.recovering or peer.waits or peer.sent >= self.table.version:
            return []
        lines = self._sequel(peer.sent) if peer.follows else None
        if not lines:
            return self._bring_up_whole(peer)
        peer.sent = peer.newest = self.table.version
        return [Send(peer.number, delta_line(line)) for line in lines]

    def _bring_up_whole(self, peer: _Peer) -> list[Event]:
        if self.recovering or peer.sent >= self.table.version:
            return []
        peer.waits = True
        if self._encoding:  # one that is encoded for somebody else will do
            return []
        self._encoding = True
        return [Encode(self.table)]

    def encoded(self, table: RoutingTable, encoded: bytes) -> list[Event]:
        """The whole table for all who wait for it, and to each what has changed since."""
        self._encoding = False
        line = whole_line(encoded)
        events: list[Event] = []
        for peer in self._workers.values():
            if peer.waits:
                peer.waits = False
                if peer.sent < table.version:
                    peer.sent, peer.newest = table.version, max(peer.newest, table.version)
                    events.append(Send(peer.number, line))
                events += self._bring_up(peer)
        return events

    # ── a lost table ────────────────────────────────────────────────────────────────────────────
    def _told(self, peer: _Peer, table: RoutingTable, alive: Alive) -> list[Event]:
        if not peer.asked or table.version != peer.version:
            raise Garbled("it tells a table that it was not asked for")
        peer.asked = False
        known = alive is None or peer.pid in alive
        if self.recovering and known and table.version > self.table.version:
            self.table = table
        return []

    def have_told(self, alive: Alive) -> bool:
        """Whether every live worker has called, and told what it was asked."""
        pids = self._routing() if alive is None else alive
        return all(pid in self._workers and not self._workers[pid].asked for pid in pids)

    def recovered(self, alive: Alive) -> list[Event]:
        """Go on with the newest table that was told."""
        self.recovering = False
        events: list[Event] = [
            Note(f"the routing table was lost, and version {self.table.version} recovered"),
            *self.looked(alive),
        ]
        for peer in self._workers.values():
            events += self._bring_up(peer)
        return events

    def _note(self, words: str, pid: int) -> list[Event]:
        if words in self._noted or len(self._noted) >= NOTES_MAX:
            return []
        self._noted.add(words)
        return [Note(words, pid or None)]


def _possible(version: int, peer: _Peer) -> int:
    """A version that a worker can serve by, on this connection."""
    if version > peer.newest:
        raise Garbled(f"it serves by version {version}, and cannot have more than {peer.newest}")
    return version
