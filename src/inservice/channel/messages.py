"""Every message between control and a gateway worker, and how it is written: one line of JSON.

The storage process follows the channel too, for who may do what. It routes nothing, and says so:
nobody waits for its acknowledgements, and it is never asked for a table.

    worker → control   {"hello": {"pid", "index", "version", "speaks", "routes"}}
                       {"ack": n} · {"missed": n} · {"told": table}
                       {"metrics": {"seq": n, "rows": […]}} · {"denials": {"rows": […]}}
                       {"storage": counts}
    control → worker   {"welcome": {"speaks": n}} · {"table": table} · {"change": delta}
                       {"tell": true} · {"metrics_ack": n}

`inservice reload` and `restart` renew control and the workers one after the other, so for a while a
worker talks to a control of another version. Therefore a kind, once used, keeps its name and its
meaning; a new member of a message has a default; and what an end does not know it passes over:
another kind is an `Unfamiliar`, other members are nothing at all. SPEAKS grows with every new kind
or member, so that both ends can say in their logs that something is passed over.

What is no line of such messages is `Garbled`, and ends its connection. A table or a delta that is
not sound in a line that is otherwise well is `Unsound`: it is refused, and the worker says what it
serves by, because hanging up would bring the same table again.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from inservice.channel.counts import InvocationRow
from inservice.channel.denials import DenialRow
from inservice.channel.storage_counts import StorageCounts
from inservice.channel.tables import (
    Delta,
    Version,
    decode_delta,
    decode_table,
    encode_table,
)
from inservice.routing.table import RoutingTable

SPEAKS = 4
"""The version of this language. 1 had no `welcome` and did not say which it was, 2 no `denials`, 3
nobody who routes nothing, and told all permanent keys at once. To a worker of an older one whole
tables are sent: a delta of which it passed something over would leave it with a key that was taken
away."""

LINE_BYTES_MAX = 256 * 1024 * 1024
"""The longest message: a table of a hundred thousand instances is 20 MB."""

GREETING_BYTES_MAX = 64 * 1024
"""The longest first message of a worker, from whom nothing is known yet."""

Pid = Annotated[int, msgspec.Meta(ge=1, le=2**22)]  # <linux/threads.h>, PID_MAX_LIMIT
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Garbled(ValueError):
    """Not a message, or one that no end sends."""


class Unfamiliar(msgspec.Struct, frozen=True):
    """A message of a kind that this version does not know."""

    kind: str


# ── worker → control ────────────────────────────────────────────────────────────────────────────
class Hello(msgspec.Struct, frozen=True):
    """A worker has connected."""

    pid: Pid
    version: Version
    """Of the table that it serves by."""
    index: int = 0
    speaks: int = 1
    routes: bool = True
    """Requests are sent to instances by what it is told."""


class Acknowledged(msgspec.Struct, frozen=True):
    """The worker serves by this version, for all that it was sent."""

    version: Version


class Missed(msgspec.Struct, frozen=True):
    """A delta did not lead on from this version, by which the worker serves."""

    version: Version


class Told(msgspec.Struct, frozen=True):
    """The table that the worker serves by, because it was asked."""

    table: RoutingTable


class Counts(msgspec.Struct, frozen=True):
    """What the worker counted. It is sent until a CountsKept says that it is kept."""

    seq: Seq
    rows: list[InvocationRow]


class Denials(msgspec.Struct, frozen=True):
    """Invocations that the worker refused. It is sent once."""

    rows: list[DenialRow]


Said = Hello | Acknowledged | Missed | Told | Counts | Denials | StorageCounts | Unfamiliar
"""What a worker may say."""


# ── control → worker ────────────────────────────────────────────────────────────────────────────
class Welcome(msgspec.Struct, frozen=True):
    """Control answers a Hello."""

    speaks: int = 1


class Whole(msgspec.Struct, frozen=True):
    """Serve by this table."""

    table: RoutingTable


class Tell(msgspec.Struct, frozen=True):
    """Tell the table that you serve by: control has lost its own."""


class CountsKept(msgspec.Struct, frozen=True):
    """All counts up to this number are kept."""

    seq: Seq


class Unsound(msgspec.Struct, frozen=True):
    """A table, or a delta, that cannot be served by."""

    is_delta: bool
    why: str


Asked = Welcome | Whole | Delta | Tell | CountsKept | Unsound | Unfamiliar
"""What control may say."""

_Kind = TypeVar("_Kind")

_LINES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_HELLOS = msgspec.json.Decoder(Hello)
_VERSIONS = msgspec.json.Decoder(Version)
_COUNTS = msgspec.json.Decoder(Counts)
_DENIALS = msgspec.json.Decoder(Denials)
_STORAGE = msgspec.json.Decoder(StorageCounts)
_WELCOMES = msgspec.json.Decoder(Welcome)
_SEQS = msgspec.json.Decoder(Seq)
_ENCODER = msgspec.json.Encoder()


# ── writing ─────────────────────────────────────────────────────────────────────────────────────
def encode(message: Said | Asked) -> bytes:
    """A message as a line, newline included."""
    match message:
        case Hello():
            return _line("hello", message)
        case Acknowledged(version):
            return _line("ack", version)
        case Missed(version):
            return _line("missed", version)
        case Told(table):
            return b'{"told":' + encode_table(table) + b"}\n"
        case Counts():
            return _line("metrics", message)
        case Denials():
            return _line("denials", message)
        case StorageCounts():
            return _line("storage", message)
        case Welcome():
            return _line("welcome", message)
        case Whole(table):
            return whole_line(encode_table(table))
        case Delta():
            return _line("change", message)
        case Tell():
            return _line("tell", True)
        case CountsKept(seq):
            return _line("metrics_ack", seq)
    raise TypeError(f"{type(message).__name__} is not said")


def whole_line(encoded: bytes) -> bytes:
    """A Whole of a table that is encoded already."""
    return b'{"table":' + encoded + b"}\n"


def delta_line(encoded: bytes) -> bytes:
    """The message with a delta, of its line in the journal."""
    return b'{"change":' + encoded[:-1] + b"}\n"


def _line(kind: str, what: Any) -> bytes:
    return _ENCODER.encode({kind: what}) + b"\n"


# ── reading ─────────────────────────────────────────────────────────────────────────────────────
def said_in(line: bytes) -> list[Said]:
    """What a worker's line says; raises Garbled."""
    found: list[Said] = []
    for kind, raw in _parts(line).items():
        try:
            found.append(_said(kind, raw))
        except (ValueError, RecursionError) as error:
            raise Garbled(f"{kind}: {error}") from None
    return found


