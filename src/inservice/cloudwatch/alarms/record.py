"""An alarm as it is kept, and as it is described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from inservice.cloudwatch.alarms.alarm import AlarmState, CompositeAlarm, MetricAlarm, StateValue
from inservice.cloudwatch.alarms.configuration import composite_alarm, metric_alarm
from inservice.partitions import partition_of
from inservice.values import Instant

ALARMS_MAX = 5_000
"""Of an account in a region: AWS's quota as long as nobody asks for more."""

_WHEN_GIVEN = (
    "AlarmDescription",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Period",
    "Unit",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
    "ThresholdMetricId",
    "EvaluationWindow",
    "WarmUpConfiguration",
    "AlarmRule",
    "ActionsSuppressor",
    "ActionsSuppressorWaitPeriod",
    "ActionsSuppressorExtensionPeriod",
)

ACTIONS: Mapping[StateValue, str] = {
    StateValue.OK: "OKActions",
    StateValue.ALARM: "AlarmActions",
    StateValue.INSUFFICIENT_DATA: "InsufficientDataActions",
}


OWED_MAX = 20
"""Changes of state whose actions wait. An alarm that flaps faster than its receiver answers would
heap them up for ever; what is dropped is in its history."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A change of state of which actions are still to be run. It is kept with the state that it led
    to, so that no crash and no faster change after it makes anybody miss it."""

    before: StateValue
    after: AlarmState
    actions: tuple[str, ...]  # those not run yet

    def without(self, action: str) -> Owed:
        """The same after one of them was run."""
        return replace(self, actions=tuple(one for one in self.actions if one != action))


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """One alarm: what was asked for, and where it stands."""

    account: str
    region: str
    document: Mapping[str, Any]  # the request, without its tags
    created_at: Instant
    configured_at: Instant
    state: AlarmState
    owed: tuple[Owed, ...]  # oldest first
    tags: Mapping[str, str]
    revision: int  # one more for each change: a save names the one it was decided from

    @property
    def name(self) -> str:
        """Unique in its account and region, composites included."""
        name: str = self.document["AlarmName"]
        return name

    @property
    def arn(self) -> str:
        """Its Amazon Resource Name."""
        return alarm_arn(self.account, self.region, self.name)

    @property
    def type(self) -> str:
        """MetricAlarm or CompositeAlarm, as DescribeAlarms and its history call it."""
        return "CompositeAlarm" if "AlarmRule" in self.document else "MetricAlarm"

    @property
    def actions_enabled(self) -> bool:
        """Whether a change of state runs actions."""
        return bool(self.document.get("ActionsEnabled", True))

    def actions(self) -> tuple[str, ...]:
        """What is to be run for the state it is in."""
        return tuple(self.document.get(ACTIONS[self.state.value], ()))

    def metric_alarm(self) -> MetricAlarm:
        """What is computed with, of a metric alarm. It was checked when it was put."""
        return metric_alarm(
            self.document,
            created_at=self.created_at,
            state=self.state,
            readable_statistic=_accept,
            readable_queries=_accept,
        )

    def composite_alarm(self) -> CompositeAlarm:
        """What is computed with, of a composite alarm."""
        return composite_alarm(self.document, state=self.state)

    def with_state(self, state: AlarmState) -> AlarmRecord:
        """The same alarm in another state, and what it owes for the change."""
        owed, actions = self.owed, self.document.get(ACTIONS[state.value], ())
        if state.value is not self.state.value and self.actions_enabled and actions:
            change = Owed(self.state.value, state, tuple(dict.fromkeys(actions)))
            owed = (*self.owed, change)
        return replace(self, state=state, owed=owed, revision=self.revision + 1)

    def with_owed(self, owed: Iterable[Owed]) -> AlarmRecord:
        """The same alarm, owing this: changes of which every action was run are done with."""
        left = tuple(change for change in owed if change.actions)
        return replace(self, owed=left, revision=self.revision + 1)

    def kept(self) -> dict[str, Any]:
        """As it is stored."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        owed = [asdict(change) for change in self.owed]
        return {**facts, "state": asdict(self.state), "owed": owed}

    @classmethod
    def from_kept(cls, facts: Mapping[str, Any]) -> AlarmRecord:
        """What `kept` gave."""
        known = {name: value for name, value in facts.items() if name != "acted_on"}
        record = cls(**{**known, "state": _state_from(facts["state"]), "owed": ()})
        if "owed" in facts:
            return replace(record, owed=tuple(_owed_from(change) for change in facts["owed"]))
        # Written by a version that kept one word: the state whose actions were last run.
        acted_on = StateValue(facts["acted_on"])
        actions = record.actions() if record.actions_enabled else ()
        if acted_on is record.state.value or not actions:
            return record
        return replace(record, owed=(Owed(acted_on, record.state, actions),))


def trips(kept: Mapping[str, Any] | None) -> str | None:
    """How an alarm trips the deployments that watch it, from what is stored of it; None if it does
    not. One that does not exist any more (`kept` is None) does."""
    if kept is None:
        return "does not exist any more"
    state = _state_from(kept["state"])
    if state.value is not StateValue.ALARM:
        return None
    return f"is in ALARM: {state.reason}" if state.reason else "is in ALARM"


def _state_from(facts: Mapping[str, Any]) -> AlarmState:
    return AlarmState(**{**facts, "value": StateValue(facts["value"])})


def _owed_from(facts: Mapping[str, Any]) -> Owed:
    after = _state_from(facts["after"])
    return Owed(StateValue(facts["before"]), after, tuple(facts["actions"]))


def alarm_arn(account: str, region: str, name: str) -> str:
    """arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}."""
    return f"arn:{partition_of(region)}:cloudwatch:{region}:{account}:alarm:{name}"


def put(
    before: AlarmRecord | None,
    *,
    account: str,
    region: str,
    document: Mapping[str, Any],
    tags: Mapping[str, str],
    now: Instant,
) -> AlarmRecord:
    """The alarm after a put: a new one, or another configuration of the one that was.

    An update overwrites the whole configuration and keeps the state, which is evaluated again even
    if it was set by hand; tags given with an update are ignored. All are AWS's rules.
    """
    if before is None:
        return AlarmRecord(
            account=account,
            region=region,
            document=document,
            created_at=now,
            configured_at=now,
            state=AlarmState(since=now),
            owed=(),
            tags=tags,
            revision=1,
        )
    return replace(
        before,
        document=document,
        configured_at=now,
        state=replace(before.state, was_set=False),
        revision=before.revision + 1,
    )


def described(record: AlarmRecord) -> dict[str, Any]:
    """The alarm as DescribeAlarms shows it."""
    state, document = record.state, record.document
    shown: dict[str, Any] = {
        "AlarmName": record.name,
        "AlarmArn": record.arn,
        "AlarmConfigurationUpdatedTimestamp": record.configured_at,
        "ActionsEnabled": record.actions_enabled,
        **{member: list(document.get(member, ())) for member in ACTIONS.values()},
        "StateValue": state.value.value,
        "StateReason": state.reason,
        "StateUpdatedTimestamp": state.since,
        "StateTransitionedTimestamp": state.since,
        **{member: document[member] for member in _WHEN_GIVEN if member in document},
    }
    if state.reason_data:
        shown["StateReasonData"] = state.reason_data
    if record.type == "MetricAlarm" and "Metrics" not in document:
        shown["Dimensions"] = list(document.get("Dimensions", ()))
    return shown


def _accept(_: Any) -> None:
    """Everything was read once already."""
