"""CloudWatch Logs with boto3, over the files that the process runtime writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.instance_logs.places import quoted
from tests.acceptance.cloudwatch_rig import ACCOUNT, REGION, Rig, cloudwatch

GROUP = "/aws/sagemaker/Endpoints/demo"
BEGAN = 1_795_435_200_000


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Any]:
    with cloudwatch(tmp_path) as rig:
        yield rig.client("logs")


def write(
    path: Path, lines: list[tuple[int, str]], *, instance: str = "g-1-AllTraffic/0", old: int = 0
) -> Path:
    """Lines as the runtime's collector writes them."""
    directory = path / "logs" / quoted(ACCOUNT) / quoted(REGION) / "demo" / "AllTraffic"
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{quoted(instance)}.log{f'.{old}' if old else ''}"
    with file.open("a") as opened:
        opened.writelines(f"{BEGAN + at} {text}\n" for at, text in lines)
    return file


def messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


STREAM = "AllTraffic/g-1-AllTraffic/0"


def test_groups_and_streams_have_aws_s_names(logs: Any, tmp_path: Path) -> None:
    assert logs.describe_log_groups()["logGroups"] == []
    write(tmp_path, [(0, "hello"), (5, "world")])
    write(tmp_path, [(9, "other")], instance="g-1-AllTraffic/1")
    [group] = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker")["logGroups"]
    assert (group["logGroupName"], group["creationTime"]) == (GROUP, BEGAN)
    assert group["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}:*"
    assert logs.describe_log_groups(logGroupNamePattern="DEMO")["logGroups"] == [group]
    streams = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == [STREAM, f"{STREAM[:-1]}1"]
    assert streams[0]["firstEventTimestamp"] == BEGAN
    assert streams[0]["lastEventTimestamp"] == BEGAN + 5
    newest = logs.describe_log_streams(
        logGroupIdentifier=group["logGroupArn"], orderBy="LastEventTime", descending=True, limit=1
    )
    assert newest["logStreams"][0]["logStreamName"] == f"{STREAM[:-1]}1"
    assert "nextToken" in newest


def test_events_are_read_from_either_end(logs: Any, tmp_path: Path) -> None:
    write(tmp_path, [(n // 3, f"line {n}") for n in range(20)], old=1)
    write(tmp_path, [(n // 3, f"line {n}") for n in range(20, 30)])
    asked = {"logGroupName": GROUP, "logStreamName": STREAM}
    everything = [f"line {n}" for n in range(30)]
    assert messages(logs.get_log_events(**asked)) == everything
    assert messages(logs.get_log_events(**asked, limit=4)) == everything[-4:]

    walked: list[str] = []
    answer = logs.get_log_events(**asked, limit=7, startFromHead=True)
    while answer["events"]:
        walked += messages(answer)
        answer = logs.get_log_events(**asked, limit=7, nextToken=answer["nextForwardToken"])
    assert walked == everything

    backwards: list[str] = []
    answer = logs.get_log_events(**asked, limit=7)
    while answer["events"]:
        backwards = messages(answer) + backwards
        answer = logs.get_log_events(**asked, limit=7, nextToken=answer["nextBackwardToken"])
    assert backwards == everything

    between = logs.get_log_events(**asked, startTime=BEGAN + 2, endTime=BEGAN + 4)
    assert messages(between) == everything[6:12]


def test_following_sees_what_comes_and_nothing_twice(logs: Any, tmp_path: Path) -> None:
    file = write(tmp_path, [(1, "one"), (1, "two")])
    asked = {"logGroupName": GROUP, "logStreamName": STREAM}
    first = logs.get_log_events(**asked, startFromHead=True)
    token = first["nextForwardToken"]
    nothing = logs.get_log_events(**asked, nextToken=token)
    assert (nothing["events"], nothing["nextForwardToken"]) == ([], token)
    file.rename(file.with_name(f"{file.name}.1"))  # rotated in between
    write(tmp_path, [(1, "three"), (2, "four")])
    with file.open("a") as opened:
        opened.write(f"{BEGAN + 3} half a li")
    assert messages(logs.get_log_events(**asked, nextToken=token)) == ["three", "four"]


def test_filtering_merges_streams_by_time(logs: Any, tmp_path: Path) -> None:
    write(tmp_path, [(n * 2, f"ERROR {n}") for n in range(5)])
    write(tmp_path, [(n * 2 + 1, f"INFO {n}") for n in range(5)], instance="g-1-AllTraffic/1")
    expected = list(itertools.chain.from_iterable((f"ERROR {n}", f"INFO {n}") for n in range(5)))
    pages = list(
        logs.get_paginator("filter_log_events").paginate(
            logGroupName=GROUP, PaginationConfig={"PageSize": 3}
        )
    )
    assert [message for page in pages for message in messages(page)] == expected
    ids = [event["eventId"] for page in pages for event in page["events"]]
    assert len(set(ids)) == 10
    asked = {"logGroupName": GROUP}
    assert messages(logs.filter_log_events(**asked, filterPattern="ERROR -3")) == [
        "ERROR 0",
        "ERROR 1",
        "ERROR 2",
        "ERROR 4",
    ]
    one = logs.filter_log_events(**asked, logStreamNames=[STREAM], startTime=BEGAN + 5)
    assert messages(one) == ["ERROR 3", "ERROR 4"]


def test_a_long_log_is_read_where_it_is_asked_for(logs: Any, tmp_path: Path) -> None:
    write(tmp_path, [(n, f"line {n} " + "x" * 80) for n in range(50_000)])
    asked = {"logGroupName": GROUP, "logStreamName": STREAM}
    answer = logs.get_log_events(**asked, startTime=BEGAN + 49_990, startFromHead=True)
    assert [message.split()[1] for message in messages(answer)] == [
        str(n) for n in range(49_990, 50_000)
    ]
    newest = logs.get_log_events(**asked)
    assert len(newest["events"]) < 10_000, "an answer has at most a megabyte"
    assert newest["events"][-1]["message"].startswith("line 49999")


@pytest.mark.parametrize(
    ("operation", "arguments", "code"),
    [
        (
            "get_log_events",
            {"logGroupName": GROUP, "logStreamName": "none"},
            "ResourceNotFoundException",
        ),
        ("describe_log_streams", {"logGroupName": "none"}, "ResourceNotFoundException"),
        (
            "filter_log_events",
            {"logGroupName": "/aws/sagemaker/Endpoints/../other"},
            "ResourceNotFoundException",
        ),
        (
            "filter_log_events",
            {"logGroupName": "/aws/sagemaker/Endpoints/.."},
            "ResourceNotFoundException",
        ),
        (
            "filter_log_events",
            {"logGroupName": GROUP, "filterPattern": "{ broken"},
            "",
        ),
        (
            "filter_log_events",
            {"logGroupName": GROUP, "filterPattern": "%(%"},
            "InvalidParameterException",
        ),
        ("filter_log_events", {"logGroupName": GROUP, "nextToken": "x"}, "InvalidParameter"),
        ("filter_log_events", {}, "InvalidParameterException"),
        (
            "describe_log_streams",
            {
                "logGroupName": GROUP,
                "orderBy": "LastEventTime",
                "logStreamNamePrefix": "A",
            },
            "InvalidParameterException",
        ),
    ],
)
def test_errors(
    logs: Any, tmp_path: Path, operation: str, arguments: dict[str, Any], code: str
) -> None:
    write(tmp_path, [(0, "hello")])
    if not code:
        assert getattr(logs, operation)(**arguments)["events"] == []
        return
    with pytest.raises(ClientError) as caught:
        getattr(logs, operation)(**arguments)
    assert caught.value.response["Error"]["Code"].startswith(code)


def test_an_account_sees_its_own_logs_only(tmp_path: Path) -> None:
    with cloudwatch(tmp_path) as rig:
        write(tmp_path, [(0, "mine")])
        assert _count(rig, ACCOUNT, REGION) == 1
        assert _count(rig, "111122223333", REGION) == 0
        assert _count(rig, ACCOUNT, "eu-west-1") == 0


def _count(rig: Rig, account: str, region: str) -> int:
    return len(rig.logs.groups(account, region))
