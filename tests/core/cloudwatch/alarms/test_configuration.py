"""PutMetricAlarm's rules: what is taken, with which defaults, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inservice.cloudwatch.alarms.alarm import AlarmState, MetricAlarm, Missing, StateValue, WarmUp
from inservice.cloudwatch.alarms.configuration import composite_alarm, metric_alarm
from inservice.cloudwatch.alarms.errors import AlarmRefused
from inservice.cloudwatch.alarms.history import acted, configured, moved, notification
from inservice.errors import NotImplementedYet

REQUEST = {
    "AlarmName": "errors",
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}


def stat(id_: str, period: int = 60, **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "n", "MetricName": "m"}
    return {"Id": id_, "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}, **more}


def put(**changes: Any) -> MetricAlarm:
    document = {**REQUEST, **changes}
    return metric_alarm(
        {key: value for key, value in document.items() if value is not None},
        created_at=1000.0,
        state=AlarmState(),
        readable_statistic=lambda name: None,
        readable_queries=lambda queries: None,
    )


NO_METRIC = dict.fromkeys(("Namespace", "MetricName", "Dimensions", "Statistic", "Period"), None)


def test_defaults() -> None:
    alarm = put()
    assert (alarm.evaluation_periods, alarm.datapoints_to_alarm) == (3, 3)
    assert alarm.missing is Missing.MISSING
    assert alarm.wall_clock_offset is None
    assert not alarm.ignores_low_samples


def test_every_field_reaches_the_alarm() -> None:
    alarm = put(
        DatapointsToAlarm=2,
        TreatMissingData="notBreaching",
        Statistic=None,
        ExtendedStatistic="p99",
        EvaluateLowSampleCountPercentile="ignore",
        Unit="Microseconds",
        EvaluationWindow={"WallClockWindow": {"Timezone": "UTC-03:30"}},
        WarmUpConfiguration={"WarmUpPeriodDurationInMinutes": 5},
    )
    assert alarm.datapoints_to_alarm == 2
    assert alarm.missing is Missing.NOT_BREACHING
    assert (alarm.statistic, alarm.ignores_low_samples) == ("p99", True)
    assert alarm.unit == "Microseconds"
    assert alarm.wall_clock_offset == -12_600
    assert alarm.warm_up == WarmUp(until=1300.0, wait_it_out=False)


def test_an_alarm_on_metric_math_takes_its_period_from_its_metrics() -> None:
    rate = {"Id": "rate", "Expression": "errors/all"}
    queries = [stat("errors", 10, ReturnData=False), stat("all", 10, ReturnData=False), rate]
    alarm = put(**NO_METRIC, Metrics=queries)
    assert (alarm.period_seconds, alarm.statistic) == (10, "")


def test_an_alarm_on_a_band_has_no_threshold() -> None:
    band = {"Id": "band", "Expression": "ANOMALY_DETECTION_BAND(m, 2)"}
    alarm = put(
        **NO_METRIC,
        Metrics=[stat("m"), band],
        ThresholdMetricId="band",
        Threshold=None,
        ComparisonOperator="GreaterThanUpperThreshold",
    )
    assert alarm.threshold is None


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"Period": 15}, "Period must be 10, 20, 30"),
        ({"Period": 90}, "Period must be 10, 20, 30"),
        ({"Period": 60, "EvaluationPeriods": 1441}, "more than a day"),
        ({"Period": 3600, "EvaluationPeriods": 169}, "seven days"),
        ({"DatapointsToAlarm": 4}, "DatapointsToAlarm"),
        ({"Threshold": None}, "Threshold is required"),
        ({"EvaluationPeriods": None}, "EvaluationPeriods is required"),
        ({"ComparisonOperator": None}, "ComparisonOperator is required"),
        ({"Period": None}, "Period is required"),
        ({"Namespace": None}, "Namespace is required"),
        ({"MetricName": None}, "MetricName and Metrics"),
        ({"Metrics": [stat("m")]}, "MetricName and Metrics"),
        ({"ExtendedStatistic": "p99"}, "Statistic and ExtendedStatistic"),
        ({"Statistic": None, "ExtendedStatistic": "Sum"}, "it is a Statistic"),
        ({"TreatMissingData": "sometimes"}, "TreatMissingData"),
        ({"EvaluateLowSampleCountPercentile": "maybe"}, "EvaluateLowSampleCountPercentile"),
        ({"EvaluateLowSampleCountPercentile": "ignore"}, "percentiles only"),
        ({"AlarmName": "a\x07"}, "AlarmName"),
        ({"ThresholdMetricId": "m"}, "ThresholdMetricId"),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, "ThresholdMetricId"),
        ({"Period": 10, "EvaluationWindow": {"WallClockWindow": {}}}, "WallClockWindow"),
        ({"EvaluationWindow": {"WallClockWindow": {"Timezone": "noon"}}}, "noon"),
        ({"EvaluationWindow": {"WallClockWindow": {"Timezone": "+25:61"}}}, "61"),
        ({**NO_METRIC, "Metrics": [stat("a"), stat("b")]}, "ReturnData"),
        ({**NO_METRIC, "Metrics": [stat("a"), stat("a", ReturnData=False)]}, "unique"),
        ({**NO_METRIC, "Metrics": [stat("a"), stat("b", 10, ReturnData=False)]}, "same Period"),
        ({**NO_METRIC, "Metrics": [stat("Caps")]}, "lowercase"),
        ({**NO_METRIC, "Metrics": [{"Id": "a"}]}, "MetricStat and Expression"),
        (
            {**NO_METRIC, "Metrics": [stat(f"m{n}", ReturnData=n == 0) for n in range(11)]},
            "10 MetricStats",
        ),
        (
            {**NO_METRIC, "Unit": "Count", "Metrics": [stat("a")]},
            "Unit cannot be given together with Metrics",
        ),
    ],
)
def test_refusals_name_the_field(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(AlarmRefused, match=names):
        put(**changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"EvaluationCriteria": {}}, "'EvaluationCriteria'"),
        ({"EvaluationInterval": 60}, "'EvaluationInterval'"),
        ({"ActionConfiguration": {}}, "'ActionConfiguration'"),
        (
            {"EvaluationWindow": {"WallClockWindow": {"Timezone": "America/New_York"}}},
            "'America/New_York' at 'EvaluationWindow.WallClockWindow.Timezone'",
        ),
        ({**NO_METRIC, "Metrics": [stat("a", AccountId="1")]}, "'Metrics.AccountId'"),
    ],
)
def test_what_only_aws_has_is_not_called_invalid(changes: dict[str, Any], names: str) -> None:
    """Terraform's provider and others try again what is a ValidationError."""
    with pytest.raises(NotImplementedYet, match=f"InService does not support .*{names}"):
        put(**changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"AlarmRule": "ALARM("}, "AlarmRule"),
        ({"ActionsSuppressor": "s"}, "ActionsSuppressorWaitPeriod"),
        ({"ActionsSuppressorWaitPeriod": 5}, "needs ActionsSuppressor"),
    ],
)
def test_composites_that_are_refused(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(AlarmRefused, match=names):
        composite_alarm({"AlarmName": "c", "AlarmRule": "TRUE", **changes}, state=AlarmState())


def test_history_says_what_happened() -> None:
    before, after = AlarmState(), AlarmState(StateValue.ALARM, "why", '{"a":1}', since=2.0)
    item = moved(before, after)
    assert item.summary == "Alarm updated from INSUFFICIENT_DATA to ALARM"
    assert json.loads(item.data)["newState"]["stateReasonData"] == {"a": 1}
    assert configured("created", "errors", REQUEST, 1.0).summary == 'Alarm "errors" created'
    assert acted("arn:x", after, 3.0, "no").summary == "Failed to execute action arn:x"
    long = configured("updated", "errors", {"AlarmDescription": "x" * 9_000}, 1.0)
    assert len(long.data) <= 4_095
    assert json.loads(long.data)


def test_a_notification_is_what_an_sns_subscriber_gets() -> None:
    got = notification(
        arn="arn:alarm",
        account="000000000000",
        region="eu-west-1",
        document=REQUEST,
        before=StateValue.OK,
        after=AlarmState(StateValue.ALARM, "why", since=0.25),
        configured_at=0.5,
        at=1.0,
        message_id="id",
        action="https://example.org/hook",
    )
    assert (got["Type"], got["Subject"]) == ("Notification", 'ALARM: "errors" in eu-west-1')
    assert got["text"] == 'ALARM: "errors" in eu-west-1 (was OK): why', "Slack shows it"
    message = json.loads(got["Message"])
    assert message["OldStateValue"] == "OK"
    assert message["NewStateValue"] == "ALARM"
    assert message["StateChangeTime"] == "1970-01-01T00:00:00.250+0000"
    assert message["AlarmConfigurationUpdatedTimestamp"] == "1970-01-01T00:00:00.500+0000"
    assert got["Timestamp"] == "1970-01-01T00:00:01.000Z"
    trigger = message["Trigger"]
    assert (trigger["StatisticType"], trigger["Statistic"]) == ("Statistic", "SUM")
    assert message["Trigger"]["Dimensions"] == [{"name": "EndpointName", "value": "e"}]
