"""CloudWatch's alarms: put, delete, set, silence, tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inservice.cloudwatch.alarms.alarm import StateValue
from inservice.cloudwatch.alarms.composite import alarm_name as name_in
from inservice.cloudwatch.alarms.composite import parse
from inservice.cloudwatch.alarms.configuration import composite_alarm, metric_alarm
from inservice.cloudwatch.alarms.errors import (
    AlarmLimitExceeded,
    AlarmNotFound,
    AlarmRefused,
    BadReasonData,
    BadValue,
    TaggedNotFound,
)
from inservice.cloudwatch.alarms.history import configured, moved
from inservice.cloudwatch.alarms.reasons import entered
from inservice.cloudwatch.alarms.record import ALARMS_MAX, AlarmRecord, alarm_arn, put
from inservice.cloudwatch.metrics.query import (
    check_alarm_datapoints,
    check_alarm_queries,
    check_alarm_statistic,
)
from inservice.operations.cloudwatch import strict_json, touches
from inservice.operations.cloudwatch.alarm_selection import COMPOSITES, find, select_alarms
from inservice.operations.registry import Call, Document, given, operation
from inservice.store.base import Reading, Transaction
from inservice.store.collections.alarms import AlarmQuery
from inservice.telemetry.base import AlarmKey

if TYPE_CHECKING:
    from types_boto3_cloudwatch.literals import (
        ComparisonOperatorType,
        StandardUnitType,
        StateValueType,
        StatisticType,
    )
    from types_boto3_cloudwatch.type_defs import (
        DimensionTypeDef,
        EvaluationWindowTypeDef,
        MetricDataQueryUnionTypeDef,
        TagTypeDef,
        WarmUpConfigurationTypeDef,
    )

TAGS_MAX = 50


@operation("cloudwatch", "PutMetricAlarm", on=(touches.new_alarm,))
def put_metric_alarm(
    call: Call,
    *,
    alarm_name: str,
    alarm_description: str | None = None,
    actions_enabled: bool = True,
    ok_actions: Sequence[str] = (),
    alarm_actions: Sequence[str] = (),
    insufficient_data_actions: Sequence[str] = (),
    metric_name: str | None = None,
    namespace: str | None = None,
    statistic: StatisticType | None = None,
    extended_statistic: str | None = None,
    dimensions: Sequence[DimensionTypeDef] | None = None,
    period: int | None = None,
    unit: StandardUnitType | None = None,
    evaluation_periods: int | None = None,
    datapoints_to_alarm: int | None = None,
    threshold: float | None = None,
    comparison_operator: ComparisonOperatorType | None = None,
    treat_missing_data: str | None = None,
    evaluate_low_sample_count_percentile: str | None = None,
    metrics: Sequence[MetricDataQueryUnionTypeDef] | None = None,
    tags: Sequence[TagTypeDef] = (),
    threshold_metric_id: str | None = None,
    evaluation_window: EvaluationWindowTypeDef | None = None,
    warm_up_configuration: WarmUpConfigurationTypeDef | None = None,
    evaluation_criteria: Document | None = None,
    evaluation_interval: int | None = None,
    action_configuration: Document | None = None,
) -> None:
    """Create an alarm on a metric or on metric math, or give an alarm another configuration."""
    asked = given(
        AlarmName=alarm_name,
        AlarmDescription=alarm_description,
        ActionsEnabled=actions_enabled,
        OKActions=ok_actions,
        AlarmActions=alarm_actions,
        InsufficientDataActions=insufficient_data_actions,
        MetricName=metric_name,
        Namespace=namespace,
        Statistic=statistic,
        ExtendedStatistic=extended_statistic,
        Dimensions=dimensions,
        Period=period,
        Unit=unit,
        EvaluationPeriods=evaluation_periods,
        DatapointsToAlarm=datapoints_to_alarm,
        Threshold=threshold,
        ComparisonOperator=comparison_operator,
        TreatMissingData=treat_missing_data,
        EvaluateLowSampleCountPercentile=evaluate_low_sample_count_percentile,
        Metrics=metrics,
        ThresholdMetricId=threshold_metric_id,
        EvaluationWindow=evaluation_window,
        WarmUpConfiguration=warm_up_configuration,
        EvaluationCriteria=evaluation_criteria,
        EvaluationInterval=evaluation_interval,
        ActionConfiguration=action_configuration,
    )
    _put(call, asked, tags)


@operation("cloudwatch", "PutCompositeAlarm", on=(touches.new_alarm,))
def put_composite_alarm(
    call: Call,
    *,
    alarm_name: str,
    alarm_rule: str,
    alarm_description: str | None = None,
    actions_enabled: bool = True,
    ok_actions: Sequence[str] = (),
    alarm_actions: Sequence[str] = (),
    insufficient_data_actions: Sequence[str] = (),
    tags: Sequence[TagTypeDef] = (),
    actions_suppressor: str | None = None,
    actions_suppressor_wait_period: int | None = None,
    actions_suppressor_extension_period: int | None = None,
    action_configuration: Document | None = None,
) -> None:
    """Create an alarm on the states of other alarms, or give it another rule."""
    asked = given(
        AlarmName=alarm_name,
        AlarmRule=alarm_rule,
        AlarmDescription=alarm_description,
        ActionsEnabled=actions_enabled,
        OKActions=ok_actions,
        AlarmActions=alarm_actions,
        InsufficientDataActions=insufficient_data_actions,
        ActionsSuppressor=actions_suppressor,
        ActionsSuppressorWaitPeriod=actions_suppressor_wait_period,
        ActionsSuppressorExtensionPeriod=actions_suppressor_extension_period,
        ActionConfiguration=action_configuration,
    )
    _put(call, asked, tags)


def _put(call: Call, document: Document, tags: Sequence[TagTypeDef]) -> None:
    with call.store.transaction() as tx:
        before = find(tx, call, document["AlarmName"])
        if before is None and tx.alarms.count(call.account, call.region) >= ALARMS_MAX:
            raise AlarmLimitExceeded(f"An account may have {ALARMS_MAX} alarms in a region.")
        after = put(
            before,
            account=call.account,
            region=call.region,
            document=document,
            tags=_checked_tags({tag["Key"]: tag["Value"] for tag in tags}),
            now=call.now,
        )
        if before is not None and before.type != after.type:
            raise AlarmRefused(f"There is a {before.type} of the name {after.name} already")
        _check(tx, call, after)
        what = "created" if before is None else "updated"
        _remember(call, tx, after, configured(what, after.name, document, call.now))


def _check(tx: Reading, call: Call, record: AlarmRecord) -> None:
    """Raises AlarmRefused unless the alarm can be computed with."""
    if record.type == "MetricAlarm":
        alarm = metric_alarm(
            record.document,
            created_at=record.created_at,
            state=record.state,
            readable_statistic=check_alarm_statistic,
            readable_queries=check_alarm_queries,
        )
        check_alarm_datapoints(record.document, alarm)
        return
    composite = composite_alarm(record.document, state=record.state)
    suppressor = [composite.suppressor] if composite.suppressor else []
    named = [*parse(composite.rule).alarms, *suppressor]
    known = tx.alarms.states(call.account, call.region, named)
    if unknown := [name for name in named if name not in known]:
        raise AlarmRefused(
            f"Could not save the composite alarm as alarms [{', '.join(unknown)}] "
            "in the alarm rule do not exist"
        )


@operation("cloudwatch", "DeleteAlarms", on=(touches.alarms,))
def delete_alarms(call: Call, *, alarm_names: Sequence[str]) -> None:
    """Delete alarms, all of them that there are or, if one cannot be, none. A name that no alarm
    has is deleted already: on AWS too, whatever its model says of ResourceNotFound."""
    with call.store.transaction() as tx:
        found = [find(tx, call, name) for name in dict.fromkeys(alarm_names)]
        records = [record for record in found if record is not None]
        if sum(record.type == "CompositeAlarm" for record in records) > 1:
            raise AlarmRefused("At most one composite alarm can be deleted at once")
        going = {record.name for record in records}
        for name, other in _composites(tx, call).items():
            held = going & _children(other)
            if held and name not in going:
                raise AlarmRefused(
                    f"Cannot delete {min(held)} as there are composite alarm(s) "
                    f"depending on it: {name}"
                )
        for record in records:
            call.live.metrics.history.add(
                AlarmKey(call.account, call.region, record.name),
                record.type,
                configured("deleted", record.name, record.document, call.now),
            )
            tx.alarms.delete(call.account, call.region, record.name)


@operation("cloudwatch", "SetAlarmState", on=(touches.alarm,))
def set_alarm_state(
    call: Call,
    *,
    alarm_name: str,
    state_value: StateValueType,
    state_reason: str,
    state_reason_data: str | None = None,
) -> None:
    """Put an alarm in a state until its next evaluation: the way to try out a rollback. That of a
    composite comes when one of its alarms changes its state, or its rule is put again."""
    if state_reason_data:
        try:
            strict_json.read(state_reason_data)
        except ValueError as error:
            raise BadReasonData(f"StateReasonData was not properly formatted: {error}") from error
    with call.store.transaction() as tx:
        before = _found(tx, call, alarm_name)
        value = StateValue(state_value)
        state = entered(before.state, value, state_reason, state_reason_data or "", call.now)
        after = before.with_state(replace(state, was_set=True))
        items = [moved(before.state, state)] if value is not before.state.value else []
        _remember(call, tx, after, *items)


@operation("cloudwatch", "EnableAlarmActions", on=(touches.alarms,))
def enable_alarm_actions(call: Call, *, alarm_names: Sequence[str]) -> None:
    """Have changes of state run actions."""
    _switch_actions(call, alarm_names, on=True)


@operation("cloudwatch", "DisableAlarmActions", on=(touches.alarms,))
def disable_alarm_actions(call: Call, *, alarm_names: Sequence[str]) -> None:
    """Have changes of state run no actions."""
    _switch_actions(call, alarm_names, on=False)


def _switch_actions(call: Call, names: Sequence[str], *, on: bool) -> None:
    """AWS's models of both operations have no errors: a name that no alarm has is passed over."""
    with call.store.transaction() as tx:
        for name in dict.fromkeys(names):
            before = find(tx, call, name)
            if before is not None and before.actions_enabled is not on:
                document = {**before.document, "ActionsEnabled": on}
                after = replace(before, document=document, revision=before.revision + 1)
                item = configured("updated", name, document, call.now)
                _remember(call, tx, after, item)


