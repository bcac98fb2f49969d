"""Bodies on their way through a plane: streamed with back-pressure, and what may happen meanwhile.

The other side is a script on a real socket, so that it can be slow, rude or gone at any byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from inservice.gateway import carried, front
from inservice.gateway.answers import RequestIds
from inservice.gateway.control import PLACES
from inservice.gateway.front import Exchange, GatewayConnection, Plane
from inservice.gateway.runtime import dialects
from inservice.gateway.runtime.plane import _POSTED
from inservice.transport import upstream
from inservice.transport.connection import Connection
from inservice.transport.limits import MIB, Limits
from inservice.transport.server import Request, Response, serve

from .corpus import get, post
from .rig import Rig, gateway, read_answer, run
from .test_worker import plane as worker_plane

PART = bytes(range(256)) * 256  # 64 KiB
LARGE = 4 * MIB
CHUNKED = b"Transfer-Encoding: chunked"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Script = Callable[["Side"], Awaitable[None]]


@dataclass(eq=False)
class Side:
    """The other side's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the script is over: all has been seen that came."""

    async def read_head(self) -> bytes:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        return self.head

    async def read_rest(self) -> bytes:
        """All that comes until the gateway closes or aborts."""
        with contextlib.suppress(ConnectionError):
            while part := await self.reader.read(MIB):
                self.body += part
        return bytes(self.body)

    def answer(self, status: int, body: bytes = b"", *lines: bytes) -> None:
        """An answer that says the token back."""
        token = re.search(rb"x-inservice-exchange: \w+\r\n", self.head)
        assert token is not None
        head = b"HTTP/1.1 %d X\r\n%b" % (status, token[0])
        head += b"".join(line + b"\r\n" for line in lines)
        self.writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))


@contextlib.asynccontextmanager
async def scripted(path: Path, script: Script) -> AsyncIterator[list[Side]]:
    """A control that does what the script says on each connection; those connections."""
    sides: list[Side] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        side = Side(reader, writer)
        sides.append(side)
        try:
            # A writer whose connection is gone raises RuntimeError (uvloop).
            with contextlib.suppress(ConnectionError, RuntimeError, asyncio.IncompleteReadError):
                await script(side)
        finally:
            side.ended.set()
            writer.close()

    server = await asyncio.start_unix_server(converse, path, limit=MIB)
    try:
        yield sides
    finally:
        server.close()


def socket_of(rig: Rig) -> Path:
    return rig.directory / "control.sock"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def unchunked(body: bytes) -> bytes:
    """A chunked body that has nothing behind its last chunk, decoded."""
    parts: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        assert body[length : length + 2] == b"\r\n"
        if not length:
            assert body == b"\r\n"
            return b"".join(parts)
        parts.append(body[:length])
        body = body[length + 2 :]


def buffered(rig: Rig) -> int:
    """Bytes that the gateway keeps of what is on its way to control."""
    pool = rig.gateway.client.pool(f"unix:{socket_of(rig)}")
    kept = sum(one.transport.get_write_buffer_size() for one in pool.connections)
    for connection in rig.server.connections:
        assert isinstance(connection, Connection)
        request = connection.request
        kept += sum(map(len, request.parts)) if request is not None else 0
    return kept


