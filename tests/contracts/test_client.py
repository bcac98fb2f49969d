"""What every user of the client may rely on, whatever is on the other end of its connections."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inservice.transport.client import Client, Failure, Pool, Upstream
from inservice.transport.framing import ResponseHead
from inservice.transport.server import Request, Response, serve
from inservice.transport.tokens import EXCHANGE
from tests.depth import examples

NOBODY = b"~"
"""What bytes that were sent for no request are made of."""

MARKS = b"!#$%&'()*+?@^_`{|}<>"
"""What requests and their answers are made of, one for each: bytes that nothing else holds."""


class Asked:
    """A request, and all that came back for it."""

    def __init__(self, client: Client, mark: bytes = NOBODY) -> None:
        self.mark = mark
        self.token_line = client.tokens.next()
        self.token = self.token_line.split()[1]
        self.given_up = False
        self.upstream: Upstream | None = None
        self.head: ResponseHead | None = None
        self.body = b""
        self.failure: Failure | None = None
        self.why = ""
        self.over = asyncio.Event()

    def answer_begins(self, head: ResponseHead) -> None:
        self.head = head

    def part_received(self, part: bytes) -> None:
        self.body += part

    def answer_ended(self) -> None:
        self.over.set()

    def answer_failed(self, failure: Failure, why: str) -> None:
        self.failure, self.why = failure, why
        self.over.set()

    def message(self, body_bytes: int = 0, method: bytes = b"POST") -> list[bytes]:
        lines = (method, EXCHANGE, self.token, self.mark, body_bytes)
        head = (
            b"%b / HTTP/1.1\r\n%b: %b\r\nhost: a\r\nmark: %b\r\ncontent-length: %d\r\n\r\n" % lines
        )
        return [head, b"x" * body_bytes]


# ── any bytes, in any pieces, at any moment ──────────────────────────────────────────────────────


@dataclass(eq=False)
class Theirs:
    """The other end of one connection, in the hands of a machine."""

    socket: socket.socket
    received: bytes = b""
    marks: list[tuple[bytes, bytes]] = field(default_factory=list)  # (mark, token) of requests
    outbox: bytes = b""

    def read(self, size: int) -> None:
        """Take bytes of requests, and note those whose head is whole. Bodies are made of x."""
        with contextlib.suppress(OSError):
            self.received += self.socket.recv(size)
        while b"\r\n\r\n" in self.received:
            head, _, rest = self.received.partition(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            self.marks.append((fields[b"mark"], fields[EXCHANGE]))
            self.received = rest.lstrip(b"x")

    def send(self, size: int) -> None:
        with contextlib.suppress(OSError):
            sent = self.socket.send(self.outbox[:size])
            self.outbox = self.outbox[sent:]


FRAMINGS = ("whole", "too short", "too long", "chunks", "to the end", "no body", "HEAD")


def answer(mark: bytes, token: bytes | None, framing: str, status: int) -> bytes:
    """An answer that is made of a request's mark throughout."""
    body = mark * 7
    head = b"HTTP/1.1 %d %b\r\n" % (status, mark)
    if token is not None:
        head += b"%b: %b\r\n" % (EXCHANGE, token)
    head += b"for: %b\r\n" % mark
    match framing:
        case "whole":
            return head + b"content-length: 7\r\n\r\n" + body
        case "too short":
            return head + b"content-length: 3\r\n\r\n" + body
        case "too long":
            return head + b"content-length: 9\r\n\r\n" + body
        case "chunks":
            return head + b"transfer-encoding: chunked\r\n\r\n7\r\n" + body + b"\r\n0\r\n\r\n"
        case "to the end":
            return head + b"\r\n" + body
        case "HEAD":
            return head + b"content-length: 7\r\n\r\n"
        case _:
            return head + b"content-length: 0\r\n\r\n"