@operation("cloudwatch", "TagResource", on=(touches.resource,))
def tag_resource(call: Call, *, resource_arn: str, tags: Sequence[TagTypeDef]) -> None:
    """Add tags to an alarm, or change the values of those it has."""
    with call.store.transaction() as tx:
        record = _by_arn(tx, call, resource_arn)
        given = {tag["Key"]: tag["Value"] for tag in tags}
        _save(tx, _tagged(record, _checked_tags({**record.tags, **given})))


@operation("cloudwatch", "UntagResource", on=(touches.resource,))
def untag_resource(call: Call, *, resource_arn: str, tag_keys: Sequence[str]) -> None:
    """Take tags from an alarm."""
    with call.store.transaction() as tx:
        record = _by_arn(tx, call, resource_arn)
        kept = {key: value for key, value in record.tags.items() if key not in tag_keys}
        _save(tx, _tagged(record, kept))


@operation("cloudwatch", "ListTagsForResource", on=(touches.resource,))
def list_tags_for_resource(call: Call, *, resource_arn: str) -> Document:
    """The tags of an alarm."""
    with call.store.reading() as records:
        record = _by_arn(records, call, resource_arn)
    return {"Tags": [{"Key": key, "Value": record.tags[key]} for key in sorted(record.tags)]}


