"""CloudWatch Logs as clients write it, and dashboards, with boto3 and the AWS CLI."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.instance_logs.places import quoted
from inservice.operations.logs.groups import RETENTIONS
from tests import rival
from tests.acceptance.cloudwatch_rig import ACCOUNT, KEY, REGION, Rig, cloudwatch
from tests.acceptance.server import Server

DAY = 86_400_000
HOUR = DAY // 24


def now_ms() -> int:
    return round(time.time() * 1_000)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with cloudwatch(tmp_path) as rig:
        yield rig


@pytest.fixture
def logs(rig: Rig) -> Any:
    return rig.client("logs")


def made(logs: Any, group: str = "app", stream: str = "s") -> dict[str, str]:
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    return {"logGroupName": group, "logStreamName": stream}


def events(*times: int, text: str = "e") -> list[dict[str, Any]]:
    return [{"timestamp": at, "message": f"{text}{n}"} for n, at in enumerate(times)]


def messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def code_of(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    code: str = caught.value.response["Error"]["Code"]
    return code


# ── writing and reading ─────────────────────────────────────────────────────────────────────────


def test_what_is_written_is_read(logs: Any) -> None:
    where, now = made(logs), now_ms()
    text = ["plain", "  blanks  ", 'ünï\n{"a": 1}', "\x1b[31mred", "𝄞", "x" * 200_000]
    sent = [{"timestamp": now - 60_000 + n // 2, "message": one} for n, one in enumerate(text)]
    answer = logs.put_log_events(**where, logEvents=sent, sequenceToken="whatever")
    assert answer["nextSequenceToken"]
    assert "rejectedLogEventsInfo" not in answer
    found = logs.get_log_events(**where, startFromHead=True)["events"]
    assert [{k: e[k] for k in ("timestamp", "message")} for e in found] == sent
    assert all(now - 1_000 <= event["ingestionTime"] <= now_ms() for event in found)
    filtered = logs.filter_log_events(logGroupName="app", filterPattern="{ $.a = 1 }")
    assert filtered["events"] == []
    filtered = logs.filter_log_events(logGroupName="app", filterPattern="red")
    assert messages(filtered) == ["\x1b[31mred"]
    [stream] = logs.describe_log_streams(logGroupName="app")["logStreams"]
    assert stream["firstEventTimestamp"] == sent[0]["timestamp"]
    assert stream["lastEventTimestamp"] == sent[-1]["timestamp"]
    assert stream["lastIngestionTime"] == found[0]["ingestionTime"]
    assert stream["storedBytes"] == sum(len(one.encode()) + 26 for one in text)


def test_batches_that_overlap_are_read_by_time_from_either_end(logs: Any) -> None:
    where, now = made(logs), now_ms()
    times = [[0, 10, 20], [5, 10, 15], [10], [0, 30]]
    for number, batch in enumerate(times):
        sent = [{"timestamp": now - 1_000 + at, "message": f"{number}@{at}"} for at in batch]
        logs.put_log_events(**where, logEvents=sent)
    wanted = ["0@0", "3@0", "1@5", "0@10", "1@10", "2@10", "1@15", "0@20", "3@30"]
    forward: list[str] = []
    answer = logs.get_log_events(**where, limit=2, startFromHead=True)
    while answer["events"]:
        forward += messages(answer)
        answer = logs.get_log_events(**where, limit=2, nextToken=answer["nextForwardToken"])
    assert forward == wanted
    backward: list[str] = []
    answer = logs.get_log_events(**where, limit=2)
    while answer["events"]:
        backward = messages(answer) + backward
        answer = logs.get_log_events(**where, limit=2, nextToken=answer["nextBackwardToken"])
    assert backward == wanted
    paginator = logs.get_paginator("filter_log_events")
    pages = paginator.paginate(logGroupName="app", PaginationConfig={"PageSize": 2})
    assert [text for page in pages for text in messages(page)] == wanted


def test_instances_and_clients_write_to_one_group(logs: Any, tmp_path: Path) -> None:
    group, now = "/aws/sagemaker/Endpoints/demo", now_ms()
    directory = tmp_path / "logs" / quoted(ACCOUNT) / quoted(REGION) / "demo" / "AllTraffic"
    directory.mkdir(parents=True)
    file = directory / f"{quoted('i/0')}.log"
    file.write_text(f"{now - 10} from the instance\n")
    assert code_of(logs.create_log_group, logGroupName=group) == "ResourceAlreadyExistsException"
    logs.create_log_stream(logGroupName=group, logStreamName="mine")
    mine = {"logGroupName": group, "logStreamName": "mine"}
    logs.put_log_events(**mine, logEvents=events(now - 20, now, text="from the client "))
    found = logs.filter_log_events(logGroupName=group)
    assert messages(found) == ["from the client 0", "from the instance", "from the client 1"]
    theirs = {"logGroupName": group, "logStreamName": "AllTraffic/i/0"}
    assert code_of(logs.put_log_events, **theirs, logEvents=events(now)) == "NotImplemented"

    logs.delete_log_stream(**theirs)
    assert messages(logs.filter_log_events(logGroupName=group)) == [
        "from the client 0",
        "from the client 1",
    ]
    assert code_of(logs.get_log_events, **theirs) == "ResourceNotFoundException"
    later = now_ms() + 1_000
    with file.open("a") as opened:
        opened.write(f"{later} again\n")
    assert messages(logs.get_log_events(**theirs)) == ["again"]

    logs.delete_log_group(logGroupName=group)
    with file.open("a") as opened:
        opened.write(f"{later + 10_000} and on\n")
    assert messages(logs.filter_log_events(logGroupName=group, startTime=later + 1)) == ["and on"]
    assert "from the client 0" not in messages(logs.filter_log_events(logGroupName=group))


def test_a_deleted_group_is_gone_and_its_name_is_free(logs: Any) -> None:
    where = made(logs)
    logs.put_retention_policy(logGroupName="app", retentionInDays=7)
    logs.put_log_events(**where, logEvents=events(now_ms()))
    logs.delete_log_group(logGroupName="app")
    assert logs.describe_log_groups()["logGroups"] == []
    for call in (
        lambda: logs.delete_log_group(logGroupName="app"),
        lambda: logs.get_log_events(**where),
        lambda: logs.put_log_events(**where, logEvents=events(now_ms())),
        lambda: logs.create_log_stream(**where),
        lambda: logs.describe_log_streams(logGroupName="app"),
        lambda: logs.put_retention_policy(logGroupName="app", retentionInDays=7),
        lambda: logs.list_tags_log_group(logGroupName="app"),
    ):
        assert code_of(call) == "ResourceNotFoundException"
    made(logs)
    assert logs.get_log_events(**where)["events"] == []
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_as_large_as_it_may_be(logs: Any) -> None:
    where, now = made(logs), now_ms()
    many = [{"timestamp": now, "message": "x" * 78} for _ in range(10_000)]
    logs.put_log_events(**where, logEvents=many)
    largest = [{"timestamp": now, "message": "x" * (1_048_576 - 26)}]
    logs.put_log_events(**where, logEvents=largest)
    seen = logs.get_log_events(**where)["events"]
    assert seen[-1]["message"] == largest[0]["message"]
    for refused, says in (
        ([*many, many[0]], "10000"),
        ([{"timestamp": now, "message": "x" * (1_048_576 - 25)}], "Log event too large: 1048577"),
        ([{"timestamp": now, "message": "é" * 524_276}], "Log event too large"),
        ([{"timestamp": now, "message": "x" * 600_000}] * 2, "Upload too large: 1200052"),
        (events(now, now - 1), "must be in chronological order"),
        (events(now - DAY - 1, now), "cannot span more than 24 hours"),
    ):
        with pytest.raises(ClientError) as caught:
            logs.put_log_events(**where, logEvents=refused)
        error = caught.value.response["Error"]
        assert error["Code"] == "InvalidParameterException"
        assert says in error["Message"]
    everything = logs.get_paginator("filter_log_events").paginate(logGroupName="app")
    assert sum(len(page["events"]) for page in everything) == 10_001


def test_events_that_are_too_old_or_too_new_are_left_out_and_told(logs: Any) -> None:
    where, now = made(logs), now_ms()
    old = events(now - 14 * DAY - 60_000, now - 14 * DAY - 50_000, now - 14 * DAY + 60_000)
    assert logs.put_log_events(**where, logEvents=old)["rejectedLogEventsInfo"] == {
        "tooOldLogEventEndIndex": 2
    }
    new = events(now, now + 2 * HOUR - 60_000, now + 2 * HOUR + 60_000)
    assert logs.put_log_events(**where, logEvents=new)["rejectedLogEventsInfo"] == {
        "tooNewLogEventStartIndex": 2
    }
    logs.put_retention_policy(logGroupName="app", retentionInDays=3)
    expired = events(now - 3 * DAY - 60_000, now - 3 * DAY + 60_000)
    assert logs.put_log_events(**where, logEvents=expired)["rejectedLogEventsInfo"] == {
        "expiredLogEventEndIndex": 1
    }
    nothing = events(now + 3 * HOUR)
    assert logs.put_log_events(**where, logEvents=nothing)["rejectedLogEventsInfo"] == {
        "tooNewLogEventStartIndex": 0
    }
    kept = [event["timestamp"] for event in logs.filter_log_events(logGroupName="app")["events"]]
    assert kept == [expired[1]["timestamp"], new[0]["timestamp"], new[1]["timestamp"]]


@pytest.mark.parametrize("days", [0, -1, 2, 366, 3654])
def test_retention_is_one_of_a_list(logs: Any, days: int) -> None:
    made(logs)
    with pytest.raises(ClientError, match="enum value set") as caught:
        logs.put_retention_policy(logGroupName="app", retentionInDays=days)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
    assert days not in RETENTIONS


def test_what_is_past_its_retention_is_not_read_and_then_not_kept(rig: Rig, logs: Any) -> None:
    where, now = made(logs), now_ms()
    for age in (9, 4, 0):
        logs.put_log_events(**where, logEvents=events(now - age * DAY - 1_000, text=f"{age} days "))
    assert messages(logs.get_log_events(**where)) == ["9 days 0", "4 days 0", "0 days 0"]
    logs.put_retention_policy(logGroupName="app", retentionInDays=5)
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 5
    assert messages(logs.get_log_events(**where)) == ["4 days 0", "0 days 0"]
    assert messages(logs.filter_log_events(logGroupName="app")) == ["4 days 0", "0 days 0"]
    logs.put_retention_policy(logGroupName="app", retentionInDays=1)
    with rig.store.transaction() as tx:
        tx.client_logs.expire(now)
    logs.delete_retention_policy(logGroupName="app")
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]
    assert messages(logs.get_log_events(**where)) == ["0 days 0"]


def test_who_has_written_as_much_as_there_is_room_for_is_refused_and_loses_nothing(
    rig: Rig, logs: Any
) -> None:
    where, now = made(logs), now_ms()
    with rig.store.reading() as reading:
        rig.log_bytes_max = reading.client_logs.bytes_held() + 2 * 1024 * 1024
    taken: list[str] = []

    def write_on() -> None:
        while len(taken) < 20:
            text = os.urandom(250_000).hex()  # kept, it takes half of that
            logs.put_log_events(**where, logEvents=[{"timestamp": now, "message": text}])
            taken.append(text)

    with pytest.raises(ClientError) as refused:
        write_on()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "INSERVICE_LOG_BYTES_MAX" in refused.value.response["Error"]["Message"]
    assert len(taken) >= 4
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="app")
    assert [message for page in pages for message in messages(page)] == taken
    logs.create_log_stream(logGroupName="app", logStreamName="small")  # no event, and so taken
    logs.delete_log_stream(**where)
    small = {"logGroupName": "app", "logStreamName": "small"}
    logs.put_log_events(**small, logEvents=events(now))
    assert messages(logs.get_log_events(**small)) == ["e0"]


# ── names, tags, refusals ───────────────────────────────────────────────────────────────────────


def test_tags_in_both_ways_of_asking(logs: Any) -> None:
    logs.create_log_group(logGroupName="app", tags={"team": "a"})
    [group] = logs.describe_log_groups()["logGroups"]
    arn = group["logGroupArn"]
    assert arn == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:app"
    logs.tag_resource(resourceArn=arn, tags={"stage": "prod"})
    logs.tag_log_group(logGroupName="app", tags={"team": "b"})
    wanted = {"team": "b", "stage": "prod"}
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == wanted
    assert logs.list_tags_log_group(logGroupName="app")["tags"] == wanted
    logs.untag_resource(resourceArn=arn, tagKeys=["team", "never"])
    logs.untag_log_group(logGroupName="app", tags=["never"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"stage": "prod"}
    fifty = {str(n): "" for n in range(50)}
    assert code_of(logs.tag_resource, resourceArn=arn, tags=fifty) == "TooManyTagsException"
    assert (
        code_of(logs.tag_resource, resourceArn=arn, tags={"aws:x": "1"})
        == "InvalidParameterException"
    )
    for wrong in (arn.replace("app", "other"), arn.replace("aws", "aws-cn", 1), "app", f"{arn}:x"):
        assert (
            code_of(logs.list_tags_for_resource, resourceArn=wrong) == "ResourceNotFoundException"
        )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"logGroupName": "with space"}, "InvalidParameterException"),
        ({"logGroupName": "x" * 513}, "InvalidParameterException"),
        ({"logGroupName": "g", "kmsKeyId": "k"}, "NotImplemented"),
        ({"logGroupName": "g", "logGroupClass": "INFREQUENT_ACCESS"}, "NotImplemented"),
        ({"logGroupName": "g", "deletionProtectionEnabled": True}, "NotImplemented"),
    ],
)
def test_groups_that_cannot_be(logs: Any, arguments: dict[str, Any], code: str) -> None:
    assert code_of(logs.create_log_group, **arguments) == code
    assert logs.describe_log_groups()["logGroups"] == []


def test_names_are_taken_once(logs: Any) -> None:
    where = made(logs)
    assert code_of(logs.create_log_group, logGroupName="app") == "ResourceAlreadyExistsException"
    assert code_of(logs.create_log_stream, **where) == "ResourceAlreadyExistsException"
    logs.create_log_group(logGroupName="App")  # names are told apart by case
    assert [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]] == ["App", "app"]
    colon = {**where, "logStreamName": "a:b"}
    assert code_of(logs.create_log_stream, **colon) == "InvalidParameterException"


def test_groups_are_paged_and_found(logs: Any) -> None:
    names = [f"/app/{n:03d}" for n in range(7)]
    for name in names:
        logs.create_log_group(logGroupName=name)
    pages = logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 2})
    found = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    assert found == names
    [one] = logs.describe_log_groups(logGroupNamePrefix="/app/003")["logGroups"]
    assert abs(one["creationTime"] - now_ms()) < 60_000


# ── durable, and other clients ──────────────────────────────────────────────────────────────────


def test_what_is_acknowledged_survives_a_kill(start_server: Callable[..., Server]) -> None:
    server = start_server()
    logs, watch = server.client("logs"), server.client("cloudwatch")
    where = made(logs)
    logs.put_log_events(**where, logEvents=events(now_ms()))
    logs.put_retention_policy(logGroupName="app", retentionInDays=7)
    watch.put_dashboard(DashboardName="d", DashboardBody='{"widgets": []}')
    server.kill_control()
    assert messages(logs.get_log_events(**where)) == ["e0"]
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 7
    assert watch.get_dashboard(DashboardName="d")["DashboardBody"] == '{"widgets": []}'


@pytest.mark.skipif(not rival.AWS.exists(), reason="the AWS CLI is Debian's package awscli")
def test_the_aws_cli_writes_and_reads(rig: Rig) -> None:
    def aws(*words: str) -> Any:
        finished = rival.run(
            ["--endpoint-url", rig.url, "--region", REGION, *words],
            {
                "PATH": "/usr/bin:/bin",
                "AWS_ACCESS_KEY_ID": KEY.id,
                "AWS_SECRET_ACCESS_KEY": KEY.secret,
                "AWS_PAGER": "",
                "HOME": "/nonexistent",
            },
        )
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout or "{}")

    aws("logs", "create-log-group", "--log-group-name", "cli", "--tags", "team=a")
    where = ("--log-group-name", "cli", "--log-stream-name", "s")
    aws("logs", "create-log-stream", *where)
    sent = json.dumps(events(now_ms()))
    aws("logs", "put-log-events", *where, "--log-events", sent)
    assert messages(aws("logs", "get-log-events", *where)) == ["e0"]
    body = json.dumps({"widgets": []})
    aws("cloudwatch", "put-dashboard", "--dashboard-name", "d", "--dashboard-body", body)
    [entry] = aws("cloudwatch", "list-dashboards")["DashboardEntries"]
    assert (entry["DashboardName"], entry["Size"]) == ("d", len(body))


# ── dashboards ──────────────────────────────────────────────────────────────────────────────────

WIDGET = {"type": "text", "x": 0, "y": 0, "width": 6, "height": 3, "properties": {"markdown": "#"}}


def test_dashboards_are_kept_as_they_are(rig: Rig) -> None:
    client = rig.client()
    body = json.dumps({"widgets": [WIDGET], "start": "-PT6H"}, indent=2)
    assert (
        client.put_dashboard(DashboardName="a-b_C", DashboardBody=body)[
            "DashboardValidationMessages"
        ]
        == []
    )
    found = client.get_dashboard(DashboardName="a-b_C")
    assert found["DashboardBody"] == body
    assert found["DashboardArn"] == f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/a-b_C"
    elsewhere = rig.client(region="eu-west-1")  # they are the same in all regions
    assert elsewhere.get_dashboard(DashboardName="a-b_C")["DashboardBody"] == body
    china = rig.client(region="cn-north-1")
    assert china.list_dashboards()["DashboardEntries"] == []
    client.put_dashboard(DashboardName="a-b_C", DashboardBody='{"widgets":[]}')
    client.put_dashboard(DashboardName="other", DashboardBody='{"widgets":[]}')
    [entry] = client.list_dashboards(DashboardNamePrefix="a")["DashboardEntries"]
    assert (entry["DashboardName"], entry["Size"]) == ("a-b_C", 14)
    assert abs(entry["LastModified"].timestamp() - time.time()) < 60


def test_dashboards_are_deleted_together_or_not_at_all(rig: Rig) -> None:
    client = rig.client()
    for name in ("a", "b", "c"):
        client.put_dashboard(DashboardName=name, DashboardBody='{"widgets":[]}')
    with pytest.raises(ClientError) as caught:
        client.delete_dashboards(DashboardNames=["a", "none"])
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"
    assert "[none]" in caught.value.response["Error"]["Message"]
    client.delete_dashboards(DashboardNames=["a", "b", "a"])
    names = [entry["DashboardName"] for entry in client.list_dashboards()["DashboardEntries"]]
    assert names == ["c"]
    with pytest.raises(ClientError, match="Dashboard a does not exist"):
        client.get_dashboard(DashboardName="a")
    assert code_of(client.list_dashboards, NextToken="never") == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("", "/"),
        ("{", "/"),
        ("NaN", "/"),
        ("[]", "/"),
        ("{}", "/"),
        ('{"widgets": {}}', "/"),
        ("[" * 100_000, "/"),
        (json.dumps({"widgets": [1]}), "/widgets/0"),
        (json.dumps({"widgets": [WIDGET, {**WIDGET, "type": "dance"}]}), "/widgets/1/type"),
        (json.dumps({"widgets": [{**WIDGET, "properties": []}]}), "/widgets/0/properties"),
        (json.dumps({"widgets": [{**WIDGET, "properties": {}}]}), "/widgets/0/properties"),
        (json.dumps({"widgets": [{**WIDGET, "width": 25}]}), "/widgets/0/width"),
        (json.dumps({"widgets": [{**WIDGET, "y": -1}]}), "/widgets/0/y"),
        (json.dumps({"widgets": [{**WIDGET, "height": True}]}), "/widgets/0/height"),
        (json.dumps({"widgets": [WIDGET] * 501}), "/widgets"),
    ],
    ids=lambda value: value[:24],
)
def test_a_body_that_is_none_is_refused_with_its_place(rig: Rig, body: str, path: str) -> None:
    client = rig.client()
    with pytest.raises(client.exceptions.DashboardInvalidInputError) as caught:
        client.put_dashboard(DashboardName="d", DashboardBody=body)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterInput"
    assert caught.value.response["dashboardValidationMessages"][0]["DataPath"] == path
    assert client.list_dashboards()["DashboardEntries"] == []


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 256])
def test_a_name_that_no_dashboard_may_have(rig: Rig, name: str) -> None:
    client = rig.client()
    arguments = {"DashboardName": name, "DashboardBody": '{"widgets":[]}'}
    assert code_of(client.put_dashboard, **arguments) == "InvalidParameterValue"