class AnyInterleaving(RuleBasedStateMachine):
    """Requests, loop turns, and whatever the other end does between them, in any order.

    Sockets, kernel buffers and loop are real; only their order is the machine's. Each request has a
    mark, and every answer to it is made of that mark, its headers included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = uvloop.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="tr"))
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.directory / "s"))
        self.listening.listen(16)
        self.listening.setblocking(False)
        self.ends: list[Theirs] = []
        self.asked: list[Asked] = []

        async def begin() -> tuple[Client, Pool]:
            client = Client()
            return client, client.pool(f"unix:{self.directory / 's'}")

        self.client, self.pool = self.loop.run_until_complete(begin())

    def teardown(self) -> None:
        async def end() -> None:
            self.client.close()
            await asyncio.sleep(0.001)

        self.loop.run_until_complete(end())
        self.loop.close()
        for theirs in self.ends:
            theirs.socket.close()
        self.listening.close()
        shutil.rmtree(self.directory)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self.listening.accept()
                client.setblocking(False)
                self.ends.append(Theirs(client))

    @rule(turns=st.integers(1, 4))
    def the_loop_turns(self, turns: int) -> None:
        self._turn(turns)

    @precondition(lambda self: len(self.asked) < len(MARKS))
    @rule(late=st.sampled_from([None, *FRAMINGS]), says_back=st.booleans(), cut=st.integers(0, 60))
    def all_goes_well(self, late: str | None, says_back: bool, cut: int) -> None:
        """Here and there, so that there are connections with a past; one answer may have an echo,
        of which nothing has arrived yet."""
        self.a_request_is_sent(0, b"POST")
        self._turn(4)
        asked = self.asked[-1]
        for end in self.ends:
            end.read(1_000_000)
            if not end.outbox and [(asked.mark, asked.token)] == end.marks[-1:]:
                end.outbox = answer(asked.mark, asked.token, "whole", 200)
                end.send(1_000_000)
                self._turn(4)
                assert asked.body == asked.mark * 7
                if late is not None:
                    whole = answer(asked.mark, asked.token if says_back else None, late, 500)
                    end.outbox = whole[: len(whole) - cut]

    def _turn(self, turns: int) -> None:
        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())
        self._accept()

    @precondition(lambda self: len(self.asked) < len(MARKS))
    @rule(body_bytes=st.sampled_from([0, 10, 500_000]), method=st.sampled_from([b"POST", b"HEAD"]))
    def a_request_is_sent(self, body_bytes: int, method: bytes) -> None:
        async def send() -> None:
            asked = Asked(self.client, MARKS[len(self.asked) :][:1])
            self.asked.append(asked)
            message = asked.message(body_bytes, method)
            self.pool.send(asked, message, 60.0, headless=method == b"HEAD")

        self.loop.run_until_complete(send())

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def a_client_leaves(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        asked.given_up = True

        async def leave() -> None:
            if asked.upstream is not None:
                asked.upstream.give_up()

        self.loop.run_until_complete(leave())

    @precondition(lambda self: self.ends)
    @rule(data=st.data(), size=st.sampled_from([20, 1_000_000]))
    def they_read(self, data: st.DataObject, size: int) -> None:
        data.draw(st.sampled_from(self.ends)).read(size)

    @precondition(lambda self: any(end.marks for end in self.ends))
    @rule(
        data=st.data(),
        says_back=st.booleans(),
        framing=st.sampled_from(FRAMINGS),
        status=st.sampled_from([200, 200, 204, 413, 500]),
        cut=st.sampled_from([0, 0, 0, 5, 30]),
    )
    def they_answer(
        self, data: st.DataObject, says_back: bool, framing: str, status: int, cut: int
    ) -> None:
        """The request in hand, or one that they have answered before, or in part."""
        end = data.draw(st.sampled_from([end for end in self.ends if end.marks]))
        mark, token = data.draw(st.sampled_from(end.marks))
        whole = answer(mark, token if says_back else None, framing, status)
        end.outbox += whole[: len(whole) - cut]

    @precondition(lambda self: self.ends)
    @rule(
        data=st.data(),
        piece=st.sampled_from(
            [
                b"\r\n",
                b"~",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Early Hints\r\nfor: ~\r\n\r\n",
                answer(NOBODY, None, "whole", 200),
                answer(NOBODY, b"0" * 16, "whole", 200),
                b"HTTP/1.1 200 ~\r\nfor: ~",
                b"HTTP/1.1 500 ",
            ]
        ),
    )
    def they_say_something_that_nobody_asked_for(self, data: st.DataObject, piece: bytes) -> None:
        data.draw(st.sampled_from(self.ends)).outbox += piece

    @precondition(lambda self: any(end.outbox for end in self.ends))
    @rule(data=st.data(), size=st.sampled_from([1, 9, 40, 1_000_000]))
    def their_bytes_arrive(self, data: st.DataObject, size: int) -> None:
        data.draw(st.sampled_from([end for end in self.ends if end.outbox])).send(size)

    @precondition(lambda self: self.ends)
    @rule(data=st.data())
    def they_hang_up(self, data: st.DataObject) -> None:
        end = data.draw(st.sampled_from(self.ends))
        self.ends.remove(end)
        end.socket.close()

    @invariant()
    def no_byte_of_one_answer_is_in_another(self) -> None:
        for asked in self.asked:
            seen = asked.body
            if asked.head is not None:
                seen += b"".join(value for _, value in asked.head.headers)
            assert not set(seen) & {*MARKS} - {*asked.mark}, seen

    @invariant()
    def what_is_idle_is_nobodys(self) -> None:
        for upstream in self.pool._idle:
            assert upstream.exchange is None


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=examples(200), stateful_step_count=40, deadline=None
)


# ── the cases that have names ────────────────────────────────────────────────────────────────────

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    uvloop.run(asyncio.wait_for(test(), 30))


@contextlib.asynccontextmanager
async def peer(script: Script, kind: str = "unix") -> AsyncIterator[tuple[Client, Pool]]:
    """(client, pool) to a server that speaks raw bytes."""
    directory = Path(tempfile.mkdtemp(prefix="tr"))
    playing: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.add(task)
        await script(reader, writer)

    if kind == "unix":
        server = await asyncio.start_unix_server(play, directory / "s")
        address = f"unix:{directory / 's'}"
    else:
        server = await asyncio.start_server(play, "127.0.0.1", 0)
        address = f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = Client()
    try:
        yield client, client.pool(address)
    finally:
        client.close()
        server.close()
        if playing:
            await asyncio.wait(playing)
        await asyncio.sleep(0)  # their transports close
        shutil.rmtree(directory)


async def ask(pool: Pool, body_bytes: int = 0, method: bytes = b"POST") -> Asked:
    asked = Asked(pool.client, b"A")
    pool.send(asked, asked.message(body_bytes, method), 20.0, headless=method == b"HEAD")
    await asked.over.wait()
    return asked


async def head_of(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    """The token of the request that comes next, and the length of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
    return fields[EXCHANGE], int(fields[b"content-length"])


