"""Answers that come in parts: event streams, server-sent events, large bodies, slow readers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from inservice.transport.server import Request, Response

from .rig import bearer, echo, fleet, gateway, read_answer, rows, run, table_of


def in_parts(
    *parts: bytes, content_type: bytes = b"application/jsonlines"
) -> Callable[[Request], Response]:
    """A model that streams, and tells which part it has sent."""

    def model(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for part in parts:
                yield part
                await asyncio.sleep(0.005)

        return Response(200, ((b"content-type", content_type),), body())

    return model


async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await asyncio.sleep(0.02)
    writer.close()


class TestEventStream:
    def test_boto3_reads_the_parts_as_they_were_sent(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                model = await rig.model(in_parts(b'{"a":1}\n', b'{"a":2}\n', b'{"a":3}\n'))
                rig.serve_table(table_of(fleet("f", model, variant="v")))

                def call() -> Any:
                    answer = rig.boto().invoke_endpoint_with_response_stream(
                        EndpointName="e", Body=b"{}", Accept="application/jsonlines"
                    )
                    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
                    return answer, parts

                answer, parts = await asyncio.to_thread(call)
                assert parts == [b'{"a":1}\n', b'{"a":2}\n', b'{"a":3}\n']
                assert answer["ContentType"] == "application/jsonlines"
                assert answer["InvokedProductionVariant"] == "v"
                row = rows(rig)[0]
                assert (row.invocations, row.model_errors) == (1, 0)
                assert row.first_chunk_latency[0] == 1

        run(test)

    def test_an_error_before_the_first_byte_is_an_ordinary_one(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                model = await rig.model(lambda _: Response(500, (), b"no"))
                rig.serve_table(table_of(fleet("f", model)))
                with pytest.raises(ClientError) as caught:
                    await asyncio.to_thread(
                        rig.boto().invoke_endpoint_with_response_stream, EndpointName="e", Body=b"x"
                    )
                assert caught.value.response["Error"]["Code"] == "ModelError"

        run(test)

    def test_an_error_behind_it_is_an_event(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.scripted(breaks_off))))

                def call() -> Any:
                    answer = rig.boto().invoke_endpoint_with_response_stream(
                        EndpointName="e", Body=b"{}"
                    )
                    stream = iter(answer["Body"])
                    first = next(stream)["PayloadPart"]["Bytes"]
                    with pytest.raises(EventStreamError) as caught:
                        next(stream)
                    answer["Body"].close()
                    return first, caught.value.response["Error"]["Code"]

                assert await asyncio.to_thread(call) == (b"hello", "ModelStreamError")
                (row,) = rows(rig)
                assert (row.model_errors, row.mid_stream_errors) == (1, 1)
                assert row.server_errors == 0, "its status was sent, and was 200"

        run(test)

    @pytest.mark.parametrize(
        ("said", "status", "words"),
        [
            (b"200 OK", 500, "The container's answer broke off"),
            (b"500 Internal Server Error", 500, "hello"),
            (b"413 Too Large", 413, "hello"),
        ],
    )
    def test_a_whole_answer_that_breaks_off_counts_as_it_would_have_at_its_beginning(
        self, said: bytes, status: int, words: str
    ) -> None:
        async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n" % said
            writer.write(head + b"5\r\nhello\r\n")
            await writer.drain()
            writer.close()

        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.scripted(breaks))))
                with pytest.raises(ClientError) as caught:
                    await rig.invoke()
                answer: Any = caught.value.response
                assert answer["Error"]["Code"] == "ModelError"
                assert answer["OriginalStatusCode"] == status
                assert f"error ({status})" in answer["Error"]["Message"]
                assert words in answer["OriginalMessage"]
                (row,) = rows(rig)
                counted = (row.model_errors, row.server_errors, row.client_errors)
                assert counted == (1, int(status >= 500), int(status < 500))

        run(test)

    def test_a_large_answer_that_breaks_off_counts_as_500_too(self) -> None:
        """Its head is out already, so the client sees a broken connection; the metrics see why."""

        async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 600_000)
            await writer.drain()
            writer.close()

        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.scripted(breaks))))
                reader, writer = await rig.connect()
                writer.write(rig.signed())
                assert len(await reader.read(-1)) < 1_000_000
                writer.close()
                (row,) = rows(rig)
                assert (row.model_errors, row.server_errors) == (1, 1)

        run(test)


class TestLargeBodies:
    def test_25_megabytes_there_and_back(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                body = os.urandom(25 * 1024 * 1024)
                assert (await rig.invoke(Body=body))["Body"] == body

        run(test)

    def test_chunked_uploads_are_signed_and_forwarded_whole(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                body = os.urandom(300_000)
                whole = rig.signed(body)
                head = whole[: whole.index(b"\r\n\r\n") + 4]
                head = head.replace(b"Content-Length: 300000", b"Transfer-Encoding: chunked")
                reader, writer = await rig.connect()
                writer.write(head)
                for start in range(0, len(body), 70_001):
                    part = body[start : start + 70_001]
                    writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
                status, _, got = await read_answer(reader)
                assert (status, got) == (200, body)
                writer.close()

        run(test)

    def test_a_slow_reader_stops_the_model_and_not_our_memory(self) -> None:
        async def test() -> None:
            sent = 0

            def model(_: Request) -> Response:
                async def body() -> AsyncIterator[bytes]:
                    nonlocal sent
                    for _ in range(320):
                        sent += 65_536
                        yield b"x" * 65_536

                return Response(200, (), body())

            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(model))))
                reader, writer = await rig.connect()
                writer.write(rig.signed())
                settled, before = 0, -1
                while settled < 5:
                    await asyncio.sleep(0.05)
                    settled = settled + 1 if sent == before else 0
                    before = sent
                assert sent < 14 * 1024 * 1024  # kernel buffers of two hops; the whole is 20 MiB
                status, _, got = await read_answer(reader)
                assert (status, len(got)) == (200, 320 * 65_536)
                writer.close()

        run(test)

    @pytest.mark.parametrize("size", [300_000, 3_000_000])
    def test_a_slow_reader_leaves_a_connection_that_others_can_use(self, size: int) -> None:
        """The model has sent all while the client is still behind: its connection is not read."""

        async def test() -> None:
            async with gateway() as rig:
                address = await rig.model(echo)
                rig.serve_table(table_of(fleet("f", address)))
                slow = socket.socket()
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.connect(("127.0.0.1", rig.port))
                reader, writer = await asyncio.open_connection(sock=slow)
                while not rig.server.connections:
                    await asyncio.sleep(0.01)
                (connection,) = rig.server.connections
                accepted = connection.transport.get_extra_info("socket")
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                writer.write(rig.signed(b"x" * size))
                status, _, body = await read_answer(reader)
                assert (status, len(body)) == (200, size)
                others = rig.gateway.client.pool(address).connections
                assert len(others) == 1
                for number in range(3):
                    writer.write(rig.signed(b"%d" % number))
                    assert (await read_answer(reader))[2] == b"%d" % number
                assert rig.gateway.client.pool(address).connections == others
                writer.close()

        run(test)


class TestOpenAi:
    def request(self, token: str, body: bytes = b'{"messages":[]}') -> bytes:
        return (
            b"POST /endpoints/e/openai/v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
            b"Content-Type: application/json\r\nAuthorization: Bearer %b\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (token.encode(), len(body), body)
        )

    def test_server_sent_events_pass_untouched(self) -> None:
        async def test() -> None:
            seen: list[Request] = []
            events = [b'data: {"delta":"a"}\n\n', b'data: {"delta":"b"}\n\n', b"data: [DONE]\n\n"]
            stream = in_parts(*events, content_type=b"text/event-stream")

            def model(request: Request) -> Response:
                seen.append(request)
                return stream(request)

            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(model))))
                reader, writer = await rig.connect()
                writer.write(self.request(bearer()))
                status, headers, body = await read_answer(reader)
                assert status == 200
                assert headers[b"content-type"] == b"text/event-stream"
                assert body == b"".join(events)
                assert seen[0].body == b'{"messages":[]}'
                assert seen[0].header(b"authorization") is None
                path = seen[0].header(b"x-amzn-sagemaker-model-invocation-path")
                assert path == b"/v1/chat/completions"
                writer.close()

        run(test)

    def test_each_stream_has_one_first_chunk(self) -> None:
        """Though what was counted is sent on in the middle of it, and though it breaks off."""
        parts = asyncio.Event()

        async def pauses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            await parts.wait()
            writer.write(b"1\r\nb\r\n")
            await asyncio.sleep(0.02)
            writer.close()

        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.scripted(pauses))))
                reader, writer = await rig.connect()
                writer.write(self.request(bearer()))
                await reader.readuntil(b"a")
                first = rows(rig)[-1]
                parts.set()
                await reader.read()
                last = rows(rig)[-1]
                assert (first.first_chunk_latency[0], last.first_chunk_latency[0]) == (1, 0)
                assert (first.mid_stream_errors, last.mid_stream_errors) == (0, 1)
                writer.close()

        run(test)

    def test_signatures_work_there_too(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                reader, writer = await rig.connect()
                writer.write(rig.signed(b"{}", path="/endpoints/e/openai/v1/chat/completions"))
                assert (await read_answer(reader))[0] == 200
                writer.close()

        run(test)

    def test_the_models_own_errors_pass_with_their_status(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                model = await rig.model(lambda _: Response(422, (), b'{"error":{"message":"m"}}'))
                rig.serve_table(table_of(fleet("f", model)))
                reader, writer = await rig.connect()
                writer.write(self.request(bearer()))
                status, _, body = await read_answer(reader)
                assert (status, body) == (422, b'{"error":{"message":"m"}}')
                assert rows(rig)[0].client_errors == 1
                writer.close()

        run(test)

    def test_only_sound_bearer_keys_are_taken_and_only_here(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                good = bearer()
                bad = [
                    bearer(expires=100_000),
                    bearer(action="Other"),
                    good[:-12] + "AAAAAAAAAAAA",
                    "sagemaker-api-key-!!!",
                    "sk-1234",
                    good.replace("sagemaker-api-key-", ""),
                ]
                requests = [self.request(token) for token in bad]
                requests.append(self.request(good).replace(b"/openai/v1/chat/completions",
                                                           b"/invocations"))  # fmt: skip
                for request in requests:
                    reader, writer = await rig.connect()
                    writer.write(request)
                    status, _, body = await read_answer(reader)
                    assert status == 403, request
                    if b"/openai/" in request:
                        assert "message" in json.loads(body)["error"]
                    writer.close()
                assert rig.backends[0].requests == 0

        run(test)
