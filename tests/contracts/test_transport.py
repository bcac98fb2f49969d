"""What every user of the HTTP server may rely on, over TCP and over a UNIX socket."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from inservice.transport.client import Upstream
from inservice.transport.connection import Connection
from inservice.transport.limits import Limits
from inservice.transport.listening import http_date
from inservice.transport.messages import Later
from inservice.transport.server import Answer, Refusal, Request, Response, Server, serve


@dataclass
class Listening:
    server: Server
    connect: Callable[[], Coroutine[None, None, tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

    async def ask(self, sent: bytes) -> bytes:
        """All that is answered to `sent` on a connection of its own, until the server closes it."""
        reader, writer = await self.connect()
        writer.write(sent)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def listening(
    kind: str, answer: Answer, limits: Limits | None = None
) -> AsyncIterator[Listening]:
    directory = Path(tempfile.mkdtemp(prefix="tr"))
    if kind == "unix":
        path = directory / "s"
        server = await serve(answer, path=path, limits=limits)
        it = Listening(server, lambda: asyncio.open_unix_connection(path))
    else:
        bound = socket.create_server(("127.0.0.1", 0))
        server = await serve(answer, sockets=[bound], limits=limits)
        host, port = bound.getsockname()
        it = Listening(server, lambda: asyncio.open_connection(host, port))
    try:
        yield it
    finally:
        await server.drain(0.5, idle_seconds=0)
        shutil.rmtree(directory)


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    uvloop.run(asyncio.wait_for(test(), 20))


@pytest.mark.parametrize("kind", [Connection, Upstream])
def test_what_is_a_protocol_in_all_but_name_has_all_its_callbacks(kind: type) -> None:
    """Neither inherits asyncio's, so that it can be compiled; a callback that is missing would be
    an error in the loop's log, and nothing else."""
    callbacks = {name for name in dir(asyncio.Protocol) if not name.startswith("_")}
    assert callbacks <= set(dir(kind))


over_both = pytest.mark.parametrize("kind", ["tcp", "unix"])

CLOSE = b"Connection: close\r\n\r\n"
HEAD = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n"


def tail(answer: bytes) -> bytes:
    return answer.split(b"\r\n\r\n", 1)[1]


