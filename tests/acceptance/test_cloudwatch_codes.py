"""CloudWatch's codes and sentences, as its real clients were found to depend on them.

Taken from what AWS answered to others (LocalStack's validated tests, moto's, exporters' reports)
and from the errors that AWS's models name.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.cloudwatch_rig import ACCOUNT, REGION, Rig, cloudwatch
from tests.acceptance.test_cloudwatch_alarms import put_alarm
from tests.acceptance.test_cloudwatch_protocols import PROTOCOLS, client_of

HOUR = datetime.fromtimestamp(time.time() // 3600 * 3600 - 3600, UTC)
"""A whole hour that is over."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with cloudwatch(tmp_path) as rig:
        yield rig


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# ── putting ─────────────────────────────────────────────────────────────────────────────────────

NUMBERS = (math.nan, math.inf, -math.inf, 2.0**361)
SET = {"SampleCount": 10.0, "Sum": 55.0, "Minimum": 1.0, "Maximum": 10.0}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_no_number_is_an_invalid_value_in_every_protocol(
    rig: Rig, tmp_path: Path, protocol: str
) -> None:
    client = client_of(rig, protocol, tmp_path)
    for number in NUMBERS:
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("Value", {"Value": number}),
            ("Values", {"Values": [1.0, number]}),
            ("Counts", {"Values": [1.0], "Counts": [number]}),
            *(
                (f"StatisticValues.{name}", {"StatisticValues": {**SET, name: number}})
                for name in SET
            ),
        )
        for member, datum in wrong:
            data = [{"MetricName": "good", "Value": 1.0}, {"MetricName": "m", **datum}]
            code, message = refusal(client.put_metric_data, Namespace="App", MetricData=data)
            assert code == "InvalidParameterValue"
            assert message.startswith("The value ")
            assert message.endswith(f" for parameter MetricData.member.2.{member} is invalid.")
    assert client.list_metrics()["Metrics"] == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_threshold_that_is_no_number_is_refused(rig: Rig, tmp_path: Path, protocol: str) -> None:
    client = client_of(rig, protocol, tmp_path)
    for number in NUMBERS[:3]:
        with pytest.raises(ClientError, match="Threshold must be a number") as caught:
            put_alarm(client, Threshold=number)
        assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert client.describe_alarms()["MetricAlarms"] == []


BOTH = "are mutually exclusive and you have specified both."
FIRST = "MetricData.member.1"
NONE_OF = (
    f"At least one of the parameters {FIRST}.Value, {FIRST}.Values or {FIRST}.StatisticValues "
    "must be specified."
)
BELOW = (
    f"The parameter {FIRST}.StatisticValues.Maximum must be greater than "
    f"{FIRST}.StatisticValues.Minimum."
)
STAMP = f"The parameter {FIRST}.Timestamp must specify a time no more than two"


@pytest.mark.parametrize(
    ("datum", "code", "message"),
    [
        (
            {"Value": 1.5, "Values": [1.0]},
            "InvalidParameterCombination",
            f"The parameters {FIRST}.Value and {FIRST}.Values {BOTH}",
        ),
        (
            {"Value": 0.0, "StatisticValues": SET},
            "InvalidParameterCombination",
            f"The parameters {FIRST}.Value and {FIRST}.StatisticValues {BOTH}",
        ),
        (
            {"Values": [1.0, 10.0], "Counts": [2.0, 4.0, 5.0]},
            "InvalidParameterValue",
            f"The parameters {FIRST}.Values and {FIRST}.Counts must be of the same size.",
        ),
        (
            {"Values": [1.0] * 151},
            "InvalidParameterValue",
            f"The collection {FIRST}.Values must not have a size greater than 150.",
        ),
        (
            {"Values": [1.0], "Counts": [-1.0]},
            "InvalidParameterValue",
            f"The value -1.0 for parameter {FIRST}.Counts is invalid.",
        ),
        (
            {"Value": 1.0, "Counts": [1.0]},
            "InvalidParameterCombination",
            f"The parameter {FIRST}.Counts needs {FIRST}.Values.",
        ),
        (
            {},
            "MissingParameter",
            NONE_OF,
        ),
        (
            {"Values": [], "Counts": []},
            "MissingParameter",
            NONE_OF,
        ),
        (
            {"StatisticValues": {**SET, "Minimum": 11.0}},
            "InvalidParameterValue",
            BELOW,
        ),
        (
            {"StatisticValues": {**SET, "SampleCount": 0.0}},
            "InvalidParameterValue",
            f"The parameter {FIRST}.StatisticValues.SampleCount must be greater than 0.",
        ),
        (
            {"StatisticValues": {**SET, "SampleCount": -1.0}},
            "InvalidParameterValue",
            f"The parameter {FIRST}.StatisticValues.SampleCount must be greater than 0.",
        ),
        (
            {"Value": 1.0, "Timestamp": HOUR - timedelta(days=15)},
            "InvalidParameterValue",
            f"{STAMP} weeks in the past.",
        ),
        (
            {"Value": 1.0, "Timestamp": HOUR + timedelta(hours=5)},
            "InvalidParameterValue",
            f"{STAMP} hours in the future.",
        ),
    ],
)
def test_the_rules_of_a_datum(rig: Rig, datum: dict[str, Any], code: str, message: str) -> None:
    client = rig.client()
    data = [{"MetricName": "m", **datum}]
    assert refusal(client.put_metric_data, Namespace="App", MetricData=data) == (code, message)
    assert client.list_metrics()["Metrics"] == []


