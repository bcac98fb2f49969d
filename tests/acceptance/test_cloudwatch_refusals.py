"""Alarms that cannot be, refused at the call in CloudWatch's codes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.cloudwatch_rig import Rig, cloudwatch
from tests.acceptance.test_cloudwatch_alarms import put_alarm


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with cloudwatch(tmp_path) as rig:
        yield rig


@pytest.mark.parametrize(
    ("expression", "gives"),
    [
        ("SUM(m1)", "gives a number"),
        ("[m1, m2]", "gives 2"),
        ("METRICS('x')", "gives 0"),
        ("FILL(m1)", "FILL takes 2 arguments"),
        ("IF(METRICS() > 1, 1, 0)", "IF takes numbers"),
    ],
)
def test_math_that_could_never_be_evaluated_is_refused(
    rig: Rig, expression: str, gives: str
) -> None:
    client = rig.client()
    metric = {"Namespace": "App", "MetricName": "Errors"}
    stat = {"Metric": metric, "Period": 60, "Stat": "Sum"}

    def put(name: str, expression: str) -> None:
        client.put_metric_alarm(
            AlarmName=name,
            Metrics=[
                {"Id": "m1", "MetricStat": stat, "ReturnData": False},
                {"Id": "m2", "MetricStat": stat, "ReturnData": False},
                {"Id": "e", "Expression": expression},
            ],
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
        )

    with pytest.raises(ClientError, match=gives):
        put("never", expression)
    put("sound", "(m1 - AVG(m1)) / STDDEV(m1) + SUM(METRICS())")
    names = [alarm["AlarmName"] for alarm in client.describe_alarms()["MetricAlarms"]]
    assert names == ["sound"]


def test_an_alarm_that_names_a_dimension_twice_is_refused(rig: Rig) -> None:
    """Accepted, it was never evaluated, and DescribeAlarmsForMetric failed for every metric."""
    client = rig.client()
    stage = {"Name": "Stage", "Value": "prod"}
    with pytest.raises(ClientError, match="must not name a dimension twice"):
        put_alarm(client, Dimensions=[stage, stage])
    assert (
        client.describe_alarms_for_metric(Namespace="App", MetricName="Any")["MetricAlarms"] == []
    )


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        (
            "set_alarm_state",
            {"AlarmName": "none", "StateValue": "OK", "StateReason": ""},
            "ResourceNotFound",
        ),
        (
            "set_alarm_state",
            {
                "AlarmName": "errors",
                "StateValue": "OK",
                "StateReason": "",
                "StateReasonData": "{",
            },
            "InvalidFormat",
        ),
        (
            "set_alarm_state",
            {
                "AlarmName": "errors",
                "StateValue": "OK",
                "StateReason": "",
                "StateReasonData": '{"value": NaN}',
            },
            "InvalidFormat",
        ),
        ("list_tags_for_resource", {"ResourceARN": "arn:none"}, "ResourceNotFoundException"),
        ("put_composite_alarm", {"AlarmName": "c", "AlarmRule": "ALARM("}, "ValidationError"),
    ],
)
def test_errors_have_the_codes_that_clients_know(
    rig: Rig, operation: str, arguments: dict[str, Any], expected: str
) -> None:
    client = rig.client()
    put_alarm(client)
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**arguments)
    assert caught.value.response["Error"]["Code"] == expected


@pytest.mark.parametrize("position", [7, None, [], {"a": 1}, "z", [1]])
def test_a_token_that_was_changed_is_refused(rig: Rig, position: Any) -> None:
    """Every position but a name was an InternalFailure."""
    client = rig.client()
    for name in ("a", "b"):
        put_alarm(client, name)
    for describe in (client.describe_alarms, client.describe_alarm_history):
        token = describe(MaxRecords=1)["NextToken"]
        digest, _ = json.loads(base64.urlsafe_b64decode(token))
        changed = base64.urlsafe_b64encode(json.dumps([digest, position]).encode()).decode()
        with pytest.raises(ClientError, match="NextToken is not valid"):
            describe(MaxRecords=1, NextToken=changed)
        assert describe(MaxRecords=1, NextToken=token)
