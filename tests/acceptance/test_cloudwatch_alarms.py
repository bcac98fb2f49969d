"""CloudWatch's alarms with boto3: put, evaluated, acted on, described."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from inservice.controller.alarms.evaluating import AlarmEvaluator
from inservice.controller.alarms.webhooks import Webhooks
from inservice.controller.kit.posting import Poster
from inservice.controller.kit.receivers import Networks
from inservice.errors import ServiceUnavailable
from inservice.store.base import Store, Transaction
from inservice.store.feed import CALLER
from inservice.telemetry.happenings import Happenings
from tests.acceptance.cloudwatch_rig import Rig, cloudwatch
from tests.acceptance.receivers import Receivers, receivers


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with cloudwatch(tmp_path) as rig:
        yield rig


@pytest.fixture
def there() -> Iterator[Receivers]:
    with receivers() as there:
        yield there


def put_alarm(client: Any, name: str = "errors", **changes: Any) -> None:
    request = {
        "Namespace": "App",
        "MetricName": "Errors",
        "Dimensions": [{"Name": "Stage", "Value": "prod"}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        **changes,
    }
    client.put_metric_alarm(
        AlarmName=name, **{key: value for key, value in request.items() if value is not None}
    )


def put_errors(client: Any, at: float, value: float = 5.0) -> None:
    client.put_metric_data(
        Namespace="App",
        MetricData=[
            {
                "MetricName": "Errors",
                "Dimensions": [{"Name": "Stage", "Value": "prod"}],
                "Timestamp": datetime.fromtimestamp(at, UTC),
                "Value": value,
                "StorageResolution": 1,
            }
        ],
    )


def state(client: Any, name: str = "errors") -> str:
    [alarm] = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(alarm["StateValue"])


def minute() -> float:
    """The minute that comes. What is set by hand holds for three seconds of real time, which must
    be over when a test has gone on by a minute, also if it begins in the last second of one."""
    return (time.time() // 60 + 1) * 60


def test_an_alarm_follows_its_metric_and_tells_about_it(rig: Rig, there: Receivers) -> None:
    client, now = rig.client(), minute()
    put_alarm(client, AlarmActions=[there.url("200")], OKActions=["arn:aws:sns:x:1:t"])
    assert state(client) == "INSUFFICIENT_DATA"
    put_errors(client, now + 1)
    rig.deliver(now + 61.5)
    [alarm] = client.describe_alarms(AlarmNames=["errors"])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"
    assert alarm["StateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [5.0")
    assert json.loads(alarm["StateReasonData"])["recentDatapoints"] == [5.0]
    assert there.paths() == ["/200"]
    message = there.received[0].document()
    assert message["text"].startswith('ALARM: "errors" in us-east-1 (was INSUFFICIENT_DATA): Thres')
    assert json.loads(message["Message"])["NewStateValue"] == "ALARM"
    rig.deliver(now + 62)
    assert len(there.received) == 1, "a state is told once"

    put_errors(client, now + 61, value=0.0)
    rig.deliver(now + 122)
    assert state(client) == "OK"
    history = client.describe_alarm_history(AlarmName="errors")["AlarmHistoryItems"]
    assert {item["HistorySummary"] for item in history} == {
        'Alarm "errors" created',
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        f"Successfully executed action {there.url('200')}",
        "Alarm updated from ALARM to OK",
        "Failed to execute action arn:aws:sns:x:1:t",
    }


def test_a_receiver_that_fails_is_tried_again_and_then_given_up(
    rig: Rig, there: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inservice.controller.kit.posting.FIRST_PAUSE_SECONDS", 0.001)
    client, now = rig.client(), minute()
    put_alarm(client, AlarmActions=[there.url("503")])
    put_errors(client, now + 1)
    rig.deliver(now + 62)
    assert len(there.received) == 5
    items = client.describe_alarm_history(HistoryItemType="Action")["AlarmHistoryItems"]
    assert json.loads(items[0]["HistoryData"])["error"].startswith("the receiver answered 503")


def test_every_field_comes_back(rig: Rig, there: Receivers) -> None:
    client = rig.client()
    fields: dict[str, Any] = {
        "AlarmDescription": "too slow",
        "ActionsEnabled": False,
        "AlarmActions": [there.url("200")],
        "Statistic": None,
        "ExtendedStatistic": "p99",
        "Period": 300,
        "Unit": "Microseconds",
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "TreatMissingData": "notBreaching",
        "EvaluateLowSampleCountPercentile": "ignore",
        "EvaluationWindow": {"WallClockWindow": {"Timezone": "+05:30"}},
        "WarmUpConfiguration": {"WarmUpPeriodDurationInMinutes": 1},
    }
    put_alarm(client, **fields)
    [alarm] = client.describe_alarms()["MetricAlarms"]
    for name, value in fields.items():
        if value is not None:
            assert alarm[name] == value, name
    assert alarm["AlarmArn"] == "arn:aws:cloudwatch:us-east-1:000000000000:alarm:errors"
    client.get_waiter("alarm_exists").wait(AlarmNames=["errors"])


def test_an_update_keeps_the_state_and_overwrites_the_rest(rig: Rig) -> None:
    client, now = rig.client(), minute()
    put_alarm(client, AlarmDescription="first", Tags=[{"Key": "team", "Value": "a"}])
    put_errors(client, now + 1)
    rig.deliver(now + 62)
    put_alarm(client, Threshold=100.0, Tags=[{"Key": "team", "Value": "ignored"}])
    [alarm] = client.describe_alarms()["MetricAlarms"]
    assert (alarm["StateValue"], alarm["Threshold"]) == ("ALARM", 100.0)
    assert "AlarmDescription" not in alarm
    arn = alarm["AlarmArn"]
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "a"}]
    rig.deliver(now + 65.5)
    assert state(client) == "OK", "another configuration is evaluated before the next minute"


def test_set_alarm_state_lasts_until_the_next_evaluation(rig: Rig) -> None:
    client, now = rig.client(), minute()
    put_alarm(client)
    put_errors(client, now + 1, value=0.0)
    rig.deliver(now + 61.5)
    assert state(client) == "OK"
    client.set_alarm_state(
        AlarmName="errors", StateValue="ALARM", StateReason="a rehearsal", StateReasonData="{}"
    )
    assert rig.tripped(["errors", "gone"]) == {
        "errors": "is in ALARM: a rehearsal",
        "gone": "does not exist any more",
    }
    rig.deliver(now + 62)
    tripped = rig.tripped(["errors"])
    assert tripped == {"errors": "is in ALARM: a rehearsal"}
    rig.deliver(now + 130)
    assert state(client) == "OK"
    assert rig.tripped(["errors"]) == {}


def test_a_composite_that_was_set_stays_so_until_one_of_its_alarms_changes(rig: Rig) -> None:
    """SetAlarmState's page: "It returns to its actual state only once any of its children alarms
    change state. It is also reevaluated if you update its configuration." """
    client, now = rig.client(), minute()

    def composite() -> str:
        [alarm] = client.describe_alarms(AlarmNames=["both"], AlarmTypes=["CompositeAlarm"])[
            "CompositeAlarms"
        ]
        return str(alarm["StateValue"])

    put_alarm(client, "a")
    put_alarm(client, "b", MetricName="Other")
    client.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(a) AND ALARM(b)")
    rig.deliver(now + 2)
    assert composite() == "OK"
    rehearsal = {"AlarmName": "both", "StateValue": "ALARM", "StateReason": "a rehearsal"}
    client.set_alarm_state(**rehearsal)
    rig.deliver(time.time() + 1)
    put_alarm(client, "c")  # what makes the evaluator read everything again
    rig.deliver(time.time() + 100)
    assert composite() == "ALARM"
    assert rig.tripped(["both"]) == {"both": "is in ALARM: a rehearsal"}
    client.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="its child")
    rig.deliver(time.time() + 1)
    assert composite() == "OK"

    client.set_alarm_state(**rehearsal)
    client.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(b)")
    rig.deliver(time.time() + 1)
    assert composite() == "OK"


