"""Models that answer badly: each becomes an error for its own client, and nothing for any other.

Two clients with distinct ids take turns at one model. Whatever the model does, no byte of one
answer may ever be in another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import Counter

import pytest

from inservice.transport.server import Request, Response, serve

from .rig import Rig, fleet, gateway, read_answer, rows, run, table_of

OK = b"HTTP/1.1 200 OK\r\n"
SECRET = b"of-another-client"

ANSWERS: dict[str, tuple[bytes, int]] = {
    # what the model sends, and the status that its client sees
    "nothing": (b"", 424),
    "garbage": (b"\x00\x01\x02 what is this\r\n\r\n", 424),
    "text": (b"hello\r\n\r\n", 424),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1\r\n", 424),
    "half a status line": (b"HTTP/1.1 2", 424),
    "half a head": (OK + b"Content-Le", 424),
    "half a body": (OK + b"Content-Length: 100\r\n\r\n0123", 424),
    "half a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", 424),
    "chunks without an end": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 424),
    "bad chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nab\r\n0\r\n\r\n", 424),
    "chunk longer than said": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 424
    ),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 424),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", 424),
    "status 99": (b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok", 424),
    "status 600": (b"HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nok", 424),
    "status of a word": (b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", 424),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 424),
    "flood of 1xx": (b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000 + OK + b"\r\n", 424),
    "100 then an answer": (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", 200
    ),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\nok", 424),
    "negative length": (OK + b"Content-Length: -2\r\n\r\nok", 424),
    "length of a word": (OK + b"Content-Length: two\r\n\r\nok", 424),
    "length and chunks": (
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 424
    ),
    "another coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 424),
    "folded header": (OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", 424),
    "NUL in a header": (OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nok", 424),
    "header without colon": (OK + b"X\r\nContent-Length: 2\r\n\r\nok", 424),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 424),
    "10 MiB of header": (OK + b"X: " + b"a" * (10 * 1024 * 1024), 424),
    "length too short": (OK + b"Content-Length: 2\r\n\r\nok" + SECRET, 200),
    "two answers": ((OK + b"Content-Length: 2\r\n\r\nok") * 2, 200),
    "an answer and a half": (OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Le", 200),
    "bytes behind the last chunk": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + SECRET, 200
    ),
    "body behind 204": (b"HTTP/1.1 204 No Content\r\n\r\n" + SECRET, 200),
    "body to the end": (b"HTTP/1.0 200 OK\r\n\r\nok", 200),
    "trailer named as a header": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        b"X-Amzn-SageMaker-Custom-Attributes: late\r\n\r\n",
        200,
    ),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nok", 424),
    "error with half a body": (b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nok", 424),
    "obs-text in a header": (
        OK + b"X-Amzn-SageMaker-Custom-Attributes: \xe9\r\nContent-Length: 2\r\n\r\nok", 200
    ),
    "hop-by-hop and forged headers": (
        OK + b"Connection: close\r\nSet-Cookie: a=b\r\nX-Amzn-RequestId: forged\r\n"
        b"x-amzn-invoked-production-variant: forged\r\nContent-Length: 2\r\n\r\nok",
        200,
    ),
}  # fmt: skip


class Model:
    """Answers requests of the id "bad" with what it is told, and all others with their body."""

    def __init__(self) -> None:
        self.answer = b""
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                if body == b"bad":
                    writer.write(self.answer)
                    await writer.drain()
                    if b"Content-Length: 2\r\n\r\nok" not in self.answer:
                        break
                else:
                    writer.write(OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()


def test_the_corpus_is_large() -> None:
    assert len(ANSWERS) >= 40


def test_a_bad_answer_is_one_clients_error_and_reaches_no_other() -> None:
    async def test() -> None:
        async with gateway() as rig:
            model = Model()
            rig.serve_table(table_of(fleet("f", await rig.scripted(model), variant="v")))
            bad_reader, bad_writer = await rig.connect()
            good_reader, good_writer = await rig.connect()
            wrong: list[object] = []
            for number, (name, (answer, expected)) in enumerate(ANSWERS.items()):
                model.answer = answer
                bad_writer.write(rig.signed(b"bad"))
                status, headers, body = await read_answer(bad_reader)
                good_writer.write(rig.signed(b"good %d" % number))
                good_status, _, good_body = await read_answer(good_reader)
                if (status, good_status, good_body) != (expected, 200, b"good %d" % number):
                    wrong.append((name, status, body, good_status, good_body))
                if expected == 200 and (body not in (b"ok", b"") or SECRET in body):
                    wrong.append((name, body))
                if b"set-cookie" in headers or b"forged" in b" ".join(headers.values()):
                    wrong.append((name, headers))
                if status == 200 and b"x-amzn-sagemaker-custom-attributes" in headers:
                    wrong.append((name, headers))
            assert not wrong, "\n".join(map(str, wrong))
            assert not rig.gateway.instances.outstanding
            assert sum(row.invocations for row in rows(rig)) == 2 * len(ANSWERS)
            bad_writer.close()
            good_writer.close()

    run(test)


def test_a_model_that_never_answers_is_timed_out_with_code_0() -> None:
    async def test() -> None:
        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with gateway() as rig:
            address = await rig.scripted(never)
            rig.serve_table(table_of(fleet("f", address)))
            reader, writer = await rig.connect()
            writer.write(rig.signed())
            pool = rig.gateway.client.pool(address)
            while not any(upstream.exchange for upstream in pool.connections):
                await asyncio.sleep(0.01)
            for upstream in pool.connections:
                assert upstream.deadline > rig.gateway.client.now + 59
                upstream.deadline = 0.0  # the minute is over
            status, _, body = await read_answer(reader)
            assert status == 424
            assert b"Received server error (0) from primary with message" in body
            assert b"Your invocation timed out while waiting for a response" in body
            row = rows(rig)[0]
            assert (row.model_errors, row.server_errors, row.client_errors) == (1, 0, 0)
            writer.close()

    run(test)


class Echoing:
    """Answers each request with its body, and misbehaves about every third time: says more, later,
    or half of it, or the same once more. Its `says_back` is how often it says the token back."""

    def __init__(self, says_back: float) -> None:
        self.says_back = says_back
        self.chance = random.Random(7)
        self.misbehaved = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A writer whose connection is gone raises RuntimeError (uvloop).
        with contextlib.suppress(ConnectionError, RuntimeError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                token = re.search(rb"x-inservice-exchange: .*\r\n", head)
                said = token[0] if token and self.chance.random() < self.says_back else b""
                lines = said + b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n" % body
                whole = OK + lines + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
                writer.write(whole)
                if self.chance.random() < 0.3:
                    self.misbehaved += 1
                    await asyncio.sleep(self.chance.choice([0, 0, 0.001, 0.003]))
                    cut = self.chance.choice([0, 0, len(body), len(whole) // 2, len(whole) - 5])
                    writer.write(self.chance.choice([b"\r\n", whole[: len(whole) - cut]]))
        writer.close()


@pytest.mark.parametrize("says_back", [1.0, 0.5, 0.0])
def test_thousands_of_requests_at_once_get_their_own_answers_or_an_error(says_back: float) -> None:
    """B6 under concurrency: what comes later meets the next request on its way."""

    async def test() -> None:
        async with gateway() as rig:
            model = Echoing(says_back)
            address = await rig.scripted(model)
            rig.serve_table(table_of(fleet("f", address)))
            statuses: Counter[int] = Counter()

            async def client(number: int) -> None:
                reader, writer = await rig.connect()
                mine = b"client-%02d" % number
                request = rig.signed(mine)
                for _ in range(100):
                    writer.write(request)
                    status, headers, body = await read_answer(reader)
                    statuses[status] += 1
                    attributes = headers.get(b"x-amzn-sagemaker-custom-attributes", mine)
                    assert attributes == mine
                    assert body == mine if status == 200 else status == 424
                    assert b"client-" not in body.replace(mine, b"")
                writer.close()

            await asyncio.gather(*(client(number) for number in range(16)))
            assert statuses.total() == 1_600
            assert model.misbehaved > 300
            assert statuses[200] == 1_600 if says_back == 0.0 else statuses[200] > 800
            await settled(rig)

    run(test)


async def settled(rig: Rig) -> None:
    """Wait until nothing is under way."""
    async with asyncio.timeout(10):
        while rig.gateway.instances.outstanding or rig.server.connections:
            await asyncio.sleep(0.01)


def test_clients_that_leave_in_the_middle_leave_nothing_behind() -> None:
    async def test() -> None:
        async def slow(request: Request) -> Response:
            await asyncio.sleep(0.01)
            return Response(200, (), request.body)

        async with gateway() as rig:
            rig.serve_table(table_of(fleet("f", await rig.model(slow))))
            request = rig.signed(b"x" * 100)
            for cut in range(0, len(request) + 1, 13):
                _, writer = await rig.connect()
                writer.write(request[:cut])
                await asyncio.sleep(0)
                writer.close()
            await settled(rig)
            assert (await rig.invoke(Body=b"y"))["Body"] == b"y"

    run(test)


def test_models_that_close_kept_alive_connections_at_random_cost_no_request() -> None:
    async def test() -> None:
        count = 0

        async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(2)
                    count += 1
                    writer.write(OK + b"Content-Length: 2\r\n\r\nok")
                    if count % 3 == 0:
                        break  # it said nothing of closing
            writer.close()

        async with gateway() as rig:
            rig.serve_table(table_of(fleet("f", await rig.scripted(closing))))
            reader, writer = await rig.connect()
            request = rig.signed()
            for _ in range(300):
                writer.write(request)
                assert (await read_answer(reader))[0] == 200
            writer.close()

    run(test)


def test_a_hostile_control_plane_is_no_danger_either() -> None:
    async def test() -> None:
        async with gateway() as rig:
            backend = await serve(
                lambda _: Response(200, ((b"connection", b"x"), (b"x-a", b"1")), b"ok"),
                path=rig.directory / "control.sock",
            )
            rig.backends.append(backend)
            reader, writer = await rig.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            status, headers, body = await read_answer(reader)
            assert (status, body, headers[b"x-a"]) == (200, b"ok", b"1")
            assert b"connection" not in headers
            writer.close()

    run(test)
