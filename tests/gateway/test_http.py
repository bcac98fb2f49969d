"""The gateway under hard HTTP: the control plane behind it records what comes through."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inservice.transport.limits import MIB, Limits
from inservice.transport.server import Request, Response, serve

from .corpus import STREAMS, Stream, get, post
from .rig import Rig, echo, gateway, read_answer, run, table_of


async def play(rig: Rig, stream: Stream, *, step: int) -> bytes:
    """Send a stream, `step` bytes at a time; all that is answered until nothing more comes."""
    reader, writer = await rig.connect()
    expected = len(stream.requests) + (stream.refused is not None)
    got = bytearray()

    async def listen() -> None:
        with contextlib.suppress(ConnectionError):
            while len(re.findall(rb"HTTP/1\.1 [2-5]", got)) < expected and (
                part := await reader.read(65536)
            ):
                got.extend(part)

    listening = asyncio.create_task(listen())
    for start in range(0, len(stream.sent), step):
        if writer.is_closing() or (listening.done() and expected):
            break
        writer.write(stream.sent[start : start + step])
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await listening
    # A sound stream ends in silence: waiting for what must not come, a moment has to do.
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.005):
            got.extend(await reader.read(65536))
    writer.close()
    return bytes(got)


@pytest.mark.parametrize("step", [1_000_000, 1], ids=["whole", "byte by byte"])
def test_the_backend_gets_exactly_the_requests_that_were_counted(step: int) -> None:
    async def test() -> None:
        seen: list[tuple[str, bytes, bytes]] = []

        def control(request: Request) -> Response:
            seen.append((request.method, request.target, request.body))
            return Response(200, (), b"ok")

        async with gateway() as rig:
            backend = await serve(control, path=rig.directory / "control.sock")
            rig.backends.append(backend)
            wrong = []
            for stream in STREAMS:
                if step == 1 and len(stream.sent) > 2_000:
                    continue
                seen.clear()
                before = rig.server.requests, backend.requests
                got = await play(rig, stream, step=step)
                statuses = [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]
                expected = [200] * len(stream.requests)
                expected += [] if stream.refused is None else [stream.refused]
                counted = rig.server.requests - before[0]
                if (
                    tuple(seen) != stream.requests
                    or [s for s in statuses if s != 100] != expected
                    or counted != len(stream.requests)
                    or backend.requests - before[1] != counted
                ):
                    wrong.append((stream.name, statuses, list(seen)))
            assert not wrong, "\n".join(map(str, wrong))
            assert rig.server.refused > 100

    run(test)


def test_the_corpus_is_large() -> None:
    assert len(STREAMS) >= 150
    assert len({stream.name for stream in STREAMS}) == len(STREAMS)


TE_MUTATED = [
    before + bytes([byte]) + behind
    for before, behind in (
        (b"Transfer-Encoding", b": chunked"),
        (b"Transfer-Encoding:", b"chunked"),
        (b"Transfer-Encoding: chu", b"nked"),
        (b"Transfer-Encoding: chunked", b""),
        (b"", b"Transfer-Encoding: chunked"),
        (b"Transfer", b"Encoding: chunked"),
        (b"X: y", b"Transfer-Encoding: chunked"),
        (b"X: y\r", b"Transfer-Encoding: chunked"),
        (b"X: y", b"\nTransfer-Encoding: chunked"),
        (b"Transfer-Encoding:\r\n", b"chunked"),
    )
    for byte in range(256)
]
"""Every byte in every place where some server has been made to see a Transfer-Encoding by it."""


def test_no_byte_makes_two_readers_of_length_and_coding() -> None:
    """Beside a Content-Length: refused, or another header, and the length alone counts."""
    body = b"3\r\nabc\r\n0\r\n\r\n"

    async def test() -> None:
        seen: list[tuple[str, bytes]] = []

        def control(request: Request) -> Response:
            seen.append((request.method, request.body))
            return Response(200, (), b"ok")

        async with gateway() as rig:
            rig.backends.append(await serve(control, path=rig.directory / "control.sock"))
            wrong, refused = [], 0
            for line in TE_MUTATED:
                seen.clear()
                reader, writer = await rig.connect()
                length = b"Content-Length: %d" % len(body)
                writer.write(post(body, line, length) + get(b"/2", b"Connection: close"))
                statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", await reader.read())
                writer.close()
                refused += statuses == [b"400"]
                if (statuses, seen) not in (
                    ([b"400"], []),
                    ([b"200", b"200"], [("POST", body), ("GET", b"")]),
                ):
                    wrong.append((line, statuses, list(seen)))
            assert not wrong, "\n".join(map(str, wrong))
            assert refused > 2_000

    run(test)


def test_an_answer_to_head_has_the_length_of_get_and_no_body() -> None:
    async def test() -> None:
        def control(request: Request) -> Response:
            async def parts() -> AsyncIterator[bytes]:
                yield b"ok"

            return Response(200, (), parts() if request.target == b"/parts" else b"ok")

        async with gateway() as rig:
            rig.backends.append(await serve(control, path=rig.directory / "control.sock"))
            reader, writer = await rig.connect()
            for target, lengths in ((b"/", [b"2"]), (b"/parts", [])):
                writer.write(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % target + get())
                head = await reader.readuntil(b"\r\n\r\n")
                assert re.findall(rb"content-length: (\d+)", head) == lengths
                assert (await read_answer(reader))[2] == b"ok"
            writer.close()

    run(test)


class TestExpect:
    def test_continue_is_said_once_and_before_the_body(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                backend = await serve(
                    lambda r: Response(200, (), r.body), path=rig.directory / "control.sock"
                )
                rig.backends.append(backend)
                reader, writer = await rig.connect()
                for _ in range(2):
                    writer.write(post(b"", b"Expect: 100-continue", b"Content-Length: 3"))
                    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                    for byte in (b"a", b"b", b"c"):
                        writer.write(byte)
                        await asyncio.sleep(0.001)
                    assert (await read_answer(reader))[2] == b"abc"
                writer.close()

        run(test)

    def test_a_body_over_the_limit_is_refused_before_it_is_sent(self) -> None:
        async def test() -> None:
            async with gateway(Limits(body_bytes=100)) as rig:
                reader, writer = await rig.connect()
                target = b"/endpoints/e/invocations"
                lines = (b"Expect: 100-continue", b"Content-Length: 101")
                writer.write(post(b"", *lines, target=target))
                status, headers, body = await read_answer(reader)
                assert status == 413
                assert headers[b"connection"] == b"close"
                assert b"HTTP content length exceeded 100 bytes." in body
                assert await reader.read() == b""
                writer.close()

        run(test)


class TestLimits:
    def test_a_refused_client_that_sends_on_still_reads_why(self) -> None:
        async def test() -> None:
            async with gateway(Limits(body_bytes=1_000)) as rig:
                reader, writer = await rig.connect()
                target = b"/endpoints/e/invocations"
                writer.write(post(b"x" * 5_000_000, b"Content-Length: 5000000", target=target))
                assert (await read_answer(reader))[0] == 413
                writer.close()

        run(test)

    def test_chunks_that_add_up_are_refused(self) -> None:
        async def test() -> None:
            async with gateway(Limits(body_bytes=1_000)) as rig:
                rig.serve_table(table_of())
                reader, writer = await rig.connect()
                head, _, _ = rig.signed().partition(b"\r\n\r\n")
                head = head.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")
                writer.write(head + b"\r\n\r\n" + b"64\r\n%b\r\n" % (b"x" * 100) * 11)
                assert (await read_answer(reader))[0] == 413
                assert rig.server.requests == 0
                writer.close()

        run(test)

    @pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHos", post(b"ab", b"Content-Length: 3")])
    def test_what_drips_is_ended_by_its_deadline(self, sent: bytes) -> None:
        async def test() -> None:
            limits = Limits(header_seconds=0.5, body_seconds=0.5, idle_seconds=5)
            async with gateway(limits) as rig:
                reader, writer = await rig.connect()
                writer.write(sent)
                status, headers, _ = await read_answer(reader)
                assert status == 408
                assert headers[b"connection"] == b"close"
                writer.close()

        run(test)

    def test_an_idle_connection_is_closed_without_a_word(self) -> None:
        async def test() -> None:
            async with gateway(Limits(idle_seconds=0.2)) as rig:
                reader, writer = await rig.connect()
                async with asyncio.timeout(5):
                    assert await reader.read() == b""
                writer.close()

        run(test)

    def test_more_connections_than_fit_are_closed_at_once(self) -> None:
        async def test() -> None:
            async with gateway(Limits(connections_max=2)) as rig:
                connections = [await rig.connect() for _ in range(3)]
                async with asyncio.timeout(5):
                    with contextlib.suppress(ConnectionError):
                        assert await connections[2][0].read() == b""
                assert rig.server.turned_away == 1
                for _, writer in connections:
                    writer.close()

        run(test)


class TestStrangers:
    @pytest.mark.parametrize(
        ("head", "status", "code"),
        [
            (b"POST /endpoints/e/invocations", 403, b"missingauthenticationtokenexception"),
            (b"POST /endpoints/e/openai/v1/chat", 403, b"missingauthenticationtokenexception"),
            (b"POST /", 413, b"requestentitytoolargeexception"),
        ],
    )
    def test_a_large_body_is_refused_before_it_is_sent(
        self, head: bytes, status: int, code: bytes
    ) -> None:
        async def test() -> None:
            async with gateway() as rig:
                control = await serve(
                    echo, path=rig.directory / "control.sock", limits=Limits(body_bytes=4 * MIB)
                )
                rig.backends.append(control)
                reader, writer = await rig.connect()
                writer.write(head + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
                got, headers, _ = await read_answer(reader)
                assert (got, headers[b"x-amzn-errortype"]) == (status, code)
                writer.close()

        run(test)


class TestPipelining:
    def test_a_thousand_are_answered_in_order(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                backend = await serve(
                    lambda r: Response(200, (), r.target), path=rig.directory / "control.sock"
                )
                rig.backends.append(backend)
                reader, writer = await rig.connect()
                writer.write(b"".join(get(b"/%d" % i) for i in range(1_000)))
                for i in range(1_000):
                    assert (await read_answer(reader))[2] == b"/%d" % i
                writer.close()

        run(test)

    def test_a_client_that_reads_nothing_is_not_answered_for_ever(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                backend = await serve(
                    lambda _: Response(200, (), b"x" * 100_000),
                    path=rig.directory / "control.sock",
                )
                rig.backends.append(backend)
                _, writer = await rig.connect()
                writer.write(get() * 2_000)
                settled, answered = 0, -1
                while settled < 5:
                    await asyncio.sleep(0.05)
                    settled = settled + 1 if answered == backend.requests else 0
                    answered = backend.requests
                assert answered < 500  # what the kernel's buffers hold, and our watermark
                writer.transport.abort()

        run(test)


class TestControlAway:
    def test_its_clients_are_told_503(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("inservice.gateway.carried.PATIENCE_SECONDS", 0.2)

        async def test() -> None:
            async with gateway() as rig:
                reader, writer = await rig.connect()
                writer.write(get())
                status, headers, _ = await read_answer(reader)
                assert status == 503
                assert headers[b"x-amzn-errortype"] == b"serviceunavailable"
                writer.close()

        run(test)

    def test_a_control_that_comes_back_soon_is_waited_for(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                reader, writer = await rig.connect()
                writer.write(get(b"/x"))
                await asyncio.sleep(0.3)
                backend = await serve(
                    lambda r: Response(200, (), r.target), path=rig.directory / "control.sock"
                )
                rig.backends.append(backend)
                assert (await read_answer(reader))[2] == b"/x"
                writer.close()

        run(test)


JAVA = """
import java.net.URI;
import java.net.http.*;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .POST(HttpRequest.BodyPublishers.ofString("body " + i)).build();
            HttpResponse<String> answer =
                client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body());
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="wants a JDK")
def test_javas_client_which_offers_http_2_is_answered_in_http_1(tmp_path: Path) -> None:
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)

    async def test() -> None:
        offers: list[bytes | None] = []

        def control(request: Request) -> Response:
            offers.append(request.header(b"upgrade"))
            return Response(200, (), request.body)

        async with gateway() as rig:
            rig.backends.append(await serve(control, path=rig.directory / "control.sock"))
            java = await asyncio.create_subprocess_exec(
                *("java", "-XX:TieredStopAtLevel=1", str(source), f"http://127.0.0.1:{rig.port}/"),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await java.communicate()
        assert said.decode().splitlines() == [f"HTTP_1_1 200 body {i}" for i in range(3)]
        assert offers == [None] * 3, "an offer is for this hop"

    run(test)
