"""CloudWatch's metrics with boto3: put, read, computed with, listed, refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.telemetry import series
from tests.acceptance.cloudwatch_rig import Rig, cloudwatch


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with cloudwatch(tmp_path) as rig:
        yield rig


NOW = datetime.fromtimestamp(time.time() // 3600 * 3600 - 3600, UTC)
"""A whole hour that is over."""


def put(client: Any, name: str = "m", minute: int = 0, **datum: Any) -> None:
    stamped = {"MetricName": name, "Timestamp": NOW + timedelta(minutes=minute), **datum}
    client.put_metric_data(Namespace="App", MetricData=[stamped])


def query(id_: str = "q", name: str = "m", stat: str = "Sum", period: int = 60) -> dict[str, Any]:
    metric = {"Namespace": "App", "MetricName": name}
    return {"Id": id_, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def read(client: Any, *queries: dict[str, Any], minutes: int = 10, **more: Any) -> Any:
    return client.get_metric_data(
        MetricDataQueries=list(queries),
        StartTime=NOW,
        EndTime=NOW + timedelta(minutes=minutes),
        ScanBy="TimestampAscending",
        **more,
    )


def test_what_is_put_is_read(rig: Rig) -> None:
    client = rig.client()
    put(client, Value=4.0)
    put(client, Values=[1.0, 2.0], Counts=[3.0, 1.0])
    put(client, StatisticValues={"SampleCount": 2, "Sum": 20, "Minimum": 8, "Maximum": 12})
    stats = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
    found = client.get_metric_statistics(
        Namespace="App",
        MetricName="m",
        StartTime=NOW,
        EndTime=NOW + timedelta(minutes=1),
        Period=60,
        Statistics=stats,
    )
    assert found["Label"] == "m"
    [point] = found["Datapoints"]
    assert point["Timestamp"] == NOW
    assert [point[stat] for stat in stats] == [7, pytest.approx(29 / 7), 29, 1, 12]
    assert point["Unit"] == "None"


def test_percentiles_and_their_kin(rig: Rig) -> None:
    client = rig.client()
    put(client, Values=[float(n) for n in range(1, 101)], Unit="Milliseconds")
    names = ["p50", "p99.9", "tm90", "PR(:50)", "TC(10:20)", "IQM"]
    [point] = client.get_metric_statistics(
        Namespace="App",
        MetricName="m",
        StartTime=NOW,
        EndTime=NOW + timedelta(hours=1),
        Period=3600,
        ExtendedStatistics=names,
    )["Datapoints"]
    got = point["ExtendedStatistics"]
    expected = {"p50": 50, "p99.9": 100, "tm90": 45.5, "PR(:50)": 50, "TC(10:20)": 10, "IQM": 50.5}
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=0.01), name


def test_metric_math_over_the_wire(rig: Rig) -> None:
    client = rig.client()
    for minute, (failed, called) in enumerate([(1, 10), (0, 10), (5, 10)]):
        put(client, "errors", minute, Value=float(failed))
        put(client, "calls", minute, Value=float(called))
    errors, calls = query("errors", "errors"), query("calls", "calls")
    found = read(
        client,
        {**errors, "ReturnData": False},
        {**calls, "ReturnData": False},
        {"Id": "rate", "Expression": "100 * errors / calls", "Label": "Error rate"},
        {"Id": "both", "Expression": "METRICS()", "Label": "all"},
        {"Id": "filled", "Expression": "FILL(errors, 0) + SUM([rate, calls])"},
        minutes=4,
    )
    rate, *both, filled = found["MetricDataResults"]
    assert (rate["Label"], rate["Values"]) == ("Error rate", [10, 0, 50])
    assert [series["Label"] for series in both] == ["all errors", "all calls"]
    assert filled["Values"] == [21, 10, 65, 0]
    assert rate["StatusCode"] == "Complete"


def test_long_answers_come_in_pages(rig: Rig) -> None:
    client = rig.client()
    for minute in range(7):
        put(client, "a", minute, Value=float(minute))
        put(client, "b", minute, Value=10.0 + minute)
    seen: dict[str, list[float]] = {"a": [], "b": []}
    more: dict[str, Any] = {}
    pages = 0
    while True:
        page = read(client, query("a", "a"), query("b", "b"), MaxDatapoints=5, **more)
        pages += 1
        for result in page["MetricDataResults"]:
            seen[result["Id"]] += result["Values"]
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert pages == 3
    assert seen == {"a": [*range(7)], "b": [10.0 + n for n in range(7)]}


def test_newest_first_is_the_default(rig: Rig) -> None:
    client = rig.client()
    for minute in range(3):
        put(client, minute=minute, Value=float(minute))
    found = client.get_metric_data(
        MetricDataQueries=[query()], StartTime=NOW, EndTime=NOW + timedelta(minutes=5)
    )
    assert found["MetricDataResults"][0]["Values"] == [2, 1, 0]


def test_listing_is_filtered_by_name_and_dimensions(rig: Rig) -> None:
    client = rig.client()
    stage = [{"Name": "Stage", "Value": "prod"}]
    put(client, "a", Value=1.0)
    put(client, "a", Value=1.0, Dimensions=stage)
    put(client, "b", Value=1.0, Dimensions=[{"Name": "Stage", "Value": "test"}])

    def names(**filters: Any) -> list[tuple[str, int]]:
        found = client.list_metrics(Namespace="App", **filters)["Metrics"]
        return [(metric["MetricName"], len(metric["Dimensions"])) for metric in found]

    assert names() == [("a", 0), ("a", 1), ("b", 1)]
    assert names(MetricName="a") == [("a", 0), ("a", 1)]
    assert names(Dimensions=[{"Name": "Stage"}]) == [("a", 1), ("b", 1)]
    assert names(Dimensions=stage) == [("a", 1)]
    assert names(RecentlyActive="PT3H") == [("a", 0), ("a", 1), ("b", 1)]
    put(client, "old", minute=-60 * 24 * 13, Value=1.0)
    assert ("old", 0) in names()
    assert ("old", 0) not in names(RecentlyActive="PT3H")


def test_a_long_list_comes_in_pages(rig: Rig) -> None:
    client = rig.client()
    for batch in range(2):
        client.put_metric_data(  # large enough for botocore to compress it
            Namespace="App",
            MetricData=[{"MetricName": f"m{batch}-{n:03}", "Value": 1.0} for n in range(300)],
        )
    pages = [len(page["Metrics"]) for page in client.get_paginator("list_metrics").paginate()]
    assert pages == [500, 100]


REFUSED = [
    ({"MetricData": []}, "MissingParameter"),
    ({"Namespace": "AWS/SageMaker"}, "InvalidParameterValue"),
    ({"MetricData": [{"MetricName": "m"}]}, "MissingParameter"),
    ({"MetricData": [{"MetricName": "m", "Value": 1.0, "Values": [1.0]}]}, "InvalidParameter"),
    ({"MetricData": [{"MetricName": "m", "Value": float("nan")}]}, "InvalidParameterValue"),
    ({"MetricData": [{"MetricName": "m", "Value": float("inf")}]}, "InvalidParameterValue"),
    ({"MetricData": [{"MetricName": "m", "Value": 2.0**361}]}, "InvalidParameterValue"),
    ({"MetricData": [{"MetricName": "m\n", "Value": 1.0}]}, "InvalidParameterValue"),
    ({"MetricData": [{"MetricName": "m", "Values": [1.0] * 151}]}, "InvalidParameterValue"),
    ({"MetricData": [{"MetricName": "m", "Value": 1.0}] * 1001}, "InvalidParameterValue"),
    ({"MetricData": [{"MetricName": "m", "Value": 1.0, "StorageResolution": 5}]}, "InvalidParam"),
    (
        {"MetricData": [{"MetricName": "m", "Value": 1.0, "Timestamp": NOW - timedelta(days=15)}]},
        "InvalidParameterValue",
    ),
    (
        {
            "MetricData": [
                {
                    "MetricName": "m",
                    "Value": 1.0,
                    "Dimensions": [{"Name": "d", "Value": "1"}, {"Name": "d", "Value": "2"}],
                }
            ]
        },
        "InvalidParameterValue",
    ),
]


@pytest.mark.parametrize(("changes", "code"), REFUSED)
def test_what_cannot_be_put(rig: Rig, changes: dict[str, Any], code: str) -> None:
    request = {"Namespace": "App", "MetricData": [{"MetricName": "m", "Value": 1.0}], **changes}
    with pytest.raises(ClientError) as caught:
        rig.client().put_metric_data(**request)
    assert caught.value.response["Error"]["Code"].startswith(code)


def test_questions_that_make_no_sense(rig: Rig) -> None:
    client = rig.client()
    for queries in (
        [{"Id": "e", "Expression": "e + 1"}],
        [{"Id": "e", "Expression": "f"}, {"Id": "f", "Expression": "e"}],
        [{"Id": "e", "Expression": "nothing"}],
        [{"Id": "e", "Expression": "FIND('x', 'Sum')"}],
        [{"Id": "e", "Expression": "AVG(q)"}, query()],
        [{"Id": "e", "Expression": "q + r"}, query(), query("r", period=300)],
        [query(), query()],
        [query("Q")],
        [query(stat="Median")],
        [query(period=7)],
        [{"Id": "e"}],
        [
            query("e0"),
            *({"Id": f"e{n}", "Expression": f"e{n - 1} + e{n - 1}"} for n in range(1, 200)),
        ],
    ):
        with pytest.raises(ClientError) as caught:
            read(client, *queries)
        assert caught.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Sum is for Statistics"):
        client.get_metric_statistics(
            Namespace="App",
            MetricName="m",
            StartTime=NOW,
            EndTime=NOW + timedelta(hours=1),
            Period=60,
            ExtendedStatistics=["p99", "Sum"],
        )
    with pytest.raises(ClientError, match="exceeds the limit of 1,440"):
        client.get_metric_statistics(
            Namespace="App",
            MetricName="m",
            StartTime=NOW - timedelta(days=5),
            EndTime=NOW,
            Period=60,
            Statistics=["Sum"],
        )


def test_metrics_survive_a_restart(tmp_path: Path) -> None:
    with cloudwatch(tmp_path) as rig:
        put(rig.client(), Value=7.0)
    with cloudwatch(tmp_path) as rig:
        assert read(rig.client(), query())["MetricDataResults"][0]["Values"] == [7]


def test_a_flood_of_names_is_refused_and_alarms_stay_on_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C11, scaled down: past the cap 400s, memory bounded, alarms evaluated all the same."""
    monkeypatch.setattr(series, "SERIES_MAX", 2_000)
    client = rig.client()
    client.put_metric_alarm(
        AlarmName="watch",
        Namespace="App",
        MetricName="m0",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    statuses = []
    at = datetime.fromtimestamp(time.time() // 60 * 60, UTC)
    for batch in range(4):
        data = [
            {"MetricName": f"m{batch * 900 + n}", "Value": 1.0, "Timestamp": at} for n in range(900)
        ]
        try:
            answer = client.put_metric_data(Namespace="App", MetricData=data)
        except ClientError as error:
            answer = error.response
        statuses.append(answer["ResponseMetadata"]["HTTPStatusCode"])
    assert statuses == [200, 200, 400, 400]
    began = time.process_time()
    rig.deliver(at.timestamp() + 62)
    assert time.process_time() - began < 2.0
    assert client.describe_alarms()["MetricAlarms"][0]["StateValue"] == "ALARM"
