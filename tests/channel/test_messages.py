"""Every message as it is written, read by the version before and by the one after; and garbage."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inservice.channel.control import ControlEnd, Encode, Event, Note, Send
from inservice.channel.counts import InvocationRow
from inservice.channel.denials import DenialRow
from inservice.channel.messages import (
    SPEAKS,
    Acknowledged,
    Asked,
    Counts,
    CountsKept,
    Denials,
    Garbled,
    Hello,
    Lines,
    Missed,
    Said,
    Tell,
    Told,
    Welcome,
    Whole,
    asked_in,
    encode,
    said_in,
)
from inservice.channel.storage_counts import OperationCount, StorageCounts
from inservice.channel.tables import (
    Delta,
    decode_delta,
    decode_table,
    encode_delta,
    encode_table,
    table_after,
)
from inservice.channel.worker import WorkerEnd
from inservice.routing.table import (
    EndpointRoute,
    FleetRoute,
    InstanceRoute,
    KeyRoute,
    RoutingTable,
    SessionRoute,
)

ROUTE = EndpointRoute(
    "0", "r", "e", (FleetRoute("g-1-v", "v", "c", 10_000, "RANDOM", (InstanceRoute("i", "a"),)),)
)
KEY = ("0", "r", "e")
TABLE = RoutingTable(7, {KEY: ROUTE}, {"k": KeyRoute("k", "s", "0", "arn")})
DENIAL = DenialRow(1.5, "arn", "k", "sagemaker:InvokeEndpoint", "arn", "r", "id", unwritten=2)
ROW = InvocationRow("0", "r", "e", "v", "f", "c", "g-1/0", 1.5, invocations=2, per_instance=1.0)

# What version 1 wrote, to the letter.
TABLE_1 = (
    b'{"version":7,"endpoints":[{"account":"0","region":"r","name":"e","fleets":[{"fleet":"g-1-v",'
    b'"variant":"v","config_name":"c","share":10000,"strategy":"RANDOM","instances":[{"id":"i",'
    b'"address":"a"}]}],"step":""}],"keys":[{"id":"k","secret":"s","account":"0","principal":"arn",'
    b'"session_token":null,"expires_at":null}]}'
)
CHANGE_1 = b'{"after":7,"version":9,"endpoint":["0","r","e"],"route":null,"keys":null}'
ROW_1: dict[str, Any] = json.loads(
    b'{"account":"0","region":"r","endpoint":"e","variant":"v","fleet":"f","config":"c",'
    b'"step":"g-1/0","at":1.5,"invocations":2,"taken_back":0,"client_errors":0,"server_errors":0,'
    b'"model_errors":0,"gateway_errors":0,"retried":0,"mid_stream_errors":0,"abandoned":0,'
    b'"per_instance":1.0,"concurrent_max":0,"model_latency":[0,0.0,0.0,0.0,[]],'
    b'"overhead_latency":[0,0.0,0.0,0.0,[]],"first_chunk_latency":[0,0.0,0.0,0.0,[]]}'
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"hello":{"pid":4,"index":1,"version":7}}', Hello(4, 7, 1, speaks=1)),
        (b'{"ack":7}', Acknowledged(7)),
        (b'{"missed":-1}', Missed(-1)),
        (b'{"told":' + TABLE_1 + b"}", Told(TABLE)),
        (json.dumps({"metrics": {"seq": 3, "rows": [ROW_1]}}).encode(), Counts(3, [ROW])),
    ],
)
def test_a_worker_of_version_1_is_understood(line: bytes, message: Said) -> None:
    assert said_in(line) == [message]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"table":' + TABLE_1 + b"}", Whole(TABLE)),
        (b'{"change":' + CHANGE_1 + b"}", Delta(7, 9, endpoint=KEY)),
        (b'{"tell":true}', Tell()),
        (b'{"metrics_ack":3}', CountsKept(3)),
    ],
)
def test_a_control_of_version_1_is_understood(line: bytes, message: Asked) -> None:
    assert asked_in(line) == [message]


def test_what_version_1_reads_is_still_written() -> None:
    """It took a message apart by these names, and gave what was left out its default."""
    assert json.loads(encode(Hello(4, 7, 1, SPEAKS)))["hello"].items() >= {
        "pid": 4, "index": 1, "version": 7
    }.items()  # fmt: skip
    assert [json.loads(encode(one)) for one in (Acknowledged(7), Missed(3), Tell())] == [
        {"ack": 7},
        {"missed": 3},
        {"tell": True},
    ]
    assert json.loads(encode(CountsKept(3))) == {"metrics_ack": 3}
    for kind, message in (("told", Told(TABLE)), ("table", Whole(TABLE))):
        assert json.loads(encode(message)) == {kind: json.loads(TABLE_1)}
    delta = json.loads(encode(Delta(7, 9, endpoint=KEY)))["change"]
    assert {"route": None, "keys": None} | delta == json.loads(CHANGE_1)
    counts = json.loads(encode(Counts(3, [ROW])))["metrics"]
    assert counts["seq"] == 3
    assert ROW_1 | counts["rows"][0] == ROW_1


@pytest.mark.parametrize(
    "message",
    [
        *(Hello(4, 7), Acknowledged(7), Missed(-1), Told(TABLE), Counts(3, [ROW, ROW])),
        *(Counts(0, []), Denials([DENIAL]), Denials([]), Hello(4, -1, routes=False)),
        StorageCounts([OperationCount("PutObject", "2xx", 3)], 5, 6, 1, 2, 7, 0, 100),
    ],
)
def test_what_a_worker_says_is_what_is_heard(message: Said) -> None:
    assert said_in(encode(message)) == [message]


@pytest.mark.parametrize(
    "message", [Welcome(3), Whole(TABLE), Delta(1, 2, KEY, ROUTE), Tell(), CountsKept(3)]
)
def test_what_control_says_is_what_is_heard(message: Asked) -> None:
    assert asked_in(encode(message)) == [message]


# ── what only one of them knows ─────────────────────────────────────────────────────────────────
class Serving:
    table = TABLE

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:
        self.table = table


def control() -> ControlEnd:
    end = ControlEnd(lambda _: None, lambda: 10)
    end.table = TABLE
    end.connected(1, 4)
    return end


def notes(events: list[Event]) -> list[str]:
    return [event.words for event in events if isinstance(event, Note)]


def test_a_newer_worker_is_understood_and_what_is_new_is_said_once() -> None:
    end = control()
    hello = b'{"hello":{"pid":4,"version":7,"speaks":99,"mood":"good"}}'
    (said,) = notes(end.hear(1, hello, [4]))
    assert "version 99" in said
    assert end.acknowledged([4]) == 7
    (said,) = notes(end.hear(1, b'{"demand":{"waiting":5}}', [4]))
    assert "'demand'" in said
    assert notes(end.hear(1, b'{"demand":{"waiting":6}}', [4])) == []
    row = {**ROW_1, "gpu_seconds": 3}
    (message,) = said_in(json.dumps({"metrics": {"seq": 3, "rows": [row], "x": 1}}).encode())
    assert message == Counts(3, [ROW])


def test_a_newer_control_is_understood_and_what_is_new_is_said_once() -> None:
    serving = Serving()
    end = WorkerEnd(serving, 4, 0)
    assert len(end.hear(encode(Welcome(99))).notes) == 1
    assert len(end.hear(b'{"paint":"blue"}').notes) == 1
    assert end.hear(b'{"paint":"red"}').notes == []
    heard = end.hear(b'{"change":{"after":7,"version":8,"shadow":{"of":"e"}}}')
    assert (heard.notes, said_in(heard.answer)) == ([], [Acknowledged(8)])
    assert (serving.table.version, serving.table.endpoints) == (8, TABLE.endpoints)


def test_a_worker_of_this_version_is_welcomed_in_silence() -> None:
    end = control()
    events = end.hear(1, encode(Hello(4, 7, 0, SPEAKS)), [4])
    assert notes(events) == []
    (welcome,) = [event.line for event in events if isinstance(event, Send)]
    assert asked_in(welcome) == [Welcome(SPEAKS)]
    assert WorkerEnd(Serving(), 4, 0).hear(welcome).notes == []


def test_who_would_pass_over_a_change_of_keys_is_sent_whole_tables() -> None:
    """A key that was taken away must not be believed by a worker of an older version."""
    end = control()
    for number, speaks in ((1, 3), (2, SPEAKS)):
        if number > 1:
            end.connected(number, 0)
        end.hear(number, encode(Hello(3 + number, end.table.version, 0, speaks)), None)
    key = KeyRoute("AKIA1", "s", "0", "arn")
    changes: list[dict[str, KeyRoute | None]] = [{"AKIA1": key}, {"AKIA1": None}]
    for change in changes:
        before = end.table
        delta = Delta(before.version, before.version + 1, key_changes=change)
        after = table_after(before, [delta])
        events = end.published(delta, encode_delta(delta), after)
        assert [event.to for event in events if isinstance(event, Send)] == [2]
        assert Encode(after) in events
        sent = end.encoded(after, encode_table(after))
        ((whole,),) = [asked_in(one.line) for one in sent if isinstance(one, Send)]
        assert isinstance(whole, Whole)
        assert whole.table.keys == after.keys


@pytest.mark.parametrize("worse", [b'{"version":9}', b"5", b"null"])
def test_an_unsound_table_is_refused_and_nobody_goes_round_in_circles(worse: bytes) -> None:
    """A delta that is not understood is missed; the table that comes then is the end of it."""
    serving = Serving()
    end = WorkerEnd(serving, 4, 0)
    heard = end.hear(b'{"change":' + worse + b"}")
    assert said_in(heard.answer) == [Missed(7)]
    assert len(heard.notes) == 1
    heard = end.hear(b'{"table":' + worse + b"}")
    assert said_in(heard.answer) == [Acknowledged(7)]
    assert serving.table is TABLE
    other = control()
    other.hear(1, encode(Hello(4, 5)), [4])
    other.encoded(TABLE, encode_table(TABLE))
    assert [
        one for one in other.hear(1, encode(Acknowledged(5)), [4]) if isinstance(one, Send)
    ] == []
    assert other.acknowledged([4]) == 5


# ── garbage ─────────────────────────────────────────────────────────────────────────────────────
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
NAMES = st.sampled_from(["pid", "version", "seq", "rows", "after", "endpoint", "keys", "other"])
JSON = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(NAMES, LEAVES, max_size=4)
SAID = ["hello", "ack", "missed", "told", "metrics"]
ASKED = ["welcome", "table", "change", "tell", "metrics_ack", "other"]
KINDS = st.sampled_from([*SAID, *ASKED])
GARBAGE = st.binary(max_size=60) | st.dictionaries(KINDS, JSON, max_size=3).map(
    lambda some: json.dumps(some).encode()
)


@given(line=GARBAGE)
@example(b"[" * 100_000)
@example(b'{"hello":' + b"[" * 100_000 + b"}")
@example(b'{"hello":{"pid":99999999999999999999,"version":1}}')
@example(b'{"hello":{"pid":-1,"version":1}}')
@example(b'{"hello":{"pid":4,"version":9223372036854775807}}')
@example(b'{"ack":18446744073709551616}')
@example(b'{"ack":8}')
@example(b'{"metrics":{"seq":1,"rows":[{"account":5}]}}')
@example(b'{"metrics":{"seq":-1,"rows":[]}}')
def test_garbage_is_garbled_and_believed_by_nobody(line: bytes) -> None:
    end = control()
    for greeting in ([], [encode(Hello(4, 7))]):
        with contextlib.suppress(Garbled):
            for one in (*greeting, line):
                end.hear(1, one, [4])
        assert end.table == TABLE
        assert end.acknowledged([4]) <= 7
        end.gone(1)
        end.connected(1, 4)
    serving = Serving()
    with contextlib.suppress(Garbled):
        WorkerEnd(serving, 4, 0).hear(line)
    assert serving.table.version >= 7


@pytest.mark.parametrize("first", [b'{"ack":7}', b'{"metrics":{"seq":1,"rows":[]}}'])
def test_nobody_is_heard_who_has_not_said_who_it_is(first: bytes) -> None:
    with pytest.raises(Garbled):
        control().hear(1, first, [4])


def test_nobody_speaks_for_another_process() -> None:
    with pytest.raises(Garbled, match="it is process 4, and says 5"):
        control().hear(1, encode(Hello(5, 7)), [4, 5])


def test_no_version_is_acknowledged_that_was_not_sent() -> None:
    end = control()
    end.hear(1, encode(Hello(4, 5)), [4])  # the table is of version 7, and is being encoded
    with pytest.raises(Garbled):
        end.hear(1, encode(Acknowledged(7)), [4])


def test_who_is_ahead_of_control_by_different_tables_is_outbid_by_the_clock() -> None:
    """The version after one worker's may be what another serves by."""
    now = 1_000
    end = ControlEnd(lambda _: None, lambda: now)
    for pid, version in ((4, 500), (5, 501)):
        end.connected(pid, pid)
        end.hear(pid, encode(Hello(pid, version)), [4, 5])
    assert end.table.version == 1_000
    assert end.acknowledged([4, 5]) == 500


