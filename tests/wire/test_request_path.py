"""What the request path does with requests that are in order."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from inservice.api.application import EXPENSIVE_MAX, Application
from inservice.operations.live import Live
from inservice.transport.messages import Request, Response
from tests.wire.calls import Caller, Quiet, application

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
        named = b'{"ModelName": "m"}'
        assert isinstance(app(request(caller, "DescribeModel", named)), Response)
        large = app(request(caller, "ListModels", b"{}" + b" " * 100_000))
        listed = app(request(caller, "ListModels"))
        written = app(request(caller, "CreateModel", json.dumps(MODEL).encode()))
        answers = []
        for answer in (large, listed, written):
            assert not isinstance(answer, Response)
            answers.append(await answer)
        assert [answer.status for answer in answers] == [200, 200, 200]

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


class SlowLogs(Quiet):
    """A server whose logs take as long to read as a test wants."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.reading = 0

    @property
    def logs(self) -> SlowLogs:
        return self

    def group(self, *_: str) -> None:
        self.reading += 1
        self.over.wait(60)


@pytest.mark.parametrize("protocol", ["json", "cbor", "query"])
def test_reads_that_take_long_keep_nobody_else_waiting(tmp_path: Path, protocol: str) -> None:
    """Eight searches through a log held all threads for two minutes; CreateModel timed out."""
    slow = SlowLogs()
    with application(tmp_path, cast(Live, slow)) as app:
        caller = Caller(app)
        search = caller.request(
            b'{"logGroupName": "g"}',
            {"X-Amz-Target": "Logs_20140328.FilterLogEvents"},
            service="logs",
        )

        async def ask() -> list[int]:
            searches = [asyncio.ensure_future(later(app, search)) for _ in range(EXPENSIVE_MAX)]
            while app.expensive_reads < EXPENSIVE_MAX:
                await asyncio.sleep(0.01)
            # Further reads are told to come back, in the words that every client understands.
            refused = await later(app, describe_alarms(caller, protocol))
            assert refused.status == 400
            assert b"Throttling" in cast(bytes, refused.body)
            made = await later(app, request(caller, "CreateModel", json.dumps(MODEL).encode()))
            assert not any(one.done() for one in searches)
            slow.over.set()
            return [made.status, *(one.status for one in await asyncio.gather(*searches))]

        assert asyncio.run(ask()) == [200, *[400] * EXPENSIVE_MAX]
        assert slow.reading == EXPENSIVE_MAX


def describe_alarms(caller: Caller, protocol: str) -> Request:
    if protocol == "json":
        headers = {"X-Amz-Target": "GraniteServiceVersion20100801.DescribeAlarms"}
        return caller.request(b"{}", headers, service="monitoring")
    if protocol == "cbor":
        target = "/service/GraniteServiceVersion20100801/operation/DescribeAlarms"
        headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
        return caller.request(b"\xa0", headers, target=target, service="monitoring")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"Action=DescribeAlarms&Version=2010-08-01"
    return caller.request(body, headers, service="monitoring")


async def later(app: Application, request: Request) -> Response:
    answer = app(request)
    return answer if isinstance(answer, Response) else await answer


def test_on_a_full_disk_a_sound_request_that_adds_is_refused_and_no_other_step_changes(
    tmp_path: Path,
) -> None:
    why: list[str] = []
    with application(tmp_path, short=lambda: why[0] if why else "") as app:
        caller = Caller(app)
        assert caller.call("CreateModel", MODEL)[0] == 200
        why.append("The volume of /data has 0 KiB left beside its reserve.")
        status, said = caller.call("CreateModel", {**MODEL, "ModelName": "more"})
        assert (status, said["__type"]) == (503, "InsufficientStorage")
        assert said["message"].startswith(f"{why[0]} CreateModel is refused until there is more")
        assert caller.call("CreateModel", {"ModelName": "_"})[1]["__type"] == "ValidationException"
        assert caller.call("CreateModel", MODEL, signed=False)[0] == 403, (
            "a stranger learns nothing"
        )
        assert [m["ModelName"] for m in caller.call("ListModels")[1]["Models"]] == ["m"]
        assert caller.call("DeleteModel", {"ModelName": "m"})[0] == 200
        why.clear()
        assert caller.call("CreateModel", {**MODEL, "ModelName": "more"})[0] == 200