def test_an_empty_list_is_a_member_that_was_not_given(rig: Rig) -> None:
    """Clients in Go and Java send those."""
    client = rig.client()
    datum = {"MetricName": "m", "Value": 3.0, "Values": [], "Counts": []}
    client.put_metric_data(Namespace="App", MetricData=[datum])
    assert [metric["MetricName"] for metric in client.list_metrics()["Metrics"]] == ["m"]


@pytest.mark.parametrize(
    ("operation", "arguments", "code"),
    [
        (
            "put_metric_data",
            {"Namespace": ":x", "MetricData": [{"MetricName": "m", "Value": 1.0}]},
            "InvalidParameterValue",
        ),
        (
            "put_metric_data",
            {
                "Namespace": "x",
                "MetricData": [{"MetricName": "m", "Value": 1.0, "Unit": "Furlongs"}],
            },
            "InvalidParameterValue",
        ),
        (
            "put_metric_data",
            {
                "Namespace": "x",
                "MetricData": [
                    {
                        "MetricName": "m",
                        "Value": 1.0,
                        "Dimensions": [{"Name": str(n), "Value": "v"} for n in range(31)],
                    }
                ],
            },
            "InvalidParameterValue",
        ),
        ("list_metrics", {"RecentlyActive": "PT4H"}, "InvalidParameterValue"),
        ("list_metrics", {"NextToken": "never"}, "InvalidParameterValue"),
        (
            "get_metric_statistics",
            {
                "Namespace": "x",
                "MetricName": "m",
                "Period": 60,
                "StartTime": HOUR,
                "EndTime": HOUR + timedelta(hours=1),
                "Statistics": ["Median"],
            },
            "InvalidParameterValue",
        ),
        (
            "set_alarm_state",
            {"AlarmName": "a", "StateValue": "Fine", "StateReason": ""},
            "ValidationError",
        ),
        (
            "put_metric_alarm",
            {"AlarmName": "a", "EvaluationPeriods": 1, "ComparisonOperator": "Is"},
            "ValidationError",
        ),
        ("describe_alarms", {"NextToken": "never"}, "InvalidNextToken"),
        (
            "get_metric_data",
            {
                "NextToken": "never",
                "MetricDataQueries": [],
                "StartTime": HOUR,
                "EndTime": HOUR + timedelta(hours=1),
            },
            "InvalidNextToken",
        ),
    ],
)
def test_a_violated_constraint_is_called_what_the_operation_calls_it(
    rig: Rig, operation: str, arguments: dict[str, Any], code: str
) -> None:
    assert refusal(getattr(rig.client(), operation), **arguments)[0] == code


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def stat(id_: str = "q", stat: str = "Sum", period: int = 60, **metric: Any) -> dict[str, Any]:
    named = {"Namespace": "App", "MetricName": "m", **metric}
    return {"Id": id_, "MetricStat": {"Metric": named, "Period": period, "Stat": stat}}


