"""What the request path does with requests that are in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from inservice.transport.messages import Request, Response
from tests.wire.calls import Caller, application

MODEL = {
    "ModelName": "m",
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/r",
    "PrimaryContainer": {
        "Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1",
        "ModelDataUrl": "s3://bucket/model.tar.gz",
    },
}


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    with application(tmp_path) as app:
        yield Caller(app)


def request(caller: Caller, operation: str, body: bytes = b"{}", region: str = "r-1") -> Request:
    return caller.request(body, {"X-Amz-Target": f"SageMaker.{operation}"}, region=region)


def test_the_account_is_the_key_s_and_the_region_the_signature_s(caller: Caller) -> None:
    body = json.dumps(MODEL).encode()
    for region in ("eu-central-1", "local"):
        response = caller.application.answer(request(caller, "CreateModel", body, region))
        assert isinstance(response.body, bytes)
        arn = json.loads(response.body)["ModelArn"]
        assert arn == f"arn:aws:sagemaker:{region}:000000000000:model/m"
    assert caller.call("ListModels") == (200, {"Models": []})  # another region, other models


def test_small_reads_are_answered_at_once_and_the_rest_in_threads(caller: Caller) -> None:
    async def ask() -> None:
        app = caller.application
        assert isinstance(app(request(caller, "ListModels")), Response)
        large = app(request(caller, "ListModels", b"{}" + b" " * 100_000))
        written = app(request(caller, "CreateModel", json.dumps(MODEL).encode()))
        assert not isinstance(large, Response)
        assert not isinstance(written, Response)
        assert [(await large).status, (await written).status] == [200, 200]

    asyncio.run(ask())


def test_an_answer_says_which_request_it_belongs_to(caller: Caller) -> None:
    ids = set()
    for operation in ("ListModels", "ListModels", "Nonsense"):
        headers = dict(caller.application.answer(request(caller, operation)).headers)
        assert headers[b"Content-Type"] == b"application/x-amz-json-1.1"
        ids.add(headers[b"x-amzn-RequestId"])
    assert len(ids) == 3


def test_an_operation_without_output_answers_with_nothing(caller: Caller) -> None:
    """hosting-semantics 0: DeleteModel and its like answer 200 with an empty body."""
    caller.call("CreateModel", MODEL)
    response = caller.application.answer(
        caller.request(b'{"ModelName": "m"}', {"X-Amz-Target": "SageMaker.DeleteModel"})
    )
    assert (response.status, response.body) == (200, b"")


def test_moments_are_epoch_seconds_to_the_millisecond(caller: Caller) -> None:
    caller.call("CreateModel", MODEL)
    moment = caller.call("DescribeModel", {"ModelName": "m"})[1]["CreationTime"]
    assert moment == round(moment, 3)
    both = {"CreationTimeAfter": moment, "CreationTimeBefore": moment + 0.001}
    assert len(caller.call("ListModels", both)[1]["Models"]) == 1
