"""What is told about an alarm: its history, and the message an action sends.

DescribeAlarmHistory knows three kinds of items: a change of configuration, a change of state, an
action. `HistoryData` is JSON of the shape that the AWS console reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from inservice.cloudwatch.alarms.alarm import AlarmState, StateValue
from inservice.cloudwatch.alarms.reasons import timestamp
from inservice.values import Instant

HISTORY_SECONDS = 30 * 86_400
"""How long items are kept. AWS: thirty days."""

DATA_CHARACTERS_MAX = 4_095
SUMMARY_CHARACTERS_MAX = 255
TEXT_CHARACTERS_MAX = 3_000
"""Of a message for people: Slack cuts at 4,000."""


ALARM_TYPES = ("MetricAlarm", "CompositeAlarm")
HISTORY_TYPES = ("ConfigurationUpdate", "StateUpdate", "Action")


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One thing that happened to an alarm."""

    at: Instant
    type: str  # one of HISTORY_TYPES
    summary: str
    data: str  # JSON


def configured(what: str, name: str, document: Mapping[str, Any], at: Instant) -> HistoryItem:
    """The alarm was created, updated or deleted: `what` says which."""
    facts = {"version": "1.0", "type": what.capitalize(), f"{what}Alarm": dict(document)}
    return _item(at, "ConfigurationUpdate", f'Alarm "{name}" {what}', facts)


def moved(before: AlarmState, after: AlarmState) -> HistoryItem:
    """The alarm changed its state."""
    facts = {"version": "1.0", "oldState": _state(before), "newState": _state(after)}
    summary = f"Alarm updated from {before.value} to {after.value}"
    return _item(after.since, "StateUpdate", summary, facts)


def acted(action: str, state: AlarmState, at: Instant, error: str = "") -> HistoryItem:
    """An action was executed, or could not be: then `error` says why."""
    facts: dict[str, Any] = {
        "actionState": "Failed" if error else "Succeeded",
        "stateUpdateTimestamp": round(state.since * 1000),
        "notificationResource": action,
    }
    if error:
        facts["error"] = error
    outcome = "Failed to execute action" if error else "Successfully executed action"
    return _item(at, "Action", f"{outcome} {action}", facts)


def _item(at: Instant, kind: str, summary: str, facts: Mapping[str, Any]) -> HistoryItem:
    data = json.dumps(facts, separators=(",", ":"), default=str)
    if len(data) > DATA_CHARACTERS_MAX:
        data = json.dumps({"version": "1.0", "truncated": data[: DATA_CHARACTERS_MAX // 2]})
    return HistoryItem(at, kind, summary[:SUMMARY_CHARACTERS_MAX], data[:DATA_CHARACTERS_MAX])


def _state(state: AlarmState) -> dict[str, Any]:
    shown: dict[str, Any] = {"stateValue": state.value, "stateReason": state.reason}
    if state.reason_data:
        shown["stateReasonData"] = json.loads(state.reason_data)
    return shown


def notification(
    *,
    arn: str,
    account: str,
    region: str,
    document: Mapping[str, Any],
    before: StateValue,
    after: AlarmState,
    configured_at: Instant,
    at: Instant,
    message_id: str,
    action: str,
) -> dict[str, Any]:
    """What an HTTP subscriber of an SNS topic would receive about this change of state.

    `Message` is a JSON text inside the JSON, as SNS sends it. There is no signature: the receiver
    knows us by the address it gave, and should use https.
    """
    name = document["AlarmName"]
    message = {
        "AlarmName": name,
        "AlarmDescription": document.get("AlarmDescription"),
        "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": timestamp(configured_at),
        "NewStateValue": after.value,
        "NewStateReason": after.reason,
        "StateChangeTime": timestamp(after.since),
        "Region": region,
        "AlarmArn": arn,
        "OldStateValue": before,
        "OKActions": document.get("OKActions", []),
        "AlarmActions": document.get("AlarmActions", []),
        "InsufficientDataActions": document.get("InsufficientDataActions", []),
    }
    if "AlarmRule" in document:
        message["AlarmRule"] = document["AlarmRule"]
    else:
        message["Trigger"] = _trigger(document)
    reason = f": {after.reason}" if after.reason else ""
    return {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": action,
        "Subject": f'{after.value}: "{name}" in {region}'[:100],
        "Message": json.dumps(message),
        "Timestamp": _iso(at),
        # Not SNS's: what Slack and its like show, and refuse a body without.
        "text": f'{after.value}: "{name}" in {region} (was {before}){reason}'[:TEXT_CHARACTERS_MAX],
    }


_TRIGGER = (
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Unit",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "ComparisonOperator",
    "Threshold",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
)


def _trigger(document: Mapping[str, Any]) -> dict[str, Any]:
    trigger = {key: document[key] for key in _TRIGGER if key in document}
    for kind in ("Statistic", "ExtendedStatistic"):
        if kind in trigger:
            trigger["StatisticType"] = kind
    if "Statistic" in trigger:
        trigger["Statistic"] = trigger["Statistic"].upper()  # AVERAGE, as messages of AWS have it
    trigger["Dimensions"] = [
        {"name": one["Name"], "value": one["Value"]} for one in document.get("Dimensions", [])
    ]
    return trigger


def _iso(at: Instant) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