def data(
    client: Any,
    *queries: dict[str, Any],
    start: datetime = HOUR,
    end: datetime = HOUR + timedelta(hours=1),
) -> list[Any]:
    found = client.get_metric_data(
        MetricDataQueries=list(queries), StartTime=start, EndTime=end, ScanBy="TimestampAscending"
    )
    results: list[Any] = found["MetricDataResults"]
    return results


WRONG = "MetricDataQueries.member.1"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"Id": "q"}, f"The parameter {WRONG}.MetricStat is required.\n"),
        ({**stat(), "Expression": "1"}, f"{WRONG}.Expression and {WRONG}.MetricStat {BOTH}"),
        ({**stat(), "Period": 60}, f"The parameters {WRONG}.Period and {WRONG}.MetricStat {BOTH}"),
        (stat(stat="None"), f"The value None for parameter {WRONG}.MetricStat.Stat is not a valid"),
        (stat(id_="Q"), f"{WRONG}.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."),
        (stat(period=61), "multiple of 60"),
        ({"Id": "e", "Expression": "q +"}, "Error in expression 'e'"),
        ({"Id": "e", "Expression": "1 + 1", "Period": 60}, "gives a number"),
        (stat(Dimensions=[{"Name": "d", "Value": "1"}] * 2), "must not name a dimension twice"),
    ],
)  # fmt: skip
def test_get_metric_data_calls_it_a_validation_error(
    rig: Rig, query: dict[str, Any], says: str
) -> None:
    """elastic/beats#32687, yet-another-cloudwatch-exporter#385 and #1435: exporters match it."""
    with pytest.raises(ClientError) as caught:
        data(rig.client(), query)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert says in error["Message"]


def test_every_query_that_is_wrong_is_named(rig: Rig) -> None:
    with pytest.raises(ClientError) as caught:
        data(rig.client(), stat("a", "None"), stat("b"), stat("c", "x"))
    lines = caught.value.response["Error"]["Message"].split("\n")
    assert [line.partition(".MetricStat")[0] for line in lines] == [
        "The value None for parameter MetricDataQueries.member.1",
        "The value x for parameter MetricDataQueries.member.3",
    ]


@pytest.mark.parametrize(
    ("seconds", "data_says", "statistics_say"),
    [
        (0.0, "The parameter StartTime must not equal parameter EndTime.", "less than"),
        (0.9, "The parameter StartTime must not equal parameter EndTime.", "less than"),
        (-1.0, "The parameter EndTime must be greater than StartTime.", "less than"),
        (-86_400.0, "The parameter EndTime must be greater than StartTime.", "less than"),
    ],
)
def test_a_frame_of_no_time(rig: Rig, seconds: float, data_says: str, statistics_say: str) -> None:
    """telegraf#2022. AWS reads both ends to the second."""
    client, end = rig.client(), HOUR + timedelta(seconds=seconds)
    asked = {"StartTime": HOUR, "EndTime": end}
    assert refusal(client.get_metric_data, MetricDataQueries=[stat()], **asked) == (
        "ValidationError",
        data_says,
    )
    one = {"Namespace": "App", "MetricName": "m", "Period": 60, "Statistics": ["Sum"]}
    assert refusal(client.get_metric_statistics, **one, **asked) == (
        "InvalidParameterValue",
        f"The parameter StartTime must be {statistics_say} the parameter EndTime.",
    )


def test_statistics_have_to_be_asked_for(rig: Rig) -> None:
    one = {"Namespace": "App", "MetricName": "m", "Period": 60}
    frame = {"StartTime": HOUR, "EndTime": HOUR + timedelta(hours=1)}
    assert refusal(rig.client().get_metric_statistics, **one, **frame) == (
        "InvalidParameterCombination",
        "Must specify either Statistics or ExtendedStatistics",
    )