@pytest.mark.parametrize("alive", [None, [4]])
def test_who_routes_nothing_is_told_and_nobody_waits_for_it(alive: list[int] | None) -> None:
    """Nor is it believed: neither what it serves by, nor a table of it."""
    end = ControlEnd(lambda _: None, lambda: 10)
    end.recovering = True
    end.connected(1, 4)
    end.connected(2, 5)
    end.hear(1, encode(Hello(4, 7, speaks=SPEAKS)), alive)
    told = end.hear(2, encode(Hello(5, 900, speaks=SPEAKS, routes=False)), alive)
    assert not [one for one in told if isinstance(one, Send) and one.line == encode(Tell())]
    end.hear(1, encode(Told(RoutingTable(7, {}, {}))), alive)
    assert end.have_told(alive)
    end.recovered(alive)
    assert end.table.version == 7
    delta = Delta(7, 10, endpoint=KEY)
    sent = end.published(delta, encode_delta(delta), table_after(end.table, [delta]))
    assert {each.to for each in sent if isinstance(each, Send)} == {1}
    end.encoded(end.table, encode_table(end.table))
    end.hear(1, encode(Acknowledged(10)), alive)
    assert end.acknowledged(alive) == 10
    end.gone(1)
    assert end.acknowledged(alive) == -1


