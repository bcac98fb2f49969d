"""The proxy of `inservice exec`: what it leads where, untouched and no faster than it is taken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from inservice.cli.exec import proxy
from inservice.cli.exec.authority import Authority
from inservice.cli.exec.proxy import Ways
from tests.waiting import until

AWS = "sts.us-east-1.amazonaws.com"
KEYS = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t", "Expiration": "later"}
TOKEN = "the-token"

Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Bench:
    """A proxy before a server that does as a test says, and how a program reaches both."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority.of(directory)
        self.heard = bytearray()
        self.port = 0
        self.ways = Ways(
            server=lambda: self.place,
            server_context=self.authority.server_context,
            credentials=self.keys,
            token=TOKEN,
        )
        self.place: proxy.Place = ("127.0.0.1", 1)

    async def keys(self) -> Mapping[str, str]:
        return KEYS

    async def hears(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Write down what comes, and answer each request of which the head has come."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.heard += data
                if data.endswith(b"\r\n\r\n"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self, answers: Answers | None = None) -> AsyncIterator[Bench]:
        server = await asyncio.start_server(answers or self.hears, "127.0.0.1", 0)
        self.place = server.sockets[0].getsockname()[:2]
        between, self.port = await proxy.serve(self.ways)
        try:
            yield self
        finally:
            between.close()
            server.close()
            loop: Any = asyncio.get_running_loop()
            await until(lambda: len(loop._selector.get_map()) == 1)  # the loop's own descriptor

    async def program(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def asked(self, request: str) -> tuple[int, str, bytes]:
        """Status, reason and the rest of the answer to a request."""
        reader, writer = await self.program()
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        _, status, reason = head.split(b"\r\n")[0].decode().split(" ", 2)
        return int(status), reason, body

    async def tunnel(self, host: str = AWS) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A program's TLS connection to one of AWS's hosts."""
        reader, writer = await self.program()
        writer.write(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        trusting = ssl.create_default_context(cadata=self.authority.pem.decode())
        await writer.start_tls(trusting, server_hostname=host)
        return reader, writer


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_in_a_tunnel_arrives_as_it_was_sent(bench: Bench) -> None:
    """Host and signature too: the server verifies the one over the other. And one connection has
    as many requests as the program likes."""
    request = f"GET /?x=%7E HTTP/1.1\r\nhost: {AWS}\r\nAuthorization: AWS4 x\r\nx-Amz: é\r\n\r\n"

    async def told() -> None:
        async with bench.running():
            reader, writer = await bench.tunnel()
            for _ in range(3):
                writer.write(request.encode("latin-1"))
                assert (await reader.readexactly(40)).endswith(b"ok")
            writer.close()
        assert bytes(bench.heard) == 3 * request.encode("latin-1")

    asyncio.run(told())


def test_without_tls_only_the_first_line_and_the_hop_change(bench: Bench) -> None:
    async def told() -> None:
        async with bench.running(_once(bench)):
            status, _, body = await bench.asked(
                f"POST http://{AWS}/a/../b?c=d%20e HTTP/1.1\r\nHost: {AWS}\r\nX-A: b\r\n"
                "Proxy-Connection: keep-alive\r\nConnection: keep-alive\r\n\r\n"
            )
        assert (status, body) == (200, b"ok")
        assert bench.heard.decode() == (
            f"POST /a/../b?c=d%20e HTTP/1.1\r\nHost: {AWS}\r\nX-A: b\r\nConnection: close\r\n\r\n"
        )

    asyncio.run(told())


def _once(bench: Bench) -> Answers:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bench.heard += await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    return answers


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_a_body_is_read_no_faster_than_it_is_taken(bench: Bench, up: bool) -> None:
    """Who does not read is not written to without end; and when he reads, nothing is missing."""
    size = 64 * 2**20
    may_read = asyncio.Event()
    received = 0

    async def sends(writer: asyncio.StreamWriter) -> int:
        sent, chunk = 0, b"x" * 65_536
        while sent < size:
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
            progress.append(sent)
        writer.write_eof() if writer.can_write_eof() else writer.close()
        return sent

    async def takes(reader: asyncio.StreamReader) -> None:
        nonlocal received
        while received < size and (data := await reader.read(2**20)):
            received += len(data)

    progress: list[int] = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if up:
            await may_read.wait()
            await takes(reader)
        else:
            await sends(writer)
        writer.close()

    async def told() -> None:
        async with bench.running(answers):
            reader, writer = await bench.tunnel()
            sending = asyncio.create_task(sends(writer)) if up else None
            await until(lambda: len(progress) > 4)
            stood = -1
            while stood != len(progress):  # the buffers on the way are full
                stood = len(progress)
                await asyncio.sleep(0.3)
            assert progress[-1] < size / 2
            may_read.set()
            if not up:
                await takes(reader)
            await until(lambda: received == size)
            if sending is not None:
                await sending
            writer.close()

    asyncio.run(told())


@pytest.mark.parametrize(
    "host",
    ["pypi.org", "169.254.169.254", "amazonaws.com.example.net", "10.0.0.1", "bank.example."],
)
def test_every_other_host_is_refused_with_a_sentence(bench: Bench, host: str) -> None:
    async def told() -> None:
        async with bench.running():
            for request in (
                f"CONNECT {host}:443 HTTP/1.1\r\n\r\n",
                f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
            ):
                status, reason, body = await bench.asked(request)
                assert status == 403
                assert "--allow-internet" in reason
                assert reason in body.decode()
        assert not bench.heard

    asyncio.run(told())


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET http://[::1 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a b HTTP/1.1\r\n\r\n", 400),
        (f"CONNECT {AWS}:99999 HTTP/1.1\r\n\r\n", 400),
        (f"CONNECT {AWS}:0x HTTP/1.1\r\n\r\n", 400),
        (f"GET https://{AWS}/ HTTP/1.1\r\n\r\n", 400),
        (f"CONNECT {AWS}:443 HTTP/1.1\r\n\r\nTLS already", 400),
        (f"GET /{'x' * 70_000}", 431),
        ("GET /elsewhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    ],
)
def test_what_is_no_request_of_a_proxy(bench: Bench, request_text: str, status: int) -> None:
    async def told() -> None:
        async with bench.running():
            assert (await bench.asked(request_text))[0] == status
        assert not bench.heard

    asyncio.run(told())


def test_a_server_that_is_gone_is_told(bench: Bench) -> None:
    async def told() -> None:
        async with bench.running():
            bench.place = ("127.0.0.1", _nobody())
            status, reason, _ = await bench.asked(f"CONNECT {AWS}:443 HTTP/1.1\r\n\r\n")
            assert (status, reason[:11]) == (502, "not reached")

    asyncio.run(told())


def _nobody() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_this_host_is_reached_and_so_is_the_internet_if_it_is_let(bench: Bench) -> None:
    async def told() -> None:
        async with bench.running():
            port = bench.place[1]
            for _ in range(2):
                reader, writer = await bench.program()
                writer.write(f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                assert (await reader.readexactly(40)).endswith(b"ok")
                writer.close()
        bench.ways = replace(bench.ways, allow_internet=True)
        async with bench.running():
            port = bench.place[1]
            status, _, _ = await bench.asked("CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n")
            assert status == 502, "it was looked for"

    asyncio.run(told())


def test_the_internet_is_reached_by_way_of_the_host_s_own_proxy(bench: Bench) -> None:
    """Which gets the request as it is, with the name and password that its URL has."""

    async def told() -> None:
        bench.ways = replace(
            bench.ways,
            allow_internet=True,
            outer_proxy=lambda scheme, host: urlsplit(
                f"http://me:p%40ss@127.0.0.1:{bench.place[1]}"
            ),
        )
        async with bench.running():
            reader, writer = await bench.program()
            writer.write(b"CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n")
            assert (await reader.readexactly(40)).endswith(b"ok"), "what it says to that"
            writer.close()
        who = base64.b64encode(b"me:p@ss").decode()
        assert bench.heard.decode() == (
            f"CONNECT pypi.org:443 HTTP/1.1\r\nProxy-Authorization: Basic {who}\r\n"
            "Host: pypi.org:443\r\n\r\n"
        )
        bench.heard.clear()
        async with bench.running():
            reader, writer = await bench.tunnel()
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.readexactly(40)
            writer.close()
        assert bench.heard == b"GET / HTTP/1.1\r\n\r\n", "AWS is this server all the same"

    asyncio.run(told())


# ── keys ────────────────────────────────────────────────────────────────────────────────────────
def credentials_request(token: str, host: str = "127.0.0.1:1") -> str:
    shown = f"Authorization: {token}\r\n" if token else ""
    return f"GET /credentials HTTP/1.1\r\nHost: {host}\r\n{shown}\r\n"


def test_keys_are_told_to_who_has_the_token(bench: Bench) -> None:
    async def told() -> None:
        async with bench.running():
            status, _, body = await bench.asked(credentials_request(TOKEN))
            assert (status, json.loads(body)) == (200, KEYS)
            for request in (
                credentials_request(""),
                credentials_request("another"),
                credentials_request(TOKEN, host="rebound.example"),
            ):
                status, _, body = await bench.asked(request)
                assert status == 403
                assert b"ASIA" not in body

    asyncio.run(told())


def test_why_there_are_no_keys_is_told(bench: Bench) -> None:
    async def none() -> Mapping[str, str]:
        raise OSError("the role\r\nis gone")

    async def told() -> None:
        bench.ways = replace(bench.ways, credentials=none)
        async with bench.running():
            status, reason, body = await bench.asked(credentials_request(TOKEN))
        assert (status, reason) == (502, "the role is gone")
        assert b"the role is gone" in body

    asyncio.run(told())
