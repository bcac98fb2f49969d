"""What alarms owe their receivers: everything, in order, and no receiver's fault is another's."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from inservice.cloudwatch.alarms.alarm import AlarmState, StateValue
from inservice.cloudwatch.alarms.record import OWED_MAX, AlarmRecord, Owed, put
from inservice.controller.alarms import evaluating as turns
from inservice.controller.alarms.actions import DROPPED
from inservice.controller.alarms.evaluating import AlarmEvaluator
from inservice.controller.kit import posting
from inservice.errors import ServiceUnavailable
from inservice.store.collections.alarms import ALARMS
from inservice.telemetry.base import AlarmKey
from tests.acceptance.cloudwatch_rig import ACCOUNT, REGION, Rig, cloudwatch
from tests.acceptance.receivers import Received, Receivers, receivers
from tests.waiting import wait_until


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with cloudwatch(tmp_path) as rig:
        yield rig


@pytest.fixture
def there() -> Iterator[Receivers]:
    with receivers() as there:
        yield there


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.02)


@contextlib.contextmanager
def evaluating(evaluator: AlarmEvaluator) -> Iterator[None]:
    """Control's loop around the evaluator, in a thread."""
    loop = uvloop.new_event_loop()
    task = loop.create_task(evaluator.run())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def put_alarm(rig: Rig, name: str = "a", **actions: list[str]) -> Any:
    """An alarm that nothing but SetAlarmState moves."""
    client = rig.client()
    client.put_metric_alarm(
        AlarmName=name,
        Namespace="None",
        MetricName="None",
        Statistic="Sum",
        Period=86_400,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
        **actions,
    )
    return client


def set_state(client: Any, value: str, name: str = "a") -> None:
    client.set_alarm_state(AlarmName=name, StateValue=value, StateReason="rehearsal")


def told(received: list[Received], path: str = "/200") -> list[str]:
    """The changes that a receiver heard of, oldest first."""
    return [one.document()["text"].partition(":")[0] for one in received if one.path == path]


def kept(rig: Rig, name: str = "a") -> AlarmRecord:
    with rig.store.reading() as reading:
        facts = reading.alarms.find(ACCOUNT, REGION, name)
    assert facts is not None
    return AlarmRecord.from_kept(facts)


def outcomes(client: Any) -> list[str]:
    items = client.describe_alarm_history(HistoryItemType="Action")["AlarmHistoryItems"]
    return [item["HistorySummary"] for item in reversed(items)]


@pytest.mark.parametrize("bad", ["hang", "trickle", "503", "close", "garbage"])
def test_a_flip_is_told_twice_whatever_another_receiver_does(
    rig: Rig, there: Receivers, bad: str
) -> None:
    """OK used to wait until every action of ALARM had ended: a minute, for a receiver that hung."""
    actions = [there.url(bad), there.url("200"), "arn:aws:sns:us-east-1:1:topic"]
    client = put_alarm(rig, AlarmActions=actions, OKActions=actions)
    with evaluating(rig.evaluator):
        set_state(client, "ALARM")
        wait_until(lambda: f"/{bad}" in there.paths() and "/200" in there.paths())
        set_state(client, "OK")
        wait_until(lambda: len(told(there.received)) == 2)
        set_state(client, "ALARM")
        wait_until(lambda: len(told(there.received)) == 3)
    assert told(there.received) == ["ALARM", "OK", "ALARM"]


def test_changes_faster_than_a_turn_are_all_told_in_order(rig: Rig, there: Receivers) -> None:
    url = [there.url("200")]
    client = put_alarm(rig, AlarmActions=url, OKActions=url, InsufficientDataActions=url)
    for value in ("ALARM", "OK", "OK", "INSUFFICIENT_DATA", "ALARM"):
        set_state(client, value)
    with evaluating(rig.evaluator):
        wait_until(lambda: len(there.received) == 4)
        wait_until(lambda: not kept(rig).owed)
    assert told(there.received) == ["ALARM", "OK", "INSUFFICIENT_DATA", "ALARM"]


