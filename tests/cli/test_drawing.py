"""Timelines, durations and strategies as text: pure."""

from __future__ import annotations

import argparse
from argparse import ArgumentTypeError
from typing import Any

import pytest

from inservice.cli.aws.failures import Refused
from inservice.cli.durations import elapsed, exactly, seconds_of, spelled, whole_seconds_of
from inservice.cli.endpoint.drawing import aligned, step_bar, timeline
from inservice.cli.endpoint.strategies import add_strategy_options, capacity_size, update_members


def steps(*rows: tuple[int, int, float, int]) -> list[dict[str, Any]]:
    """A plan from (old, new, traffic, hold) of one variant."""
    made, begins = [], 0
    for number, (old, new, traffic, hold) in enumerate(rows):
        wants = {"VariantName": "v", "OldInstances": old, "NewInstances": new}
        made.append(
            {
                "Row": number,
                "Doing": "Baking",
                "HoldSeconds": hold,
                "BeginsAfterSeconds": begins,
                "Variants": [{**wants, "TrafficPercent": traffic}],
            }
        )
        begins += hold
    return made


CANARY = steps((4, 4, 0, 0), (4, 4, 25, 300), (4, 4, 100, 600), (0, 4, 100, 0))


def test_a_timeline_gives_each_hold_its_length() -> None:
    assert timeline(CANARY, "v", columns=32) == [
        "old  █▆▆▆▆▆▆▆▆▆▆",
        "new   ▂▂▂▂▂▂▂▂▂▂█████████████████████",
        "     0          5m                  15m",
    ]


def test_a_timeline_without_holds_is_a_column_a_step() -> None:
    drawn = timeline(steps((1, 1, 0, 0), (1, 1, 0.5, 0), (0, 1, 100, 0)), "v")
    assert drawn == ["old  ██", "new   ▁█", "     0"]


def test_a_timeline_of_many_short_holds_shows_each() -> None:
    hundred = steps(*((100, 100, percent, 1) for percent in range(1, 101)))
    old, new, _ = timeline(hundred, "v")
    assert len(new) == 5 + 2 * 100
    assert new[5:] == "".join(sorted(new[5:], key=" ▁▂▃▄▅▆▇█".index))
    assert old.count("█") == 2 * 12, "more than seven eighths"


def test_the_bar_of_steps() -> None:
    assert step_bar(CANARY, 0) == "▣□□□"
    assert step_bar(CANARY, 3) == "■■■▣"
    hundred = steps(*((1, 1, percent, 1) for percent in range(100)))
    assert step_bar(hundred, 0, 10) == "▣□□□□□□□□□"
    assert step_bar(hundred, 99, 10) == "■■■■■■■■■▣"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned([("A", "LONG"), ("bcd", "")]) == ["A    LONG", "bcd"]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0", 0), ("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1m5", 65)],
)
def test_durations(written: str, seconds: float) -> None:
    assert seconds_of(written) == seconds
    if seconds == int(seconds):
        assert seconds_of(exactly(seconds)) == seconds


@pytest.mark.parametrize("written", ["", "m", "-1", "3x", "1m1h", "nan", "1e3"])
def test_what_is_no_duration(written: str) -> None:
    with pytest.raises(ArgumentTypeError, match="10m"):
        seconds_of(written)
    with pytest.raises(ArgumentTypeError):
        whole_seconds_of(written or "0.5s")


def test_spelled() -> None:
    shown = [spelled(s) for s in (-1, 7, 67, 3700, 180_000)]
    assert shown == ["0s", "7s", "1m07s", "1h01m", "2d02h"]
    assert [elapsed(s) for s in (0.31, 9.99, 67)] == ["0.3s", "10.0s", "1m07s"]


@pytest.mark.parametrize("written", ["", "%", "25 %", "-1", "1.5", "a"])
def test_what_is_no_size(written: str) -> None:
    with pytest.raises(ArgumentTypeError, match="25%"):
        capacity_size(written)


def members(*words: str) -> dict[str, Any]:
    from botocore.session import Session

    parser = argparse.ArgumentParser()
    add_strategy_options(parser)
    model = Session().get_service_model("sagemaker").operation_model("UpdateEndpoint")
    assert model.input_shape is not None
    return update_members(parser.parse_args(words), model.input_shape)


ONE = {"Type": "INSTANCE_COUNT", "Value": 1}
QUARTER = {"Type": "CAPACITY_PERCENT", "Value": 25}


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        (
            "--strategy all-at-once --termination-wait 1m",
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "ALL_AT_ONCE",
                        "WaitIntervalInSeconds": 0,
                    },
                    "TerminationWaitInSeconds": 60,
                }
            },
        ),
        (
            "--strategy canary --size 25% --bake 5m --execution-timeout 1h",
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "CANARY",
                        "WaitIntervalInSeconds": 300,
                        "CanarySize": QUARTER,
                    },
                    "MaximumExecutionTimeoutInSeconds": 3600,
                }
            },
        ),
        (
            "--strategy linear --size 1 --bake 60 --alarm a --alarm b",
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "LINEAR",
                        "WaitIntervalInSeconds": 60,
                        "LinearStepSize": ONE,
                    },
                },
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}, {"AlarmName": "b"}]},
            },
        ),
        (
            "--strategy rolling --size 25% --rollback-size 1",
            {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": QUARTER,
                    "WaitIntervalInSeconds": 0,
                    "RollbackMaximumBatchSize": ONE,
                }
            },
        ),
        (
            "--deployment-config AutoRollbackConfiguration={Alarms=[{AlarmName=a}]}",
            {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}},
        ),
    ],
)
def test_a_strategy_is_a_deployment_config(words: str, policy: dict[str, Any]) -> None:
    assert members(*words.split()) == {"DeploymentConfig": policy}


def test_what_is_retained() -> None:
    assert members() == {}
    words = "--retain-all-variant-properties --exclude-retained-variant-property DesiredWeight"
    assert members(*words.split(), "--retain-deployment-config") == {
        "RetainDeploymentConfig": True,
        "RetainAllVariantProperties": True,
        "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--strategy canary", "needs --size"),
        ("--strategy all-at-once --size 1", "has no --size"),
        ("--strategy all-at-once --bake 1", "--termination-wait"),
        ("--strategy canary --size 1 --rollback-size 1", "rolling"),
        ("--strategy rolling --size 1 --termination-wait 1", "no old fleet"),
        ("--size 1", "needs a --strategy"),
        ("--deployment-config {} --alarm a", "alone"),
    ],
)
def test_options_that_do_not_go_together(words: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        members(*words.split())
