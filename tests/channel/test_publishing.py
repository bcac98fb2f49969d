"""Control's end on its real socket: strangers, costs, and workers that call as processes do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inservice.channel import publishing, table_file
from inservice.channel.counts import InvocationRow
from inservice.channel.following import Channel
from inservice.channel.messages import GREETING_BYTES_MAX, Counts, Hello, encode
from inservice.channel.publishing import Gateways, Living
from inservice.channel.tables import encode_table
from inservice.clock import SystemClock
from inservice.gateway.routes import Routes
from inservice.gateway.runtime.denials import Refused
from inservice.gateway.runtime.taps.counting import Counting
from inservice.routing.table import EndpointRoute, FleetRoute, InstanceRoute

KEY = ("0", "r", "e")
ROUTE = EndpointRoute(
    *KEY, (FleetRoute("g-1-v", "v", "c", 10_000, "RANDOM", (InstanceRoute("i", "a"),)),)
)
PID = os.getpid()


def live(place: Path, *pids: int) -> None:
    children = [{"name": f"gateway-{n}", "pid": pid} for n, pid in enumerate(pids)]
    fresh = place / "processes.new"
    fresh.write_text(json.dumps({"children": children}))
    fresh.replace(place / "processes.json")


async def until(question: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not question():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def control(place: Path) -> AsyncIterator[tuple[Gateways, list[tuple[int, list[Any]]]]]:
    counted: list[tuple[int, list[Any]]] = []
    gateways = Gateways(
        place,
        SystemClock(),
        on_acknowledged=lambda: None,
        on_metrics=lambda _, seq, rows: counted.append((seq, list(rows))),
    )
    await gateways.start(serving=False)
    try:
        yield gateways, counted
    finally:
        await gateways.close()


@contextlib.asynccontextmanager
async def worker(place: Path) -> AsyncIterator[Routes]:
    routes = Routes(place / "nothing.json", lambda *_: None)
    channel = Channel(place / "routes.sock", 0, routes, Counting(), Refused(), SystemClock())
    following = asyncio.create_task(channel.follow())
    try:
        yield routes
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


HELLO = encode(Hello(PID, -1))


@pytest.mark.parametrize(
    "hostile",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"null\n",
        b"5\n",
        b"[" * 60_000 + b"\n",
        b"\xff" * 50 + b"\n",
        b"x" * (GREETING_BYTES_MAX + 1),
        b'{"hello":{}}\n',
        b'{"hello":{"pid":99999999999999999999,"version":1}}\n',
        b'{"hello":{"pid":1,"version":1}}\n',
        b'{"ack":1}\n',
        HELLO + HELLO,
        HELLO + b'{"ack":9007199254740992}\n',
        HELLO + b'{"told":{"version":9007199254740991,"endpoints":[],"keys":[]}}\n',
        HELLO + b'{"metrics":{"seq":1,"rows":[{"account":5}]}}\n',
        HELLO + b"[" * 100_000 + b"\n",
        HELLO + b'{"denials":{"rows":[{"at":"now"}]}}\n',
    ],
    ids=range(17),
)
def test_hostile_bytes_end_their_connection_and_no_other(tmp_path: Path, hostile: bytes) -> None:
    """Whoever calls is this process here; the worker that it is has called already."""

    async def test() -> None:
        live(tmp_path, PID)
        wrongs: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, said: wrongs.append(said))
        async with control(tmp_path) as (gateways, counted), worker(tmp_path) as routes:
            version = gateways.publish_route(KEY, ROUTE)
            await until(lambda: gateways.acknowledged() == version)
            reader, writer = await asyncio.open_unix_connection(tmp_path / "routes.sock")
            writer.write(hostile)
            async with asyncio.timeout(20):
                with contextlib.suppress(ConnectionError):
                    while await reader.read(1 << 16):
                        pass
            writer.close()
            assert gateways.table.version == version
            version = gateways.publish_route(KEY, None)
            await until(lambda: routes.table.version == version)
            assert routes.table == gateways.table
            assert counted == []
        assert wrongs == []

    asyncio.run(test())


def test_a_row_that_is_none_is_refused_with_all_of_its_message(tmp_path: Path) -> None:
    async def test() -> None:
        row = InvocationRow("0", "r", "e", "v", "f", "c", "", 1.0, invocations=1)
        async with control(tmp_path) as (_, counted):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "routes.sock")
            good = encode(Counts(1, [row]))
            writer.write(HELLO + good)
            await until(lambda: counted)
            writer.write(good.replace(b"}]", b'},{"account":5}]').replace(b'"seq":1', b'"seq":2'))
            async with asyncio.timeout(20):
                while await reader.readline():
                    pass
            writer.close()
            assert counted == [(1, [row])]

    asyncio.run(test())


def test_asking_what_is_acknowledged_reads_no_file_that_did_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(tmp_path, 4, 5)
    read: list[Path] = []
    read_bytes = Path.read_bytes

    def counting(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counting)
    living = Living(tmp_path / "processes.json")
    assert [living.pids() for _ in range(1_000)] == [[4, 5]] * 1_000
    assert len(read) == 1
    live(tmp_path, 4)  # as small, another one
    assert [living.pids() for _ in range(1_000)] == [[4]] * 1_000
    assert len(read) == 2
    (tmp_path / "processes.json").unlink()
    assert living.pids() is None


def test_a_delta_is_encoded_once_and_a_table_once_for_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deltas: list[Any] = []
    tables: list[Any] = []

    def counted(module: ModuleType, name: str, seen: list[Any]) -> None:
        encode: Callable[[Any], bytes] = getattr(module, name)

        def count(one: Any) -> bytes:
            seen.append(one)
            return encode(one)

        monkeypatch.setattr(module, name, count)

    counted(table_file, "encode_delta", deltas)
    counted(publishing, "encode_table", tables)
    # Several workers of this test are one process, which the kernel would say.
    monkeypatch.setattr(publishing, "caller_of", lambda _: 0)

    async def test() -> None:
        live(tmp_path, *range(1, 9))
        async with control(tmp_path) as (gateways, _), contextlib.AsyncExitStack() as calls:
            gateways.publish_route(KEY, ROUTE)
            gateways._file.replace(encode_table(gateways.table), gateways.table.version)
            tables.clear()
            callers = []
            for pid in range(1, 9):
                reader, writer = await asyncio.open_unix_connection(tmp_path / "routes.sock")
                calls.callback(writer.close)
                callers.append((pid, reader, writer))
            for pid, _, writer in callers:
                writer.write(encode(Hello(pid, -1)))
            for _, reader, _ in callers:
                async with asyncio.timeout(20):
                    while not (await reader.readline()).startswith(b'{"table"'):
                        pass
            assert 1 <= len(tables) < 8
            deltas.clear()
            gateways.publish_route(KEY, None)
            lines = set()
            for _, reader, _ in callers:
                lines.add(await asyncio.wait_for(reader.readline(), 20))
            assert (len(deltas), len(lines)) == (1, 1)

    asyncio.run(test())
