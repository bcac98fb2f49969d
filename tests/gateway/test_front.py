"""What anybody is told without a signature, and that it is nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest

from inservice.routing.table import RoutingTable
from inservice.transport.server import Request, Response, serve

from .rig import bearer, echo, fleet, gateway, read_answer, run, table_of

HTML = b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
"""As a browser's Accept begins."""


def asked(method: bytes, target: bytes, *lines: bytes) -> bytes:
    head = b"%b %b HTTP/1.1\r\nHost: a\r\n" % (method, target)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


class TestHealth:
    def test_ping_is_answered_by_whoever_lives(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(RoutingTable(-1, {}, {}))
                reader, writer = await rig.connect()
                writer.write(asked(b"GET", b"/ping"))
                status, headers, body = await read_answer(reader)
                assert (status, body, headers[b"cache-control"]) == (200, b"alive\n", b"no-store")
                writer.write(asked(b"HEAD", b"/ping") + asked(b"GET", b"/ping"))
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"content-length: 6\r\n" in head
                assert (await read_answer(reader))[2] == b"alive\n", "HEAD has no body"
                writer.close()

        run(test)

    def test_ready_is_who_serves_all_that_it_should(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                reader, writer = await rig.connect()

                async def ready() -> tuple[int, bytes]:
                    writer.write(asked(b"GET", b"/ready"))
                    status, _, body = await read_answer(reader)
                    return status, body

                rig.serve_table(RoutingTable(-1, {}, {}))
                assert await ready() == (503, b"not ready\n"), "no table"
                model = await rig.model(echo)
                rig.serve_table(RoutingTable(1, {}, {}))
                assert await ready() == (200, b"ready\n"), "there is nothing to serve"
                rig.serve_table(table_of(fleet("f", model), version=2))
                assert (await ready())[0] == 200
                rig.serve_table(table_of(fleet("f"), version=3))
                assert (await ready())[0] == 503, "an endpoint without an instance"
                gone = f"unix:{rig.directory}/gone"
                rig.serve_table(table_of(fleet("g", gone, model), version=4))
                assert (await ready())[0] == 200
                rig.serve_table(table_of(fleet("g", gone), version=5))
                writer.write(rig.signed())
                assert (await read_answer(reader))[0] == 503
                async with asyncio.timeout(5):  # it is looked up once in a sweep
                    while (await ready())[0] == 200:
                        await asyncio.sleep(0.05)
                rig.serve_table(table_of(fleet("f", model), version=6))
                assert (await ready())[0] == 200
                rig.server.draining = True
                assert (await ready())[0] == 503, "a worker that ends takes no new clients"
                writer.close()

        run(test)


class TestBrowser:
    def test_a_person_is_told_what_this_is(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("secret-fleet", await rig.model(echo)), name="mine"))
                reader, writer = await rig.connect()
                writer.write(asked(b"GET", b"/", b"Accept: " + HTML))
                status, headers, body = await read_answer(reader)
                assert (status, headers[b"content-type"]) == (200, b"text/html; charset=utf-8")
                assert b"InService" in body
                assert b"docs/README.md" in body
                assert b"default-src 'none'" in headers[b"content-security-policy"]
                for secret in (b"mine", b"secret-fleet", b"000000000000", b"AKID"):
                    assert secret not in body + b" ".join(headers.values())
                writer.close()

        run(test)


@pytest.mark.parametrize(
    "request_",
    [
        asked(b"GET", b"/"),
        asked(b"GET", b"/", b"Accept: application/json"),
        asked(b"GET", b"/?Action=GetCallerIdentity", b"Accept: " + HTML),
        asked(b"GET", b"/", b"Accept: " + HTML, b"Authorization: AWS4-HMAC-SHA256 x"),
        asked(b"POST", b"/", b"Accept: " + HTML),
        asked(b"POST", b"/ping"),
        asked(b"DELETE", b"/ready"),
        asked(b"OPTIONS", b"/ping"),
        asked(b"GET", b"/ping/"),
        asked(b"GET", b"//ping"),
        asked(b"GET", b"/Ping"),
        asked(b"GET", b"/ping?x=1"),
        asked(b"GET", b"/%70ing"),
        asked(b"GET", b"/ready/.."),
        asked(b"GET", b"/health"),
        asked(b"GET", b"/metrics"),
        asked(b"GET", b"/index.html", b"Accept: " + HTML),
    ],
)
def test_everything_else_is_for_control_to_judge(request_: bytes) -> None:
    async def test() -> None:
        seen: list[bytes] = []

        def control(request: Request) -> Response:
            seen.append(request.target)
            return Response(403)

        async with gateway() as rig:
            rig.backends.append(await serve(control, path=rig.directory / "control.sock"))
            reader, writer = await rig.connect()
            writer.write(request_)
            assert (await read_answer(reader))[0] == 403
            assert seen == [request_.split(b" ")[1]]
            writer.close()

    run(test)


class TestModels:
    """What OpenAI's clients ask first."""

    def test_an_endpoint_is_one_model(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo)), name="My-Digits"))
                model = {
                    "id": "My-Digits",
                    "object": "model",
                    "created": 0,
                    "owned_by": "000000000000",
                }
                reader, writer = await rig.connect()
                key = b"Authorization: Bearer " + bearer().encode()
                for target, said in (
                    (b"/models", {"object": "list", "data": [model]}),
                    (b"/models/My-Digits", model),
                ):
                    path = b"/endpoints/My-Digits/openai/v1" + target
                    writer.write(asked(b"GET", path, key))
                    status, headers, body = await read_answer(reader)
                    assert (status, json.loads(body)) == (200, said)
                    assert headers[b"content-type"] == b"application/json"
                    writer.write(rig.signed(b"", path=path.decode(), method="GET"))
                    assert json.loads((await read_answer(reader))[2]) == said, "or signed"
                assert rig.backends[0].requests == 0
                writer.close()

        run(test)

    @pytest.mark.parametrize(
        ("method", "target", "key", "status", "code"),
        [
            (b"GET", b"/endpoints/e/openai/v1/models", False, 403, "MissingAuthenticationToken"),
            (b"GET", b"/endpoints/e/openai/v1/models/other", True, 404, "UnknownOperation"),
            (b"GET", b"/endpoints/f/openai/v1/models", True, 400, "ValidationError"),
            (b"DELETE", b"/endpoints/e/openai/v1/models/e", True, 404, "UnknownOperation"),
            (b"GET", b"/endpoints/e/openai/v1/files", True, 404, "UnknownOperation"),
            (b"GET", b"/endpoints/e/openai/v1/modelsx", True, 404, "UnknownOperation"),
        ],
    )
    def test_what_is_not_there_is_said_in_openais_words(
        self, method: bytes, target: bytes, key: bool, status: int, code: str
    ) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                reader, writer = await rig.connect()
                line = [b"Authorization: Bearer " + bearer().encode()] if key else []
                writer.write(asked(method, target, *line))
                got, _, body = await read_answer(reader)
                error = json.loads(body)["error"]
                assert (got, error["type"]) == (status, "invalid_request_error")
                assert error["code"].startswith(code)
                writer.close()

        run(test)