def _said(kind: str, raw: msgspec.Raw) -> Said:
    match kind:
        case "hello":
            return _HELLOS.decode(raw)
        case "ack":
            return Acknowledged(_VERSIONS.decode(raw))
        case "missed":
            return Missed(_VERSIONS.decode(raw))
        case "told":
            return Told(decode_table(raw))
        case "metrics":
            return _COUNTS.decode(raw)
        case "denials":
            return _DENIALS.decode(raw)
        case "storage":
            return _STORAGE.decode(raw)
    return Unfamiliar(kind)


def asked_in(line: bytes) -> list[Asked]:
    """What a line of control's says; raises Garbled."""
    found: list[Asked] = []
    for kind, raw in _parts(line).items():
        try:
            found.append(_asked(kind, raw))
        except (ValueError, RecursionError) as error:
            if kind not in ("table", "change"):
                raise Garbled(f"{kind}: {error}") from None
            found.append(Unsound(kind == "change", str(error)))
    return found


def _asked(kind: str, raw: msgspec.Raw) -> Asked:
    match kind:
        case "change":
            return decode_delta(raw)
        case "table":
            return Whole(decode_table(raw))
        case "metrics_ack":
            return CountsKept(_SEQS.decode(raw))
        case "tell":
            return Tell()
        case "welcome":
            return _WELCOMES.decode(raw)
    return Unfamiliar(kind)


def _parts(line: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _LINES.decode(line)
    except (ValueError, RecursionError) as error:
        raise Garbled(str(error)) from None


class Lines:
    """Bytes in as they come, whole lines out."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: list[bytes] = []  # of a line whose end has not come
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in these bytes, without their ends. Raises Garbled when one is longer
        than the limit."""
        first, *rest = data.split(b"\n")
        self._kept.append(first)
        self._size += len(first)
        found = []
        if rest:
            found = [b"".join(self._kept), *rest[:-1]]
            self._kept, self._size = [rest[-1]], len(rest[-1])
        if max(self._size, *map(len, found), 0) > self.limit:
            raise Garbled(f"a line of more than {self.limit} bytes")
        return found