def test_a_metric_math_alarm_on_an_error_rate(rig: Rig) -> None:
    client, now = rig.client(), minute()
    queries = [
        {
            "Id": id_,
            "MetricStat": {
                "Metric": {
                    "Namespace": "App",
                    "MetricName": "Errors",
                    "Dimensions": [{"Name": "Stage", "Value": "prod"}],
                },
                "Period": 60,
                "Stat": stat,
            },
            "ReturnData": False,
        }
        for id_, stat in (("errors", "Sum"), ("all", "SampleCount"))
    ]
    client.put_metric_alarm(
        AlarmName="rate",
        Metrics=[*queries, {"Id": "rate", "Expression": "IF(all > 1, errors / all, 0)"}],
        EvaluationPeriods=1,
        Threshold=0.4,
        ComparisonOperator="GreaterThanThreshold",
    )
    put_errors(client, now + 1, value=1.0)
    put_errors(client, now + 2, value=0.0)
    rig.deliver(now + 62)
    assert state(client, "rate") == "ALARM"
    found = client.describe_alarms_for_metric(
        Namespace="App", MetricName="Errors", Dimensions=[{"Name": "Stage", "Value": "prod"}]
    )
    assert [alarm["AlarmName"] for alarm in found["MetricAlarms"]] == ["rate"]