over_both = pytest.mark.parametrize("kind", ["unix", "tcp"])


class TestReuse:
    def test_a_server_that_says_the_token_back_keeps_its_connection(self) -> None:
        async def test() -> None:
            connections = 0

            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal connections
                connections += 1
                with contextlib.suppress(asyncio.IncompleteReadError):
                    while True:
                        token, _ = await head_of(reader)
                        writer.write(answer(b"A", token, "whole", 200))
                writer.close()

            async with peer(script) as (_, pool):
                for _ in range(20):
                    assert (await ask(pool)).body == b"AAAAAAA"
            assert connections == 1

        run(test)

    def test_one_that_does_not_is_asked_once_on_each_connection(self) -> None:
        async def test() -> None:
            connections = 0

            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal connections
                connections += 1
                with contextlib.suppress(asyncio.IncompleteReadError):
                    while True:
                        await head_of(reader)
                        writer.write(answer(b"A", None, "whole", 200))
                writer.close()

            async with peer(script) as (_, pool):
                for _ in range(20):
                    assert (await ask(pool)).body == b"AAAAAAA"
            assert connections == 20

        run(test)

    def test_our_own_server_says_it_back_whatever_it_answers_and_shows_it_to_nobody(self) -> None:
        """Also what is answered in parts, or by a bug."""

        async def parts() -> AsyncIterator[bytes]:
            yield b"in "
            yield b"parts"

        async def test() -> None:
            seen: list[Request] = []
            answers = [
                Response(200, (), b"x"),
                Response(204),
                Response(200, (), parts()),
                Response(500, ((b"x-a", b"HTTP/1.1 200 OK"),), b"x"),
            ]

            def model(request: Request) -> Response:
                seen.append(request)
                if not answers:
                    raise ZeroDivisionError
                return answers.pop(0)

            directory = Path(tempfile.mkdtemp(prefix="tr"))
            server = await serve(model, path=directory / "s")
            client = Client()
            pool = client.pool(f"unix:{directory / 's'}")
            try:
                for status in (200, 204, 200, 500, 500):
                    asked = await ask(pool)
                    assert asked.head is not None, asked.why
                    assert asked.head.status == status
                    assert (len(pool.connections), len(server.connections)) == (1, 1)
                for request in seen:
                    assert EXCHANGE not in request.fields
                    assert EXCHANGE not in dict(request.headers)
            finally:
                client.close()
                await server.drain(0.2, idle_seconds=0)
                shutil.rmtree(directory)

        run(test)

    @pytest.mark.parametrize("late", [b"\r\n", b"~", answer(b"~", None, "whole", 200)])
    def test_what_comes_while_a_connection_is_idle_ends_it_and_costs_no_request(
        self, late: bytes
    ) -> None:
        async def test() -> None:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    while True:
                        token, _ = await head_of(reader)
                        writer.write(answer(b"A", token, "whole", 200))
                        await asyncio.sleep(0.002)
                        writer.write(late)
                writer.close()

            async with peer(script) as (_, pool):
                for _ in range(3):
                    assert (await ask(pool)).body == b"AAAAAAA"
                    while pool._idle:
                        await asyncio.sleep(0.001)

        run(test)

    def test_an_answer_that_comes_late_is_not_the_next_requests(self) -> None:
        """It looks like an answer in every way; that the next request has left is no help to it."""

        async def test() -> None:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(asyncio.IncompleteReadError):
                    token, _ = await head_of(reader)
                    writer.write(answer(b"A", token, "whole", 200))
                    await head_of(reader)
                    writer.write(answer(b"Z", token, "whole", 200))
                writer.close()

            async with peer(script) as (_, pool):
                assert (await ask(pool)).body == b"AAAAAAA"
                second = await ask(pool)
                assert (second.failure, second.body, second.head) == (Failure.MALFORMED, b"", None)

        run(test)

    @pytest.mark.parametrize(
        "half",
        [
            b"HTTP/1.1 500 Z",
            b"HTTP/1.1 500 Z\r\nfor: ",
            b"HTTP/1.1 500 Z\r\nfor: Z\r\nx: ",
            b"\r\n",
        ],
    )
    def test_half_a_head_that_comes_late_is_no_part_of_the_next_answer(self, half: bytes) -> None:
        """Run together with the head behind it, it would lend it its status and its headers."""

        async def test() -> None:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(asyncio.IncompleteReadError):
                    token, _ = await head_of(reader)
                    writer.write(answer(b"A", token, "whole", 200))
                    token, _ = await head_of(reader)
                    writer.write(half + answer(b"A", token, "whole", 200))
                writer.close()

            async with peer(script) as (_, pool):
                assert (await ask(pool)).body == b"AAAAAAA"
                second = await ask(pool)
                assert (second.failure, second.body, second.head) == (Failure.MALFORMED, b"", None)

        run(test)