@over_both
class TestRequests:
    def test_a_request_is_seen_as_it_was_sent(self, kind: str) -> None:
        async def test() -> None:
            seen: list[Request] = []

            def answer(request: Request) -> Response:
                seen.append(request)
                return Response(200, ((b"content-type", b"text/plain"),), b"hello")

            async with listening(kind, answer) as it:
                got = await it.ask(
                    b"POST /a%20b?c=d HTTP/1.1\r\nHost: h\r\nX-One:  1\r\nContent-Length: 3\r\n"
                    b"Connection: close\r\n\r\nabc"
                )
            assert got.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n")
            assert b"content-length: 5\r\n" in got
            assert b"\r\ndate: " in got
            assert got.endswith(b"connection: close\r\n\r\nhello")
            request = seen[0]
            assert (request.method, request.target) == ("POST", b"/a%20b?c=d")
            assert (request.path, request.query, request.body) == (b"/a%20b", b"c=d", b"abc")
            assert request.header(b"x-one") == b"1"
            assert request.headers[0] == (b"host", b"h")

        run(test)

    def test_an_answer_may_take_its_time_and_order_is_kept(self, kind: str) -> None:
        async def test() -> None:
            async def answer(request: Request) -> Response:
                await asyncio.sleep(0.02 if request.path == b"/slow" else 0)
                return Response(200, (), request.path)

            async with listening(kind, answer) as it:
                got = await it.ask(
                    b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /fast HTTP/1.1\r\nHost: h\r\n"
                    + CLOSE
                )
                assert got.index(b"/slow") < got.index(b"/fast")

        run(test)

    def test_an_answer_may_be_settled_later_and_order_is_kept(self, kind: str) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"in "
            yield b"parts"

        async def test() -> None:
            loop = asyncio.get_running_loop()

            def answer(request: Request) -> Later:
                later = Later()
                match request.path:
                    case b"/slow":
                        loop.call_later(0.02, later.settle, Response(200, (), b"slow"))
                    case b"/parts":
                        loop.call_soon(later.settle, Response(200, (), parts()))
                    case b"/bug":
                        loop.call_soon(later.settle, ValueError("a secret"))
                    case b"/refused":
                        loop.call_soon(later.settle, Refusal(409, "Conflict", "not now"))
                    case _:
                        later.settle(Response(200, (), b"at once"))
                return later

            paths = (b"/slow", b"/once", b"/parts", b"/bug", b"/refused")
            asked = b"".join(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path for path in paths)
            async with listening(kind, answer) as it:
                got = await it.ask(asked)
            said = (b"slow", b"at once", b"in ", b"parts", b"InternalFailure", b"not now")
            places = [got.index(words) for words in said]
            assert places == sorted(places)
            assert b"a secret" not in got

        run(test)

    def test_a_later_answer_to_a_client_that_has_left_is_let_go(self, kind: str) -> None:
        async def test() -> None:
            pending: list[Later] = []

            async def parts() -> AsyncIterator[bytes]:
                yield b"for nobody"

            def answer(_: Request) -> Later:
                pending.append(Later())
                return pending[-1]

            async with listening(kind, answer) as it:
                for outcome in (Response(200, (), b"x"), Response(200, (), parts()), ValueError()):
                    _, writer = await it.connect()
                    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                    while not pending:
                        await asyncio.sleep(0.001)
                    writer.transport.abort()
                    await asyncio.sleep(0.01)  # seen, or not seen yet: both are to end well
                    pending.pop().settle(outcome)
                    while it.server.connections:
                        await asyncio.sleep(0.001)
                assert (await it.ask(b"BAD\r\n\r\n")).startswith(b"HTTP/1.1 400 ")

        run(test)

    def test_head_has_the_length_and_no_body(self, kind: str) -> None:
        async def test() -> None:
            async with listening(kind, lambda _: Response(200, (), b"hello")) as it:
                got = await it.ask(b"HEAD / HTTP/1.1\r\nHost: h\r\n" + CLOSE)
                assert b"content-length: 5\r\n" in got
                assert tail(got) == b""

        run(test)

    def test_a_body_in_tiny_chunks_is_not_kept_in_tiny_pieces(self, kind: str) -> None:
        """Anybody may send 4 MiB to the gateway; in chunks of two bytes they took 112 MiB."""

        async def test() -> None:
            body = bytes(range(256)) * 1_000
            pieces: list[int] = []

            def answer(request: Request) -> Response:
                pieces.append(len(request.parts))
                return Response(200, (), request.body)

            chunks = [b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, len(body), 2)]
            head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
            async with listening(kind, answer) as it:
                said = await it.ask(head + CLOSE + b"".join(chunks) + b"0\r\n\r\n")
            assert tail(said) == body
            assert pieces[0] < 5_000, "of 128,000 chunks"

        run(test)

    @pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
    @pytest.mark.parametrize("status", [204, 205, 304])
    def test_what_has_no_content_is_followed_by_the_next_answer(
        self, kind: str, status: int, streamed: bool
    ) -> None:
        """Whatever body it was given: that would be read as the next answer."""

        async def parts() -> AsyncIterator[bytes]:
            yield b"smuggled"

        def answer(request: Request) -> Response:
            if request.target == b"/next":
                return Response(200, (), b"next")
            return Response(status, (), parts() if streamed else b"smuggled")

        async def test() -> None:
            async with listening(kind, answer) as it:
                asked = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
                got = await it.ask(asked + b"GET /next HTTP/1.1\r\nHost: h\r\n" + CLOSE)
                first, _, rest = got.partition(b"\r\n\r\n")
                assert first.startswith(b"HTTP/1.1 %d " % status)
                assert b"transfer-encoding" not in first
                assert (b"content-length: 0" in first) == (status == 205)
                assert b"content-length" not in first or status == 205
                assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
                assert tail(rest) == b"next"

        run(test)

    @pytest.mark.parametrize("status", [100, 101, 199, 600])
    def test_an_answer_that_would_end_nothing_is_a_bug(self, kind: str, status: int) -> None:
        async def test() -> None:
            async with listening(kind, lambda _: Response(status)) as it:
                assert (await it.ask(HEAD + CLOSE)).startswith(b"HTTP/1.1 500 ")

        run(test)

    def test_a_refused_head_has_no_body_either(self, kind: str) -> None:
        async def test() -> None:
            def answer(_: Request) -> Response:
                raise Refusal(403, "Forbidden", "not from there")

            async with listening(kind, answer) as it:
                got = await it.ask(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
                assert got.startswith(b"HTTP/1.1 403 ")
                assert tail(got) == b""

        run(test)


@over_both
class TestErrors:
    def test_a_bug_is_an_internal_failure_and_says_nothing(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def test() -> None:
            def answer(_: Request) -> Response:
                raise ZeroDivisionError("secret")

            async def later(_: Request) -> Response:
                raise ZeroDivisionError("secret")

            for each in (answer, later):
                async with listening(kind, each) as it:
                    got = await it.ask(HEAD + CLOSE)
                    assert got.startswith(b"HTTP/1.1 500 ")
                    assert b"InternalFailure" in got
                    assert b"secret" not in got
            assert "ZeroDivisionError" in caplog.text

        run(test)

    def test_a_refusal_is_answered_and_closes(self, kind: str) -> None:
        async def test() -> None:
            def answer(_: Request) -> Response:
                raise Refusal(403, "Forbidden", "not from there")

            async with listening(kind, answer) as it:
                got = await it.ask(HEAD + b"\r\n")
                assert got.startswith(b"HTTP/1.1 403 ")
                assert b"not from there" in got
                assert b"connection: close" in got

        run(test)

    def test_a_header_cannot_split_an_answer(self, kind: str) -> None:
        async def test() -> None:
            headers = ((b"x-a", b"1\r\nSet-Cookie: a=b"),)
            async with listening(kind, lambda _: Response(200, headers)) as it:
                got = await it.ask(HEAD + CLOSE)
                assert got.startswith(b"HTTP/1.1 500 ")
                assert b"Set-Cookie" not in got

        run(test)


@over_both
class TestStreams:
    def test_chunks_for_1_1_and_the_end_of_the_connection_for_1_0(self, kind: str) -> None:
        async def test() -> None:
            def answer(_: Request) -> Response:
                async def body() -> AsyncIterator[bytes]:
                    yield b"one"
                    yield b""
                    yield b"twelve bytes"

                return Response(200, (), body())

            async with listening(kind, answer) as it:
                got = await it.ask(HEAD + CLOSE)
                assert tail(got) == b"3\r\none\r\nc\r\ntwelve bytes\r\n0\r\n\r\n"
                got = await it.ask(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
                assert tail(got) == b"onetwelve bytes"

        run(test)

    def test_a_client_that_leaves_closes_the_stream(self, kind: str) -> None:
        async def test() -> None:
            closed = asyncio.Event()

            def answer(_: Request) -> Response:
                async def body() -> AsyncIterator[bytes]:
                    try:
                        while True:
                            yield b"x" * 65_536
                    finally:
                        closed.set()

                return Response(200, (), body())

            async with listening(kind, answer) as it:
                reader, writer = await it.connect()
                writer.write(HEAD + b"\r\n")
                await reader.read(1_000)
                writer.close()
                await asyncio.wait_for(closed.wait(), 5)

        run(test)

    def test_a_stream_that_breaks_does_not_look_whole(self, kind: str) -> None:
        async def test() -> None:
            def answer(_: Request) -> Response:
                async def body() -> AsyncIterator[bytes]:
                    yield b"half"
                    await asyncio.sleep(0.02)
                    raise ZeroDivisionError

                return Response(200, (), body())

            async with listening(kind, answer) as it:
                reader, writer = await it.connect()
                writer.write(HEAD + b"\r\n")
                got = b""
                with contextlib.suppress(ConnectionError):
                    while part := await asyncio.wait_for(reader.read(1_000), 5):
                        got += part
                assert not got.endswith(b"0\r\n\r\n")
                writer.close()

        run(test)


@over_both
class TestDrain:
    def test_what_is_in_flight_is_finished_and_told_to_close(self, kind: str) -> None:
        async def test() -> None:
            arrived, release = asyncio.Event(), asyncio.Event()

            async def answer(_: Request) -> Response:
                arrived.set()
                await release.wait()
                return Response(200, (), b"done")

            async with listening(kind, answer) as it:
                asking = asyncio.create_task(it.ask(HEAD + b"\r\n"))
                await arrived.wait()
                draining = asyncio.create_task(it.server.drain(5, idle_seconds=0))
                await asyncio.sleep(0.01)
                release.set()
                got = await asking
                assert tail(got) == b"done"
                assert b"connection: close" in got
                await asyncio.wait_for(draining, 5)
                assert not it.server.connections

        run(test)

    def test_what_does_not_end_is_cut_off_at_the_deadline(self, kind: str) -> None:
        async def test() -> None:
            async def answer(_: Request) -> Response:
                await asyncio.sleep(60)
                return Response(200)

            async with listening(kind, answer) as it:
                asking = asyncio.create_task(it.ask(HEAD + b"\r\n"))
                while not it.server.requests:
                    await asyncio.sleep(0.01)
                await asyncio.wait_for(it.server.drain(0.1, idle_seconds=0), 5)
                with contextlib.suppress(ConnectionError):
                    assert await asking == b""

        run(test)


@given(st.integers(0, 253_402_300_799))
def test_a_date_is_told_as_mail_tells_it(moment: int) -> None:
    assert http_date(moment) == email.utils.formatdate(moment, usegmt=True)