def _tagged(record: AlarmRecord, tags: Mapping[str, str]) -> AlarmRecord:
    return replace(record, tags=tags, revision=record.revision + 1)


def _checked_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    if len(tags) > TAGS_MAX:
        raise BadValue(f"An alarm may have {TAGS_MAX} tags.")
    if reserved := [key for key in tags if key.lower().startswith("aws:")]:
        raise BadValue(f"The tag key {reserved[0]} is reserved: aws: belongs to AWS.")
    return tags


# ── records ─────────────────────────────────────────────────────────────────────────────────────


def _found(records: Reading, call: Call, name: str) -> AlarmRecord:
    record = find(records, call, name)
    if record is None:
        raise AlarmNotFound(f"There is no alarm {name}.")
    return record


def _composites(records: Reading, call: Call) -> dict[str, AlarmRecord]:
    query = AlarmQuery(call.account, call.region, mentioning=COMPOSITES)
    return {record.name: record for record in select_alarms(records, query)}


def _children(record: AlarmRecord) -> set[str]:
    if record.type == "MetricAlarm":
        return set()
    alarm = record.composite_alarm()
    return {*parse(alarm.rule).alarms, *([alarm.suppressor] if alarm.suppressor else [])}


def _by_arn(records: Reading, call: Call, arn: str) -> AlarmRecord:
    record = find(records, call, name_in(arn))
    if record is None or arn != alarm_arn(call.account, call.region, record.name):
        raise TaggedNotFound(f"There is no alarm {arn}.")
    return record


def _remember(call: Call, tx: Transaction, record: AlarmRecord, *items: Any) -> None:
    """History first: a crash in between tells twice of a change, and hides none."""
    key = AlarmKey(call.account, call.region, record.name)
    call.live.metrics.history.add(key, record.type, *items)
    _save(tx, record)


def _save(tx: Transaction, record: AlarmRecord) -> None:
    tx.alarms.save(
        record.account,
        record.region,
        record.name,
        state=record.state.value,
        document=record.kept(),
    )