class TestEarlyAnswers:
    """A server may answer before it has the whole request: 413, 401, or 200 to what it ignores."""

    @over_both
    @pytest.mark.parametrize("status", [200, 413])
    @pytest.mark.parametrize("says_back", [True, False])
    def test_one_that_reads_on_is_heard_and_its_connection_is_used_no_more(
        self, kind: str, status: int, says_back: bool
    ) -> None:
        async def test() -> None:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                token, length = await head_of(reader)
                writer.write(answer(b"A", token if says_back else None, "whole", status))
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    await reader.readexactly(length)
                writer.close()

            async with peer(script, kind) as (_, pool):
                asked = await ask(pool, body_bytes=20_000_000)
                assert asked.failure is None
                assert asked.head is not None
                assert (asked.head.status, asked.body) == (status, b"AAAAAAA")
                assert not pool._idle

        run(test)

    @over_both
    @pytest.mark.parametrize("framing", ["whole", "chunks", "to the end"])
    def test_one_that_reads_no_further_and_closes_is_heard_too(
        self, kind: str, framing: str
    ) -> None:
        async def test() -> None:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                token, _ = await head_of(reader)
                writer.write(answer(b"A", token, framing, 413))
                await writer.drain()
                if kind == "tcp":  # else its kernel may reset before we have read
                    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                        writer.write_eof()
                        await reader.readexactly(2_000_000)
                writer.close()

            async with peer(script, kind) as (_, pool):
                asked = await ask(pool, body_bytes=20_000_000)
                assert asked.failure is None, asked.why
                assert asked.head is not None
                assert (asked.head.status, asked.body) == (413, b"AAAAAAA")

        run(test)


def test_a_full_backlog_is_waited_for() -> None:
    """The kernel refuses at once to connect to a UNIX socket whose queue is full; its owner lives,
    and is slow to accept."""

    async def test() -> None:
        directory = Path(tempfile.mkdtemp(prefix="tr"))
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(directory / "s"))
        listening.listen(0)
        queued = socket.socket(socket.AF_UNIX)
        queued.connect(str(directory / "s"))
        client = Client()
        asked = Asked(client)
        client.pool(f"unix:{directory / 's'}").send(asked, asked.message(), 20.0)
        await asyncio.sleep(0.05)
        assert asked.failure is None

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                token, _ = await head_of(reader)
                writer.write(answer(b"A", token, "whole", 200))
            writer.close()

        server = await asyncio.start_unix_server(script, sock=listening)
        await asked.over.wait()
        assert asked.body == b"AAAAAAA"
        queued.close()
        client.close()
        server.close()
        await asyncio.sleep(0.01)
        shutil.rmtree(directory)

    run(test)