def test_a_ten_second_alarm_sees_seconds(rig: Rig) -> None:
    client, now = rig.client(), time.time() // 10 * 10
    put_alarm(client, Period=10)
    put_errors(client, now + 3)
    rig.deliver(now + 10.5)
    assert state(client) == "INSUFFICIENT_DATA", "the last second may still be on its way"
    rig.deliver(now + 11.3)
    assert state(client) == "ALARM"


def test_composites(rig: Rig, there: Receivers) -> None:
    client, now = rig.client(), minute()
    put_alarm(client, "a")
    put_alarm(client, "b", MetricName="Other")
    client.put_composite_alarm(
        AlarmName="both",
        AlarmRule='ALARM(a) AND NOT OK("b")',
        AlarmActions=[there.url("200")],
        ActionsSuppressor="b",
        ActionsSuppressorWaitPeriod=0,
        ActionsSuppressorExtensionPeriod=0,
    )
    client.put_composite_alarm(AlarmName="above", AlarmRule="ALARM(both)")
    put_errors(client, now + 1)
    rig.deliver(now + 62)
    described = client.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert {alarm["AlarmName"]: alarm["StateValue"] for alarm in described} == {
        "both": "ALARM",
        "above": "ALARM",
    }
    assert "alarm:a transitioned to ALARM" in described[1]["StateReason"]
    assert len(there.received) == 1
    assert (
        json.loads(there.received[0].document()["Message"])["AlarmRule"]
        == 'ALARM(a) AND NOT OK("b")'
    )
    children = client.describe_alarms(ChildrenOfAlarmName="both")
    assert [alarm["AlarmName"] for alarm in children["MetricAlarms"]] == ["a", "b"]
    parents = client.describe_alarms(ParentsOfAlarmName="both")
    assert [alarm["AlarmName"] for alarm in parents["CompositeAlarms"]] == ["above"]

    with pytest.raises(ClientError, match="depending on it: both"):
        client.delete_alarms(AlarmNames=["a"])
    with pytest.raises(ClientError, match=r"alarms \[nowhere\] in the alarm rule do not exist"):
        client.put_composite_alarm(AlarmName="c", AlarmRule="OK(nowhere)")
    with pytest.raises(ClientError, match="There is a MetricAlarm of the name"):
        client.put_composite_alarm(AlarmName="a", AlarmRule="TRUE")


def test_a_circle_of_composites_stops_nothing_else(rig: Rig) -> None:
    client, now = rig.client(), minute()
    put_alarm(client)
    client.put_composite_alarm(AlarmName="one", AlarmRule="TRUE")
    client.put_composite_alarm(AlarmName="two", AlarmRule="NOT ALARM(one)")
    client.put_composite_alarm(AlarmName="one", AlarmRule="ALARM(two)")
    client.put_composite_alarm(AlarmName="sound", AlarmRule="ALARM(errors)")
    put_errors(client, now + 1)
    rig.deliver(now + 62)
    found = client.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert {alarm["AlarmName"]: alarm["StateValue"] for alarm in found} == {
        "one": "INSUFFICIENT_DATA",
        "sound": "ALARM",
        "two": "INSUFFICIENT_DATA",
    }


def test_suppressed_actions_wait_for_the_suppressor(rig: Rig, there: Receivers) -> None:
    client, now = rig.client(), minute()
    put_alarm(client, "a")
    put_alarm(client, "maintenance", MetricName="Other")
    client.put_composite_alarm(
        AlarmName="c",
        AlarmRule="ALARM(a)",
        AlarmActions=[there.url("200")],
        ActionsSuppressor="maintenance",
        ActionsSuppressorWaitPeriod=5,
        ActionsSuppressorExtensionPeriod=5,
    )
    client.set_alarm_state(AlarmName="maintenance", StateValue="ALARM", StateReason="works")
    put_errors(client, now + 1)
    rig.evaluator.turn(now + 1.5)
    rig.deliver(now + 61.5)
    assert there.received == []
    rig.deliver(now + 66)
    assert there.received == [], "the suppressor left ALARM at 61.5 s, its extension is 5 s"
    rig.deliver(now + 67)
    assert len(there.received) == 1


