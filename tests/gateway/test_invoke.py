"""InvokeEndpoint, as boto3 sees it and as the model sees it."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.clock import SystemClock
from inservice.gateway.runtime.requests import Api, read_target
from inservice.transport.server import Request, Response

from .rig import (
    ACCOUNT,
    KEY,
    KEY_ID,
    SECRET,
    echo,
    fleet,
    gateway,
    read_answer,
    rows,
    run,
    table_of,
)


def code_of(error: ClientError) -> tuple[str, int]:
    response = error.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


class TestHeaders:
    def test_the_model_sees_the_headers_of_the_api_and_no_others(self) -> None:
        async def test() -> None:
            seen: list[Request] = []

            def model(request: Request) -> Response:
                seen.append(request)
                headers = (
                    (b"content-type", b"text/csv"),
                    (b"x-amzn-sagemaker-custom-attributes", b"trace=1"),
                    (b"set-cookie", b"stolen=1"),
                    (b"x-amzn-requestid", b"forged"),
                )
                return Response(200, headers, b"1,2")

            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(model), variant="blue")))
                answer = await rig.invoke(
                    ContentType="application/json",
                    Accept="text/csv",
                    CustomAttributes="a=b",
                    InferenceId="id-1",
                    EnableExplanations="x",
                    PrefixAwareId="p",
                    Body=b'{"instances":[]}',
                )
            assert answer["Body"] == b"1,2"
            assert answer["ContentType"] == "text/csv"
            assert answer["InvokedProductionVariant"] == "blue"
            assert answer["CustomAttributes"] == "trace=1"
            answered = answer["ResponseMetadata"]["HTTPHeaders"]
            assert "set-cookie" not in answered
            assert answer["ResponseMetadata"]["RequestId"] != "forged"
            request = seen[0]
            assert (request.method, request.target) == ("POST", b"/invocations")
            assert request.body == b'{"instances":[]}'
            assert dict(request.headers) == {
                b"host": b"localhost:8080",
                b"content-length": b"16",
                b"x-amzn-sagemaker-forwarded-api": b"InvokeEndpoint",
                b"x-amzn-requestid": answer["ResponseMetadata"]["RequestId"].encode(),
                b"content-type": b"application/json",
                b"accept": b"text/csv",
                b"x-amzn-sagemaker-custom-attributes": b"a=b",
                b"x-amzn-sagemaker-inference-id": b"id-1",
                b"x-amzn-sagemaker-enable-explanations": b"x",
                b"x-amzn-sagemaker-prefix-aware-id": b"p",
            }

        run(test)

    def test_the_models_accept_is_the_one_that_was_meant_for_it(self) -> None:
        """curl and browsers send an Accept of their own beside it; two would be refused."""

        async def test() -> None:
            async with gateway() as rig:
                address = await rig.model(
                    lambda request: Response(200, (), request.fields[b"accept"])
                )
                rig.serve_table(table_of(fleet("f", address)))
                reader, writer = await rig.connect()
                for own in ({}, {"X-Amzn-SageMaker-Accept": "text/csv"}):
                    writer.write(rig.signed(headers={"Accept": "*/*", **own}))
                    status, _, body = await read_answer(reader)
                    assert (status, body) == (200, b"text/csv" if own else b"*/*")
                writer.close()

        run(test)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"CustomAttributes": "a" * 1025}, "less than or equal to 1024"),
            ({"TargetModel": "../../etc/passwd"}, "targetModel"),
            ({"TargetModel": "a/%2e%2e/b"}, "targetModel"),
            ({"TargetModel": "/etc/passwd"}, "targetModel"),
            ({"TargetVariant": "no_such"}, "targetVariant"),
            ({"TargetVariant": "Other"}, "Variant Other of endpoint e not found."),
            ({"InferenceComponentName": "c"}, "Please remove the Inference Component Name header"),
            ({"TargetContainerHostname": "c"}, "TargetContainerHostname"),
            (
                {"TargetVariant": "Other", "SessionId": "s"},
                "Variant Other of endpoint e not found.",
            ),
            (
                {"TargetModel": "customer_a/m.tar.gz"},
                "Endpoint e is not a multi-model endpoint and does not support target model",
            ),
            ({"TargetContainerHostname": "a_b"}, "targetContainerHostname"),
            ({"InferenceComponentName": "a_b"}, "inferenceComponentName"),
            ({"SessionId": "no_such"}, "sessionId"),
            ({"TargetVariant": "a_b", "SessionId": "c_d"}, "2 validation errors detected: Value"),
            ({"EndpointName": "E"}, "Endpoint E of account 000000000000 not found."),
        ],
    )
    def test_what_aws_refuses_is_a_validation_error(
        self, arguments: dict[str, Any], words: str
    ) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                with pytest.raises(ClientError) as caught:
                    await rig.invoke(**arguments)
                assert code_of(caught.value) == ("ValidationError", 400)
                assert words in str(caught.value)
                assert rig.backends[0].requests == 0

        run(test)

    def test_a_target_model_is_refused_with_awss_machine_code_and_streams_open_no_session(
        self,
    ) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                reader, writer = await rig.connect()
                for api in ("invocations", "invocations-response-stream"):
                    path = f"/endpoints/e/{api}"
                    writer.write(
                        rig.signed(path=path, headers={"X-Amzn-SageMaker-Target-Model": "m"})
                    )
                    status, headers, body = await read_answer(reader)
                    assert (status, headers[b"x-amzn-errortype"]) == (400, b"validationerror")
                    assert json.loads(body) == {
                        "Message": "Endpoint e is not a multi-model endpoint and does not support "
                        "target model header.",
                        "ErrorCode": "TARGET_MODEL_HEADER_NOT_SUPPORTED",
                    }
                opening = {"X-Amzn-SageMaker-Session-Id": "NEW_SESSION"}
                writer.write(rig.signed(path=path, headers=opening))
                status, _, body = await read_answer(reader)
                assert (status, b"Value 'NEW_SESSION' at 'sessionId'" in body) == (400, True)
                assert rig.backends[0].requests == 0
                writer.close()

        run(test)


class TestModelErrors:
    @pytest.mark.parametrize(
        ("status", "fault"), [(400, "client"), (503, "server"), (302, "server")]
    )
    def test_an_error_of_the_model_is_424_with_its_three_fields(
        self, status: int, fault: str
    ) -> None:
        async def test() -> None:
            async with gateway() as rig:
                model = await rig.model(lambda _: Response(status, (), b"it is broken"))
                rig.serve_table(table_of(fleet("f", model)))
                with pytest.raises(ClientError) as caught:
                    await rig.invoke()
                assert code_of(caught.value) == ("ModelError", 424)
                response: Any = caught.value.response
                group = "/aws/sagemaker/Endpoints/e"
                assert response["OriginalStatusCode"] == status
                assert response["OriginalMessage"] == "it is broken"
                assert response["LogStreamArn"].endswith(f"000000000000:log-group:{group}")
                assert response["Error"]["Message"] == (
                    f"Received {fault} error ({status}) from primary with message "
                    f'"it is broken". See `inservice endpoint logs e` (log group {group}) '
                    "in account 000000000000 for more information."
                )

        run(test)

    def test_a_long_error_is_cut_and_its_sentence_stays_whole(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(
                    table_of(
                        fleet("f", await rig.model(lambda _: Response(500, (), b"x" * 90_000)))
                    )
                )
                with pytest.raises(ClientError) as caught:
                    await rig.invoke()
                message = caught.value.response["Error"]["Message"]
                assert len(message) == 2048
                assert message.endswith("for more information.")
                response: Any = caught.value.response
                assert len(response["OriginalMessage"]) == 2048

        run(test)


class TestAvailability:
    def test_a_connect_failure_is_retried_on_another_instance(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                alive = await rig.model(echo)
                gone = [f"unix:{rig.directory}/gone{i}" for i in range(3)]
                rig.serve_table(table_of(fleet("f", *gone, alive)))
                for _ in range(6):
                    assert (await rig.invoke(Body=b"x"))["Body"] == b"x"
                row = rows(rig)[0]
                assert row.invocations == 6
                assert row.retried >= 1
                assert row.gateway_errors == 0
                assert not rig.gateway.instances.outstanding

        run(test)

    def test_no_instance_is_503_at_once(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                for instances in ((), (f"unix:{rig.directory}/gone",)):
                    rig.serve_table(table_of(fleet("f", *instances)))
                    with pytest.raises(ClientError) as caught:
                        await rig.invoke()
                    assert code_of(caught.value) == ("ServiceUnavailable", 503)
                assert sum(row.gateway_errors for row in rows(rig)) == 2
                assert sum(row.invocations for row in rows(rig)) == 0

        run(test)

    def test_what_reached_a_model_is_never_sent_again(self) -> None:
        async def test() -> None:
            reached: list[bytes] = []

            async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                reached.append(await reader.readuntil(b"\r\n\r\n"))
                writer.close()

            async with gateway() as rig:
                model = await rig.scripted(dies)
                rig.serve_table(table_of(fleet("f", model, model, model)))
                with pytest.raises(ClientError) as caught:
                    await rig.invoke()
                assert code_of(caught.value) == ("ModelError", 424)
                response: Any = caught.value.response
                assert response["OriginalStatusCode"] == 0
                assert len(reached) == 1

        run(test)

    def test_weights_are_kept_exactly_over_a_hundred_requests(self) -> None:
        async def test() -> None:
            async with gateway() as rig:
                old, new = await rig.model(echo), await rig.model(echo)
                rig.serve_table(
                    table_of(
                        fleet("old", old, share=9_000, variant="a"),
                        fleet("new", new, share=1_000, variant="b"),
                    )
                )
                reader, writer = await rig.connect()
                request = rig.signed()
                variants: Counter[bytes] = Counter()
                for _ in range(200):
                    writer.write(request)
                    _, headers, _ = await read_answer(reader)
                    variants[headers[b"x-amzn-invoked-production-variant"]] += 1
                assert variants == {b"a": 180, b"b": 20}
                by_fleet = {row.fleet: row.invocations for row in rows(rig)}
                assert by_fleet == {"old": 180, "new": 20}
                writer.close()

        run(test)


def test_long_targets_are_read_and_not_kept() -> None:
    """Anybody may send them, signed or not."""
    tracemalloc.start()
    for number in range(2_000):
        target = read_target(b"/endpoints/e/invocations?%d" % number + b"x" * 8_000)
        assert (target.endpoint, target.api) == ("e", Api.INVOKE)
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 1024 * 1024


class TestAuthentication:
    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            (lambda r: r.replace(b"Authorization", b"X-Other"), 403, b"missingauth"),
            (lambda r: r.replace(b"AKIDEXAMPLE", b"AKIDUNKNOWN"), 403, b"unrecognizedclient"),
            (lambda r: r.replace(b"\r\n\r\n{}", b"\r\n\r\n[]"), 403, b"invalidsignature"),
            (lambda r: r.replace(b"/endpoints/e/", b"/endpoints/f/"), 403, b"invalidsignature"),
            (lambda r: r, 200, b""),
        ],
    )
    def test_every_invocation_is_verified(
        self, change: Callable[[bytes], bytes], status: int, code: bytes
    ) -> None:
        async def test() -> None:
            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                reader, writer = await rig.connect()
                writer.write(change(rig.signed()))
                got, headers, _ = await read_answer(reader)
                assert got == status
                assert headers.get(b"x-amzn-errortype", b"").startswith(code)
                assert rig.backends[0].requests == (status == 200)
                writer.close()

        run(test)

    @pytest.mark.parametrize(
        ("path", "action"),
        [
            ("/endpoints/e/invocations", b"sagemaker:InvokeEndpoint"),
            (
                "/endpoints/e/invocations-response-stream",
                b"sagemaker:InvokeEndpointWithResponseStream",
            ),
            ("/endpoints/e/async-invocations", b"sagemaker:InvokeEndpointAsync"),
            ("/endpoints/e/openai/v1/chat/completions", b"sagemaker:InvokeEndpoint"),
            ("/endpoints/no-such/invocations", b"sagemaker:InvokeEndpoint"),
            ("/endpoints/e/elsewhere", b"sagemaker:InvokeEndpoint"),
        ],
    )
    def test_who_is_not_root_may_invoke_nothing(self, path: str, action: bytes) -> None:
        """There are no policies that would allow it; control says the same."""

        async def test() -> None:
            async with gateway() as rig:
                table = table_of(fleet("f", await rig.model(echo)))
                nobody = f"arn:aws:iam::{ACCOUNT}:user/nobody"
                rig.serve_table(replace(table, keys={KEY_ID: replace(KEY, principal=nobody)}))
                reader, writer = await rig.connect()
                for secret, status, code in (
                    (SECRET, 403, b"accessdeniedexception"),
                    ("wrong", 403, b"invalidsignatureexception"),  # learns nothing of the principal
                ):
                    writer.write(rig.signed(path=path, secret=secret))
                    got, headers, body = await read_answer(reader)
                    assert (got, headers[b"x-amzn-errortype"]) == (status, code)
                    assert (b"user/nobody" in body) == (secret == SECRET)
                    endpoint = path.split("/")[2].encode()
                    words = b"perform: %b on resource: arn:aws:sagemaker:us-east-1:%b:endpoint/%b "
                    said = words % (action, ACCOUNT.encode(), endpoint)
                    assert (said in body) == (secret == SECRET)
                assert rig.backends[0].requests == 0
                writer.close()

        run(test)

    @pytest.mark.parametrize("hours", [-1, 1, 24 * 365])
    def test_signatures_are_judged_by_the_clock_as_it_is(
        self, hours: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The machine's clock was wrong when the worker started, and is right now."""
        right = time.time

        async def test() -> None:
            with monkeypatch.context() as at_start:
                at_start.setattr(time, "time", lambda: right() + hours * 3600)
                clock = SystemClock()
            began = clock.now()
            async with gateway() as rig:
                rig.gateway.clock = clock
                rig.serve_table(table_of(fleet("f", await rig.model(echo))))
                assert (await rig.invoke(Body=b"x"))["Body"] == b"x"
                late = datetime.fromtimestamp(right() - 310, UTC)
                with monkeypatch.context() as then:
                    then.setattr("botocore.auth.get_current_datetime", lambda: late)
                    signed = rig.signed()
                reader, writer = await rig.connect()
                writer.write(signed)
                assert (await read_answer(reader))[0] == 403
                writer.close()
            assert 0 <= clock.now() - began < 60, "durations go by the other clock"

        run(test)