def test_what_is_owed_survives_the_control_that_owed_it(tmp_path: Path, there: Receivers) -> None:
    actions = [there.url("200"), there.url("201")]
    with cloudwatch(tmp_path) as rig:
        client = put_alarm(rig, AlarmActions=actions, OKActions=actions)
        set_state(client, "ALARM")
        # One of the two is run; then everything in memory is gone, as after kill -9.
        first = rig.evaluator.turn(time.time())[0]
        asyncio.run(rig.evaluator.actions.run(first))
        set_state(client, "OK")
    assert there.paths() == ["/200"]
    with cloudwatch(tmp_path) as rig:
        with evaluating(rig.evaluator):
            wait_until(lambda: not kept(rig).owed)
        assert told(there.received, "/200") == ["ALARM", "OK"]
        assert told(there.received, "/201") == ["ALARM", "OK"]
        assert sorted(outcomes(rig.client())) == sorted(
            f"Successfully executed action {action}" for action in actions * 2
        )


def test_an_alarm_that_flaps_does_not_heap_up_messages(rig: Rig, there: Receivers) -> None:
    """What is dropped is in the history; what is told is still in order, the newest included."""
    url = [there.url("200")]
    client = put_alarm(rig, AlarmActions=url, OKActions=url)
    for number in range(OWED_MAX * 2):
        set_state(client, "OK" if number % 2 else "ALARM")
    with evaluating(rig.evaluator):
        wait_until(lambda: not kept(rig).owed)
    assert told(there.received) == ["ALARM", "OK"] * (OWED_MAX // 2)
    items = client.describe_alarm_history(HistoryItemType="Action")["AlarmHistoryItems"]
    assert sum(DROPPED in item["HistoryData"] for item in items) == OWED_MAX


def test_the_outcome_of_a_deleted_alarm_s_action_is_in_its_history(
    rig: Rig, there: Receivers
) -> None:
    client = put_alarm(rig, AlarmActions=[there.url("404")])
    set_state(client, "ALARM")
    [delivery] = rig.evaluator.turn(time.time())
    client.delete_alarms(AlarmNames=["a"])
    asyncio.run(rig.evaluator.actions.run(delivery))
    assert outcomes(client) == [f"Failed to execute action {there.url('404')}"]


def test_an_outcome_that_could_not_be_written_is_not_posted_again(
    rig: Rig, there: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inservice.controller.alarms.actions.RETRY_SECONDS", 0.01)
    client = put_alarm(rig, AlarmActions=[there.url("200")])
    set_state(client, "ALARM")
    [delivery] = rig.evaluator.turn(time.time())
    failures = iter(range(3))
    transaction = rig.store.transaction

    def full(by: str) -> Any:
        if next(failures, None) is not None:
            raise ServiceUnavailable("The store is full.")
        return transaction(by)

    monkeypatch.setattr(rig.store, "transaction", full)
    asyncio.run(rig.evaluator.actions.run(delivery))
    assert there.paths() == ["/200"]
    assert not kept(rig).owed
    assert rig.evaluator.turn(time.time()) == []


def test_a_caller_s_change_and_what_is_settled_meanwhile_are_both_kept(
    rig: Rig, there: Receivers
) -> None:
    client = put_alarm(rig, AlarmActions=[there.url("200")])
    set_state(client, "ALARM")
    [delivery] = rig.evaluator.turn(time.time())
    client.tag_resource(ResourceARN=kept(rig).arn, Tags=[{"Key": "changed", "Value": "meanwhile"}])
    asyncio.run(rig.evaluator.actions.run(delivery))
    assert (kept(rig).tags, kept(rig).owed) == ({"changed": "meanwhile"}, ())
    assert rig.evaluator.turn(time.time()) == []
    assert there.paths() == ["/200"]


def test_schemes_in_capitals_are_schemes(rig: Rig, there: Receivers) -> None:
    url = there.url("200").replace("http", "HTTP")
    client = put_alarm(rig, AlarmActions=[url])
    set_state(client, "ALARM")
    rig.deliver(time.time())
    assert outcomes(client) == [f"Successfully executed action {url}"]


def test_what_an_older_version_kept_is_owed() -> None:
    document = {"AlarmName": "a", "AlarmActions": ["http://x/"], "OKActions": []}
    new = put(None, account=ACCOUNT, region=REGION, document=document, tags={}, now=1.0)
    alarm = new.with_state(AlarmState(value=StateValue.ALARM, since=2.0))
    facts = {name: value for name, value in alarm.kept().items() if name != "owed"}
    untold = AlarmRecord.from_kept({**facts, "acted_on": "OK"})
    assert untold.owed == (Owed(StateValue.OK, alarm.state, ("http://x/",)),)
    assert AlarmRecord.from_kept({**facts, "acted_on": "ALARM"}).owed == ()
    assert AlarmRecord.from_kept(alarm.kept()) == alarm


def test_what_a_change_costs_does_not_grow_with_the_number_of_alarms(rig: Rig) -> None:
    """Every put or set had all alarms read again: 0.3 s each where there were five thousand."""
    for number in range(60):
        put_alarm(rig, f"alarm-{number}")
    told: list[object] = []
    rig.store.feed.subscribe(ALARMS, told.append)
    evaluator = AlarmEvaluator(
        rig.store,
        rig.metrics,
        rig.clock,
        rig.webhooks,
    )
    evaluator.turn(time.time())
    read, evaluated = evaluator.watched.read, list[AlarmKey]()
    told.clear()
    take_due = evaluator.watched.take_due
    evaluator.watched.take_due = lambda now: _noted(evaluated, take_due(now))  # type: ignore[method-assign]
    set_state(rig.client(), "ALARM", "alarm-7")
    put_alarm(rig, "new")
    evaluator.turn(time.time())
    assert evaluator.watched.read - read == 2
    assert [key.name for key in evaluated] == ["new"]
    changed = [{(ACCOUNT, REGION, name)} for name in ("alarm-7", "new")]
    assert told == changed, "and what has not changed concerns nobody"
    evaluator.turn(time.time())
    assert evaluator.watched.read - read == 2


def _noted(found: list[AlarmKey], due: Any) -> Any:
    found += [key for key, _ in due]
    return due


def test_describing_reads_the_page_and_not_the_table(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        put_alarm(rig, f"alarm-{number:03}", AlarmActions=[f"arn:aws:sns:r:1:t{number % 2}"])
    rows: list[Any] = []
    decode = AlarmRecord.from_kept

    def noted(facts: Any) -> AlarmRecord:
        rows.append(facts)
        return decode(facts)

    monkeypatch.setattr(AlarmRecord, "from_kept", noted)
    client = rig.client()

    def read(count: int, **asked: Any) -> int:
        rows.clear()
        found = client.describe_alarms(**asked)["MetricAlarms"]
        assert len(found) == count
        return len(rows)

    assert read(50) == 51
    assert read(1, AlarmNames=["alarm-007", "nowhere"]) == 1
    assert read(10, AlarmNamePrefix="alarm-01") == 10
    assert read(0, StateValue="ALARM") == 0
    assert read(5, ActionPrefix="arn:aws:sns:r:1:t1", MaxRecords=5) == 6
    assert read(0, AlarmTypes=["CompositeAlarm"]) == 0
    rows.clear()
    set_state(client, "OK", "alarm-003")
    put_alarm(rig, "alarm-003")
    put_alarm(rig, "alarm-new")
    client.delete_alarms(AlarmNames=["alarm-new"])
    assert len(rows) == 3  # each of the four reads what it changes, if it is there


def test_a_composite_far_up_follows_and_others_are_not_looked_at(rig: Rig) -> None:
    client = put_alarm(rig, "leaf")
    put_alarm(rig, "other")
    rules = {"c1": "ALARM(leaf)", "c2": "ALARM(c1)", "c3": "NOT ALARM(c2)", "apart": "OK(other)"}
    for name, rule in rules.items():
        client.put_composite_alarm(AlarmName=name, AlarmRule=rule)
    rig.evaluator.turn(time.time())
    looked_at = []
    evaluate = rig.evaluator._evaluate_composite

    def noted(key: AlarmKey, now: float) -> Any:
        looked_at.append(key.name)
        return evaluate(key, now)

    rig.evaluator._evaluate_composite = noted  # type: ignore[method-assign]
    set_state(client, "ALARM", "leaf")
    rig.evaluator.turn(time.time())
    assert looked_at == ["c1", "c2", "c3"]
    assert [kept(rig, name).state.value for name in rules] == ["ALARM", "ALARM", "OK", "OK"]