def test_a_suppressed_composite_says_by_what(rig: Rig, there: Receivers) -> None:
    client = rig.client()
    for name in ("a", "maintenance"):
        put_alarm(client, name)
        client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="rehearsal")
    client.put_composite_alarm(
        AlarmName="c",
        AlarmRule="ALARM(a)",
        AlarmActions=[there.url("200")],
        ActionsSuppressor="maintenance",
        ActionsSuppressorWaitPeriod=5,
        ActionsSuppressorExtensionPeriod=5,
    )
    rig.deliver(time.time())
    [alarm] = client.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert (alarm["StateValue"], alarm["ActionsSuppressedBy"]) == ("ALARM", "Alarm")
    assert "maintenance" in alarm["ActionsSuppressedReason"]
    assert there.received == []


class FullStore:
    """A store whose disk is full as long as `full` is true. Reads go on."""

    def __init__(self, store: Store) -> None:
        self.reading = store.reading
        self.feed = store.feed
        self.full = True
        self._store = store

    def transaction(self, by: str = CALLER) -> AbstractContextManager[Transaction]:
        if self.full:
            raise ServiceUnavailable("The store is full.")
        return self._store.transaction(by)


def test_a_state_that_could_not_be_written_is_written_later(rig: Rig) -> None:
    client, now = rig.client(), minute()
    put_alarm(client)
    put_errors(client, now + 1)
    store = FullStore(rig.store)
    evaluator = AlarmEvaluator(
        cast(Store, store),
        rig.metrics,
        rig.clock,
        Webhooks(Poster(rig.clock, Networks()), Happenings()),
    )
    with pytest.raises(ServiceUnavailable):
        evaluator.turn(now + 62)
    assert state(client) == "INSUFFICIENT_DATA"
    store.full = False
    evaluator.turn(now + 66)
    assert state(client) == "ALARM"


def test_actions_can_be_switched_off(rig: Rig, there: Receivers) -> None:
    client, now = rig.client(), minute()
    put_alarm(client, AlarmActions=[there.url("200")])
    client.disable_alarm_actions(AlarmNames=["errors"])
    put_errors(client, now + 1)
    rig.deliver(now + 62)
    assert (state(client), there.received) == ("ALARM", [])
    client.enable_alarm_actions(AlarmNames=["errors"])
    rig.deliver(now + 63)
    assert there.received == [], "what happened in silence is not told later"


def test_describing_is_filtered_and_paged(rig: Rig) -> None:
    client = rig.client()
    for n in range(7):
        put_alarm(client, f"a-{n}", AlarmActions=[f"arn:aws:sns:us-east-1:1:t{n % 2}"])
    put_alarm(client, "b")
    pages = client.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix="a-", PaginationConfig={"PageSize": 3}
    )
    names = [[alarm["AlarmName"] for alarm in page["MetricAlarms"]] for page in pages]
    assert names == [["a-0", "a-1", "a-2"], ["a-3", "a-4", "a-5"], ["a-6"]]
    odd = client.describe_alarms(ActionPrefix="arn:aws:sns:us-east-1:1:t1")["MetricAlarms"]
    assert [alarm["AlarmName"] for alarm in odd] == ["a-1", "a-3", "a-5"]
    assert client.describe_alarms(StateValue="OK")["MetricAlarms"] == []
    with pytest.raises(ClientError) as caught:
        client.describe_alarms(NextToken="nonsense")
    assert caught.value.response["Error"]["Code"] == "InvalidNextToken"


def test_tags(rig: Rig) -> None:
    client = rig.client()
    put_alarm(client)
    arn = client.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    client.tag_resource(ResourceARN=arn, Tags=[{"Key": k, "Value": k} for k in "cab"])
    client.untag_resource(ResourceARN=arn, TagKeys=["a"])
    tags = client.list_tags_for_resource(ResourceARN=arn)["Tags"]
    assert [tag["Key"] for tag in tags] == ["b", "c"]


def test_a_deleted_alarm_leaves_its_history(rig: Rig) -> None:
    client = rig.client()
    put_alarm(client)
    client.delete_alarms(AlarmNames=["errors"])
    assert client.describe_alarms()["MetricAlarms"] == []
    items = client.describe_alarm_history(AlarmName="errors")["AlarmHistoryItems"]
    assert items[0]["HistorySummary"] == 'Alarm "errors" deleted'