class TestFraming:
    def test_a_counted_body_keeps_its_length_and_its_bytes(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                side.body += await side.reader.readexactly(LARGE)
                side.answer(200, b"ok")
                await side.read_rest()

            body = PART * (LARGE // len(PART))
            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                writer.write(post(body, b"X-Signed: yes", b"Content-Length: %d" % LARGE))
                assert (await read_answer(reader))[2] == b"ok"
                assert sides[0].body == body
                head = sides[0].head.lower()
                assert head.count(b"content-length: %d\r\n" % LARGE) == 1
                assert b"transfer-encoding" not in head
                assert b"x-signed: yes\r\n" in head
                writer.close()

        run(test)

    def test_chunks_are_framed_anew_and_trailers_dropped(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                while not side.body.endswith(b"\r\n0\r\n\r\n"):
                    side.body += await side.reader.read(MIB)
                side.answer(200, b"ok")
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                writer.write(post(b"", CHUNKED, b"Trailer: x-amz-evil"))
                for _ in range(32):
                    writer.write(b"10000;ext=1\r\n%b\r\n" % PART)
                    await writer.drain()
                writer.write(b"0\r\nX-Amz-Evil: 1\r\n\r\n")
                assert (await read_answer(reader))[2] == b"ok"
                assert unchunked(bytes(sides[0].body)) == PART * 32
                head = sides[0].head.lower()
                assert head.count(b"transfer-encoding: chunked\r\n") == 1
                for gone in (b"content-length", b"trailer", b"evil"):
                    assert gone not in head + sides[0].body.lower()
                writer.close()

        run(test)

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_small_body_arrives_whole_or_not_at_all(self, chunked: bool) -> None:
        """Whoever drips it takes no connection of the other side."""

        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                side.body += await side.reader.readexactly(6)
                side.answer(200, b"ok")
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                writer.write(post(b"", CHUNKED if chunked else b"Content-Length: 6"))
                for byte in (b"abc", b"def"):
                    assert not sides
                    writer.write(b"3\r\n%b\r\n" % byte if chunked else byte)
                    await asyncio.sleep(0.02)
                writer.write(b"0\r\n\r\n" if chunked else b"")
                assert (await read_answer(reader))[2] == b"ok"
                assert b"content-length: 6\r\n" in sides[0].head
                assert sides[0].body == b"abcdef"
                writer.close()

        run(test)

    def test_both_connections_are_used_again_after_a_stream(self) -> None:
        async def test() -> None:
            def control(request: Request) -> Response:
                return Response(200, (), sha256(request.body).hexdigest().encode())

            async with gateway() as rig:
                backend = await serve(control, path=socket_of(rig))
                rig.backends.append(backend)
                reader, writer = await rig.connect()
                for number in range(4):
                    body = PART * (8 + number)
                    chunks = b"".join(b"10000\r\n%b\r\n" % PART for _ in range(8 + number))
                    if number % 2:
                        writer.write(post(chunks + b"0\r\n\r\n", CHUNKED))
                    else:
                        writer.write(post(body, b"Content-Length: %d" % len(body)))
                    status, headers, said = await read_answer(reader)
                    assert (status, said) == (200, sha256(body).hexdigest().encode())
                    assert b"connection" not in headers
                assert len(backend.connections) == 1
                writer.write(get())
                assert (await read_answer(reader))[0] == 200
                writer.close()

        run(test)

    @pytest.mark.parametrize("step", [1, 7, 4_096])
    def test_pipelined_requests_behind_a_stream_keep_their_order(self, step: int) -> None:
        async def test() -> None:
            def control(request: Request) -> Response:
                return Response(200, (), b"%b %d" % (request.target, len(request.body)))

            size = 65_537
            async with gateway() as rig:
                rig.backends.append(await serve(control, path=socket_of(rig)))
                reader, writer = await rig.connect()
                sent = post(b"x" * size, b"Content-Length: %d" % size, target=b"/1")
                sent += get(b"/2") + post(b"ab", b"Content-Length: 2", target=b"/3")
                cut = len(sent) - 100 * step
                writer.write(sent[: max(cut, 0)])
                for start in range(max(cut, 0), len(sent), step):
                    writer.write(sent[start : start + step])
                    await asyncio.sleep(0)
                for said in (b"/1 65537", b"/2 0", b"/3 2"):
                    assert (await read_answer(reader))[2] == said
                writer.close()

        run(test)


class TestBackPressure:
    def test_an_upstream_that_does_not_read_stops_the_client(self) -> None:
        async def test() -> None:
            reads = asyncio.Event()

            async def script(side: Side) -> None:
                await side.read_head()
                await reads.wait()
                left = 64 * MIB
                while left:
                    left -= len(await side.reader.read(MIB))
                side.answer(200, b"ok")
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script):
                reader, writer = await rig.connect()
                writer.write(post(b"", b"Content-Length: %d" % (64 * MIB)))
                sent = 0

                async def send() -> None:
                    nonlocal sent
                    for _ in range(64 * MIB // len(PART)):
                        writer.write(PART)
                        await writer.drain()
                        sent += len(PART)

                sending = asyncio.create_task(send())
                settled, before, most = 0, -1, 0
                while settled < 20:
                    await asyncio.sleep(0.02)
                    most = max(most, buffered(rig))
                    settled = settled + 1 if sent == before else 0
                    before = sent
                assert not sending.done()
                assert sent < 32 * MIB, "all but what kernels keep is still the client's"
                assert most < MIB
                reads.set()
                await sending
                assert (await read_answer(reader))[2] == b"ok"
                writer.close()

        run(test)

    def test_an_upstream_that_never_reads_is_given_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(upstream, "SEND_STALL_SECONDS", 0.2)

        async def test() -> None:
            over = asyncio.Event()

            async def script(side: Side) -> None:
                await side.read_head()
                await over.wait()

            async with gateway() as rig, scripted(socket_of(rig), script):
                reader, writer = await rig.connect()
                writer.write(post(b"x" * LARGE, b"Content-Length: %d" % (2 * LARGE)))
                status, headers, _ = await read_answer(reader)
                assert (status, headers[b"connection"]) == (503, b"close")
                over.set()
                writer.close()

        run(test)

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_worker_passes_a_body_that_is_larger_than_what_it_may_keep(
        self, chunked: bool
    ) -> None:
        run(lambda: _pass_through_a_worker(300 * MIB, chunked))

    @pytest.mark.long
    def test_a_worker_passes_five_gigabytes(self) -> None:
        async def test() -> None:
            await _pass_through_a_worker(5 * 1024 * MIB, chunked=False)

        asyncio.run(test())

    def test_more_than_32_bits_may_be_announced(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                _, writer = await rig.connect()
                writer.write(post(PART, b"Content-Length: 5368709120"))
                await until(lambda: sides and len(sides[0].body) == len(PART))
                assert b"content-length: 5368709120\r\n" in sides[0].head
                writer.close()
                await sides[0].ended.wait()

        run(test)


def memory(pid: int, which: str) -> int:
    """Bytes that a process has in memory, now (VmRSS) or at most until now (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"{which}:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


async def _pass_through_a_worker(size: int, chunked: bool) -> None:
    """A real worker's peak of memory grows by little, and every byte arrives."""
    count = size // len(PART)
    arrived = sha256()

    async def script(side: Side) -> None:
        await side.read_head()
        left, tail = size, b""
        while (tail[-7:] != b"\r\n0\r\n\r\n") if chunked else left:
            part = await side.reader.read(MIB)
            assert part
            left, tail = left - len(part), tail[-7:] + part
            if not chunked:
                arrived.update(part)
        side.answer(200, b"ok")
        await side.read_rest()

    async with worker_plane() as it, scripted(it.directory / "control.sock", script):
        worker = it.start_worker()
        assert (await it.invoke())[0] == 503  # it serves, and was given no table
        before = memory(worker.pid, "VmRSS")
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(post(b"", CHUNKED if chunked else b"Content-Length: %d" % size))
        part = b"10000\r\n%b\r\n" % PART if chunked else PART
        sent = sha256()
        for _ in range(count):
            writer.write(part)
            await writer.drain()
            if not chunked:
                sent.update(part)
        writer.write(b"0\r\n\r\n" if chunked else b"")
        assert (await read_answer(reader))[2] == b"ok"
        assert arrived.digest() == sent.digest()
        grown = memory(worker.pid, "VmHWM") - before
        assert grown < 12 * MIB, f"{grown / MIB:.1f} MiB"
        writer.close()


class TestLeaving:
    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_client_that_aborts_aborts_the_upstream(self, chunked: bool) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                _, writer = await rig.connect()
                head = post(b"", CHUNKED if chunked else b"Content-Length: %d" % LARGE)
                writer.write(head + (b"40000\r\n%b" % (PART * 2) if chunked else PART * 2))
                await until(lambda: sides and len(sides[0].body) >= 2 * len(PART))
                writer.transport.abort()
                async with asyncio.timeout(10):
                    await sides[0].ended.wait()
                assert len(sides[0].body) < LARGE
                assert not sides[0].body.endswith(b"0\r\n\r\n"), "half a body is no whole one"
                await until(lambda: not rig.server.connections)

        run(test)

    def test_a_client_that_leaves_while_nobody_is_connected_is_forgotten(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                _, writer = await rig.connect()
                writer.write(post(PART * 2, b"Content-Length: %d" % LARGE))
                await until(lambda: buffered(rig))
                writer.transport.abort()
                sides: list[Side]

                async def script(side: Side) -> None:
                    await side.read_head()
                    await side.read_rest()

                async with scripted(socket_of(rig), script) as sides:
                    await until(lambda: not rig.server.connections)
                    for side in sides:
                        await side.ended.wait()
                        assert len(side.body) <= 2 * len(PART)

        run(test)

    def test_a_client_that_stalls_is_told_so_and_the_upstream_aborted(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                await side.read_rest()

            async with (
                gateway(Limits(body_seconds=0.3)) as rig,
                scripted(socket_of(rig), script) as sides,
            ):
                reader, writer = await rig.connect()
                writer.write(post(PART, b"Content-Length: %d" % LARGE))
                status, headers, _ = await read_answer(reader)
                assert (status, headers[b"connection"]) == (408, b"close")
                async with asyncio.timeout(10):
                    await sides[0].ended.wait()
                writer.close()

        run(test)

    def test_a_stream_of_any_length_is_paced_like_several_bodies(self) -> None:
        """What was sent quickly does not buy hours of silence."""

        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                await side.read_rest()

            limits = Limits(body_seconds=0.3, body_bytes=MIB, body_bytes_per_second_min=64 * 1024)
            async with gateway(limits) as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                size = 64 * MIB  # earns a quarter of an hour
                writer.write(post(b"x" * size, b"Content-Length: %d" % (size + 1)))
                async with asyncio.timeout(10):
                    assert (await read_answer(reader))[0] == 408
                    await sides[0].ended.wait()
                assert len(sides[0].body) == size
                writer.close()

        run(test)

    def test_a_malformed_chunk_ends_both_sides(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                writer.write(post(b"", CHUNKED) + b"10000\r\n%b\r\n" % PART * 2)
                await until(lambda: sides and len(sides[0].body) > 2 * len(PART))
                writer.write(b"zz\r\n")
                assert (await read_answer(reader))[0] == 400
                async with asyncio.timeout(10):
                    await sides[0].ended.wait()
                assert not sides[0].body.endswith(b"0\r\n\r\n")
                writer.close()

        run(test)


class TestEarlyAnswers:
    @pytest.mark.parametrize("status", [403, 413, 200])
    @pytest.mark.parametrize("closes", [False, True])
    def test_an_answer_in_the_middle_of_a_body_is_the_clients(
        self, status: int, closes: bool
    ) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                await side.reader.readexactly(len(PART))
                side.answer(status, b"enough")
                if not closes:
                    await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                writer.write(post(PART * 2, b"Content-Length: %d" % LARGE))
                got, headers, body = await read_answer(reader)
                assert (got, body) == (status, b"enough")
                assert headers[b"connection"] == b"close"
                # The rest of the body may still come; it is neither a request nor anybody's.
                writer.write(get(b"/smuggled") * 100)
                with contextlib.suppress(ConnectionError):
                    async with asyncio.timeout(10):
                        assert await reader.read() == b""
                async with asyncio.timeout(10):
                    await sides[0].ended.wait()
                assert len(sides) == 1
                assert b"smuggled" not in sides[0].body
                writer.close()

        run(test)

    def test_a_client_that_only_sends_still_reads_it(self) -> None:
        async def test() -> None:
            def control(request: Request) -> Response:
                raise AssertionError("it is refused by its length")

            async with gateway() as rig:
                limits = Limits(body_bytes=MIB)
                rig.backends.append(await serve(control, path=socket_of(rig), limits=limits))
                reader, writer = await rig.connect()
                with contextlib.suppress(ConnectionError):
                    writer.write(post(b"x" * LARGE, b"Content-Length: %d" % LARGE))
                    await writer.drain()
                status, headers, _ = await read_answer(reader)
                assert status == 413
                assert headers[b"x-amzn-errortype"] == b"requestentitytoolargeexception"
                writer.close()

        run(test)

    def test_chunks_that_add_up_are_refused_by_who_counts_them(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                limits = Limits(body_bytes=MIB)
                rig.backends.append(
                    await serve(lambda _: Response(200), path=socket_of(rig), limits=limits)
                )
                reader, writer = await rig.connect()
                writer.write(post(b"", CHUNKED))
                with contextlib.suppress(ConnectionError):
                    for _ in range(64):
                        writer.write(b"10000\r\n%b\r\n" % PART)
                        await writer.drain()
                assert (await read_answer(reader))[0] == 413
                writer.close()

        run(test)

    def test_both_directions_may_flow_at_once(self) -> None:
        """An answer that grows with the request is passed on before the request has ended."""

        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                token = re.search(rb"x-inservice-exchange: \w+\r\n", side.head)
                assert token is not None
                side.writer.write(
                    b"HTTP/1.1 200 X\r\n%bcontent-length: %d\r\n\r\n" % (token[0], LARGE)
                )
                for _ in range(LARGE // len(PART)):
                    side.writer.write(await side.reader.readexactly(len(PART)))
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script):
                reader, writer = await rig.connect()
                writer.write(post(b"", b"Content-Length: %d" % LARGE))
                count = LARGE // len(PART)
                for _ in range(count // 2):
                    writer.write(PART)
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"connection: close\r\n" in head
                got = await reader.readexactly(len(PART))
                for _ in range(count - count // 2):
                    writer.write(PART)
                got += await reader.readexactly(LARGE - len(PART))
                assert got == PART * count
                assert await reader.read() == b""
                writer.close()

        run(test)

    def test_half_an_answer_followed_by_a_malformed_chunk_is_cut_off(self) -> None:
        """No second status may follow the first."""

        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                token = re.search(rb"x-inservice-exchange: \w+\r\n", side.head)
                assert token is not None
                side.writer.write(b"HTTP/1.1 200 X\r\n%b" % token[0])
                side.writer.write(b"content-length: %d\r\n\r\n%b" % (LARGE, b"y" * (LARGE // 2)))
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                writer.write(post(b"", CHUNKED) + b"10000\r\n%b\r\n" % PART * 2)
                got = await reader.readexactly(LARGE // 4)
                writer.write(b"zz\r\n")
                with contextlib.suppress(ConnectionError):
                    while part := await reader.read(MIB):
                        got += part
                assert got.count(b"HTTP/1.1") == 1
                async with asyncio.timeout(10):
                    await sides[0].ended.wait()
                writer.close()

        run(test)


class TestExpect:
    @pytest.mark.parametrize("line", [b"Content-Length: %d" % LARGE, CHUNKED])
    def test_the_upstream_says_whether_it_wants_the_body(self, line: bytes) -> None:
        async def test() -> None:
            wanted = asyncio.Event()

            async def script(side: Side) -> None:
                await side.read_head()
                await wanted.wait()
                side.writer.write(CONTINUE)
                if b"chunked" in side.head:
                    while not side.body.endswith(b"\r\n0\r\n\r\n"):
                        side.body += await side.reader.read(MIB)
                else:
                    side.body += await side.reader.readexactly(LARGE)
                side.answer(200, b"ok")
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                writer.write(post(b"", b"Expect: 100-continue", line))
                await until(lambda: sides and sides[0].head)
                assert sides[0].head.lower().count(b"expect: 100-continue\r\n") == 1
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.readexactly(1), 0.1)  # nobody wants it yet
                wanted.set()
                assert await reader.readexactly(len(CONTINUE)) == CONTINUE
                if line == CHUNKED:
                    writer.write(b"10000\r\n%b\r\n" % PART * 3 + b"0\r\n\r\n")
                else:
                    writer.write(b"x" * LARGE)
                status, headers, body = await read_answer(reader)
                assert (status, body) == (200, b"ok")
                assert b"connection" not in headers
                writer.close()

        run(test)

    def test_a_body_that_is_not_wanted_is_never_sent(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                side.answer(403, b"no")
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                reader, writer = await rig.connect()
                length = b"Content-Length: 5368709120"
                writer.write(post(b"", b"Expect: 100-continue", length))
                status, headers, body = await read_answer(reader)
                assert (status, headers[b"connection"], body) == (403, b"close", b"no")
                assert await reader.read() == b""
                await sides[0].ended.wait()
                assert not sides[0].body
                writer.close()

        run(test)

    def test_a_client_that_grows_tired_of_waiting_is_heard(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                side.body += await side.reader.readexactly(LARGE)  # and it says nothing before
                side.answer(200, b"ok")
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script):
                reader, writer = await rig.connect()
                writer.write(post(b"", b"Expect: 100-continue", b"Content-Length: %d" % LARGE))
                await asyncio.sleep(0.05)
                writer.write(b"x" * LARGE)
                assert (await read_answer(reader))[2] == b"ok"
                writer.close()

        run(test)

    def test_our_own_server_is_asked_and_answers(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.backends.append(
                    await serve(
                        lambda r: Response(200, (), b"%d" % len(r.body)), path=socket_of(rig)
                    )
                )
                reader, writer = await rig.connect()
                for _ in range(2):
                    writer.write(post(b"", b"Expect: 100-continue", b"Content-Length: %d" % LARGE))
                    assert await reader.readexactly(len(CONTINUE)) == CONTINUE
                    writer.write(b"x" * LARGE)
                    assert (await read_answer(reader))[2] == b"%d" % LARGE
                writer.close()

        run(test)


class TestAway:
    def test_the_client_is_not_read_until_somebody_is_there(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                reader, writer = await rig.connect()
                writer.write(post(PART * 64, b"Content-Length: %d" % LARGE))
                await until(lambda: buffered(rig))
                await asyncio.sleep(0.2)
                assert buffered(rig) < MIB
                rig.backends.append(
                    await serve(
                        lambda r: Response(200, (), sha256(r.body).digest()), path=socket_of(rig)
                    )
                )
                assert (await read_answer(reader))[2] == sha256(PART * 64).digest()
                writer.close()

        run(test)

    def test_its_clients_are_told_503_and_the_connection_ends(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(carried, "PATIENCE_SECONDS", 0.2)

        async def test() -> None:
            async with gateway() as rig:
                reader, writer = await rig.connect()
                writer.write(post(PART * 2, b"Content-Length: %d" % LARGE))
                status, headers, _ = await read_answer(reader)
                assert (status, headers[b"connection"]) == (503, b"close")
                assert await reader.read() == b""
                writer.close()

        run(test)

    def test_one_that_goes_in_the_middle_is_a_503(self) -> None:
        async def test() -> None:
            async def script(side: Side) -> None:
                await side.read_head()
                await side.reader.readexactly(len(PART))
                side.writer.transport.abort()

            async with gateway() as rig, scripted(socket_of(rig), script):
                reader, writer = await rig.connect()
                writer.write(post(PART * 4, b"Content-Length: %d" % LARGE))
                status, headers, _ = await read_answer(reader)
                assert (status, headers[b"connection"]) == (503, b"close")
                writer.close()

        run(test)

    @pytest.mark.parametrize(
        ("service", "ask"), [("iam", "list_users"), ("logs", "get_log_events")]
    )
    def test_sdks_read_a_503_that_they_try_again(
        self, monkeypatch: pytest.MonkeyPatch, service: str, ask: str
    ) -> None:
        """Of what they cannot parse they say so, and give up."""
        monkeypatch.setattr(carried, "PATIENCE_SECONDS", 0.2)

        async def test() -> None:
            async with gateway() as rig:
                members = {"logStreamName": "s"} if service == "logs" else {}

                def call() -> tuple[int, int]:
                    client = client_of(rig, service)
                    with pytest.raises(ClientError) as caught:
                        getattr(client, ask)(**members)
                    said = caught.value.response["ResponseMetadata"]
                    return said["HTTPStatusCode"], said["RetryAttempts"]

                assert await asyncio.to_thread(call) == (503, 1)

        run(test)


def client_of(rig: Rig, service: str) -> Any:
    """A client of one of control's services, that tries twice."""
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=f"http://127.0.0.1:{rig.port}",
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 2, "mode": "standard"}),
    )


class TestPlaces:
    def test_strangers_that_drip_take_no_more_than_the_places(self) -> None:
        """The others wait, unread; small requests pass by, and whoever leaves makes room."""

        async def test() -> None:
            async def script(side: Side) -> None:
                head = await side.read_head()
                if head.startswith(b"GET"):
                    side.answer(200, b"here")
                await side.read_rest()

            async with gateway() as rig, scripted(socket_of(rig), script) as sides:
                crowd = []
                for _ in range(PLACES + 8):
                    crowd.append(await rig.connect())
                    crowd[-1][1].write(post(b"x" * 100, b"Content-Length: %d" % LARGE))
                await until(lambda: len(rig.server.connections) == PLACES + 8)
                await until(lambda: sum(bool(side.body) for side in sides) == PLACES)
                reader, writer = await rig.connect()
                writer.write(get())
                assert (await read_answer(reader))[2] == b"here"
                streams = [side for side in sides if side.head.startswith(b"POST")]
                assert len(streams) == PLACES
                for _, waiting in crowd[PLACES : PLACES + 4]:
                    waiting.transport.abort()
                for _, first in crowd[:8]:
                    first.transport.abort()
                await until(
                    lambda: sum(side.head.startswith(b"POST") for side in sides) >= PLACES + 4
                )
                for _, writer_ in crowd:
                    writer_.transport.abort()
                await until(lambda: len(rig.server.connections) == 1)
                await asyncio.gather(*(side.ended.wait() for side in streams))
                # All places are free again.
                body = b"x" * LARGE
                crowd = [await rig.connect() for _ in range(PLACES)]
                for _, writer_ in crowd:
                    writer_.write(post(body[:100], b"Content-Length: %d" % LARGE))
                await until(lambda: sum(not side.ended.is_set() for side in sides) >= PLACES)
                for _, writer_ in crowd:
                    writer_.transport.abort()
                writer.close()

        run(test)


class Deaf(Plane):
    """Claims what lies below a path, and answers with how much it was sent."""

    body_bytes_max = 10

    def __init__(self, ids: RequestIds) -> None:
        self._ids = ids
        self.opened: list[bytes] = []

    def claim(self, connection: GatewayConnection, request: Request) -> Exchange | None:
        if not request.target.startswith(b"/deaf/"):
            return None
        self.opened.append(request.target)
        return _Counted(connection, request, self._ids.next())


class _Counted(Exchange):
    def begin(self) -> None:
        said = b"%d" % self.request.length
        self.connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)
        self.connection.answered_by(self, self.request)


@pytest.mark.skipif(
    not (front.__file__ or "").endswith(".py"), reason="what is compiled has no subclasses in tests"
)
def test_a_plane_is_a_class_and_a_line_in_the_table() -> None:
    """It claims by the head, before and after others, and its limit is its own."""

    async def test() -> None:
        async with gateway() as rig:
            deaf = Deaf(RequestIds())
            rig.planes = (deaf, *rig.planes)
            rig.backends.append(
                await serve(lambda r: Response(200, (), b"control"), path=socket_of(rig))
            )
            reader, writer = await rig.connect()
            writer.write(post(b"abc", b"Content-Length: 3", target=b"/deaf/x"))
            assert (await read_answer(reader))[2] == b"3"
            writer.write(get(b"/deaf"))
            assert (await read_answer(reader))[2] == b"control"
            writer.write(post(b"3\r\nabc\r\n0\r\n\r\n", CHUNKED, target=b"/deaf/y"))
            assert (await read_answer(reader))[2] == b"3"
            writer.write(post(b"", b"Content-Length: 11", target=b"/deaf/z"))
            status, _, body = await read_answer(reader)
            assert status == 413
            assert b"HTTP content length exceeded 10 bytes." in body
            assert deaf.opened == [b"/deaf/x", b"/deaf/y", b"/deaf/z"]
            writer.close()

    run(test)


def test_every_dialect_is_spoken() -> None:
    """A file among the dialects that no request leads to would speak to nobody."""
    spoken = {type(dialect).__module__ for _, dialect in _POSTED.values()}
    files = {path.stem for path in Path(dialects.__file__).parent.glob("*.py")} - {"__init__"}
    assert {f"{dialects.__name__}.{file}" for file in files} == spoken