def test_who_routes_nothing_takes_what_control_says_however_old() -> None:
    """It never tells a table of its own, for it keeps what is about principals alone."""
    serving = Serving()
    serving.table = RoutingTable(900, {}, {})
    end = WorkerEnd(serving, 5, -1, routes=False)
    (hello,) = said_in(end.greeting())
    assert hello == Hello(5, -1, -1, SPEAKS, routes=False)
    heard = end.hear(encode(Whole(TABLE)).rstrip())
    assert serving.table == TABLE
    assert heard.answer == encode(Acknowledged(7))
    assert end.hear(encode(Tell()).rstrip()).answer == b""
    assert end.hear(encode(Delta(7, 9, endpoint=KEY)).rstrip()).answer == encode(Acknowledged(9))


@given(parts=st.lists(st.binary(max_size=9) | st.just(b"\n")))
def test_lines_are_the_same_however_the_bytes_come(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    lines = Lines(1_000)
    found = [line for part in parts for line in lines.feed(part)]
    assert found == whole.split(b"\n")[:-1]


@pytest.mark.parametrize("before", [b"", b"x" * 6])
@pytest.mark.parametrize("rest", [b"x" * 11, b"x" * 11 + b"\n"])
def test_a_line_has_a_limit(before: bytes, rest: bytes) -> None:
    lines = Lines(10)
    assert lines.feed(b"y" * 10 + b"\n" + before) == [b"y" * 10]
    with pytest.raises(Garbled):
        lines.feed(rest)


# ── deltas ──────────────────────────────────────────────────────────────────────────────────────
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "keys", "ana", "tagged", "session"]), st.integers(0, 3)
        )
    ),
    cut=st.integers(0, 30),
)
def test_any_row_of_deltas_comes_to_the_same_as_the_table(
    steps: list[tuple[str, int]], cut: int
) -> None:
    table = start = RoutingTable(1, {}, {})
    wished: dict[str, EndpointRoute] = {}
    keys: tuple[KeyRoute, ...] = ()
    held: dict[str, str] = {}
    labels: dict[str, dict[str, str]] = {}
    sessions: dict[str, SessionRoute] = {}
    deltas = []
    for name, life in steps:
        after = table.version
        if name == "keys":
            keys = tuple(KeyRoute(str(n), "s", "0", "arn") for n in range(life))
            delta = Delta(after, after + 1, keys=keys)
        elif name == "ana":
            who, text = f"ana-{life % 2}", str(life) if life > 1 else None
            held = {arn: each for arn, each in {**held, who: text}.items() if each is not None}
            delta = Delta(after, after + 1, authorities={who: text})
        elif name == "session":
            key_id = f"ASIA{life % 2}"
            begun = SessionRoute(key_id, "s", "0", "arn", "token", 9.5, "{}") if life > 1 else None
            known = {**sessions, key_id: begun}
            sessions = {each: key for each, key in known.items() if key is not None}
            delta = Delta(after, after + 1, sessions={key_id: begun})
        elif name == "tagged":
            arn, tags = f"arn-{life % 2}", {"life": str(life)} if life > 1 else {}
            labels = {one: each for one, each in {**labels, arn: tags}.items() if each}
            delta = Delta(after, after + 1, tags={arn: tags})
        else:
            wished.pop(name, None)
            made = EndpointRoute("0", "r", name, ROUTE.fleets, str(life)) if life else None
            if made:
                wished[name] = made
            delta = Delta(after, after + 1, endpoint=("0", "r", name), route=made)
        deltas.append(decode_delta(encode_delta(delta)))
        table = table_after(table, [delta])
    snapshot = decode_table(encode_table(table))
    assert snapshot == table
    assert {route.name: route for route in table.endpoints.values()} == wished
    assert tuple(table.keys.values()) == keys
    assert (table.authorities, table.tags, table.sessions) == (held, labels, sessions)
    middle = decode_table(encode_table(table_after(start, deltas[:cut])))
    assert table_after(middle, deltas[cut:]) == snapshot