@pytest.mark.parametrize(("period", "resolution"), [(1, 1), (10, 1), (60, 1), (60, 60), (300, 60)])
def test_the_start_is_in_the_frame_and_the_end_is_not(
    rig: Rig, period: int, resolution: int
) -> None:
    client = rig.client()
    late = datetime.fromtimestamp(time.time() // 3600 * 3600, UTC)
    edges = [late - timedelta(seconds=n * period) for n in (3, 2, 1)]
    for value, at in enumerate(edges, 1):
        datum = {
            "MetricName": "m",
            "Value": float(value),
            "Timestamp": at,
            "StorageResolution": resolution,
        }
        client.put_metric_data(Namespace="App", MetricData=[datum])
    [found] = data(client, stat(period=period), start=edges[0], end=edges[2])
    assert (found["Timestamps"], found["Values"]) == (edges[:2], [1.0, 2.0])
    [found] = data(client, stat(period=period), start=edges[1], end=edges[2] + timedelta(seconds=1))
    assert (found["Timestamps"], found["Values"]) == (edges[1:], [2.0, 3.0])
    answer = client.get_metric_statistics(
        Namespace="App",
        MetricName="m",
        Period=period,
        Statistics=["Sum"],
        StartTime=edges[0],
        EndTime=edges[2],
    )
    assert sorted(point["Timestamp"] for point in answer["Datapoints"]) == edges[:2]


def test_labels_of_queries_on_one_metric_differ_by_what_differs(rig: Rig) -> None:
    client = rig.client()

    def labels(*queries: dict[str, Any]) -> list[str]:
        return [result["Label"] for result in data(client, *queries)]

    def dimension(**pairs: str) -> list[dict[str, str]]:
        return [{"Name": name, "Value": value} for name, value in pairs.items()]

    assert labels(stat("a")) == ["m"]
    assert labels(stat("a"), stat("b", MetricName="n")) == ["m", "n"]
    assert labels(stat("a"), stat("b", "Average"), stat("c", "p99")) == [
        "m Sum",
        "m Average",
        "m p99",
    ]
    assert labels(
        stat("a", Dimensions=dimension(Host="x", Az="1")),
        stat("b", Dimensions=dimension(Host="y", Az="1")),
    ) == ["m x", "m y"]
    assert labels(
        stat("a", Dimensions=dimension(Host="x")),
        stat("b", "Average"),
    ) == ["m x Sum", "m - Average"]
    assert labels(stat("a"), stat("b", Namespace="Other")) == ["m App", "m Other"]
    assert labels(stat("a"), stat("b", period=300)) == ["m 60", "m 300"]
    assert labels({**stat("a"), "Label": "mine"}, stat("b", "Average")) == ["mine", "m"]
    assert labels(stat("a"), stat("b")) == ["m", "m"]


# ── alarms ──────────────────────────────────────────────────────────────────────────────────────


def names(client: Any) -> dict[str, bool]:
    found = client.describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["ActionsEnabled"] for alarm in found}


def test_names_that_no_alarm_has_are_passed_over(rig: Rig) -> None:
    client = rig.client()
    for name in ("a", "b", "c"):
        put_alarm(client, name)
    client.disable_alarm_actions(AlarmNames=["none", "a", "b"])
    assert names(client) == {"a": False, "b": False, "c": True}
    client.enable_alarm_actions(AlarmNames=["b", "none"])
    assert names(client) == {"a": False, "b": True, "c": True}
    client.delete_alarms(AlarmNames=["none", "a", "b", "neither"])
    assert names(client) == {"c": True}
    client.delete_alarms(AlarmNames=["none"])  # deleted already


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tags_of_what_is_missing(rig: Rig, tmp_path: Path, protocol: str) -> None:
    client = client_of(rig, protocol, tmp_path)
    put_alarm(client, "a")
    for arn in (
        f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:none",
        f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:a",
        f"arn:aws-cn:cloudwatch:{REGION}:{ACCOUNT}:alarm:a",
        "nonsense",
    ):
        for call in (
            partial(client.tag_resource, Tags=[{"Key": "k", "Value": "v"}]),
            partial(client.untag_resource, TagKeys=["k"]),
            client.list_tags_for_resource,
        ):
            with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
                call(ResourceARN=arn)
            assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eusc-de-east-1", "aws-eusc"),
        ("on-my-desk", "aws"),
    ],
)
def test_arns_are_of_the_partition_of_their_region(rig: Rig, region: str, partition: str) -> None:
    client = rig.client(region=region)
    put_alarm(client, "a")
    [alarm] = client.describe_alarms()["MetricAlarms"]
    assert alarm["AlarmArn"] == f"arn:{partition}:cloudwatch:{region}:{ACCOUNT}:alarm:a"
    client.tag_resource(ResourceARN=alarm["AlarmArn"], Tags=[{"Key": "k", "Value": "v"}])
    client.put_composite_alarm(AlarmName="both", AlarmRule=f"ALARM({alarm['AlarmArn']})")
