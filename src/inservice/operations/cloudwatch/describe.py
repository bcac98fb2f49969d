"""CloudWatch's alarms: what there is, in which state, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inservice.cloudwatch.alarms.composite import alarm_name as name_in
from inservice.cloudwatch.alarms.composite import parse, suppressed_by
from inservice.cloudwatch.alarms.errors import AlarmRefused
from inservice.cloudwatch.alarms.record import AlarmRecord, described
from inservice.cloudwatch.metrics.query import metric_of
from inservice.errors import NotImplementedYet
from inservice.operations.cloudwatch import touches
from inservice.operations.cloudwatch.alarm_selection import COMPOSITES, find, select_alarms, spelled
from inservice.operations.cloudwatch.pages import next_token as token_for
from inservice.operations.cloudwatch.pages import position_of
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.store.base import Reading
from inservice.store.collections.alarms import AlarmQuery
from inservice.telemetry.base import HistoryQuery

if TYPE_CHECKING:
    from types_boto3_cloudwatch.literals import (
        AlarmTypeType,
        HistoryItemTypeType,
        ScanByType,
        StandardUnitType,
        StateValueType,
        StatisticType,
    )
    from types_boto3_cloudwatch.type_defs import DimensionTypeDef

PAGE_SIZE = 50
"""Alarms of a page unless MaxRecords says otherwise: AWS's default."""

HISTORY_PAGE_SIZE = 100


@operation("cloudwatch", "DescribeAlarms", on=(touches.alarms,))
def describe_alarms(
    call: Call,
    *,
    alarm_names: Sequence[str] | None = None,
    alarm_name_prefix: str | None = None,
    alarm_types: Sequence[AlarmTypeType] = ("MetricAlarm",),
    children_of_alarm_name: str | None = None,
    parents_of_alarm_name: str | None = None,
    state_value: StateValueType | None = None,
    action_prefix: str | None = None,
    max_records: int = PAGE_SIZE,
    next_token: str | None = None,
) -> Document:
    """Alarms by name, prefix, kind or state; metric alarms alone unless AlarmTypes says more."""
    filters = (alarm_names, alarm_name_prefix, state_value, action_prefix)
    if alarm_names is not None and alarm_name_prefix is not None:
        raise AlarmRefused("AlarmNames and AlarmNamePrefix cannot be given together")
    relatives = (children_of_alarm_name, parents_of_alarm_name)
    asked = ("DescribeAlarms", *filters, tuple(alarm_types), *relatives)
    after = position_of(next_token, call, asked)
    if any(relatives):
        if any(filters) or all(relatives):
            raise AlarmRefused("ChildrenOfAlarmName and ParentsOfAlarmName stand alone")
        with call.store.reading() as records:
            return _relatives(records, call, children_of_alarm_name, parents_of_alarm_name)
    mentioning = COMPOSITES if list(alarm_types) == ["CompositeAlarm"] else None
    query = AlarmQuery(
        call.account,
        call.region,
        limit=max_records + 1,
        names=None if alarm_names is None else tuple(alarm_names),
        prefix=alarm_name_prefix or "",
        after=after,
        state=state_value,
        mentioning=mentioning if action_prefix is None else spelled(action_prefix),
    )
    with call.store.reading() as records:
        found = select_alarms(
            records,
            query,
            lambda record: (
                record.type in alarm_types
                and (action_prefix is None or _has_action(record, action_prefix))
            ),
        )
        page = found[:max_records]
        answer: dict[str, Any] = {
            f"{kind}s": [_shown(record, records, call) for record in page if record.type == kind]
            for kind in ("MetricAlarm", "CompositeAlarm")
        }
    if len(found) > max_records:
        answer["NextToken"] = token_for(call, asked, page[-1].name)
    return answer


@operation("cloudwatch", "DescribeAlarmsForMetric", on=(anything,))
def describe_alarms_for_metric(
    call: Call,
    *,
    metric_name: str,
    namespace: str,
    statistic: StatisticType | None = None,
    extended_statistic: str | None = None,
    dimensions: Sequence[DimensionTypeDef] = (),
    period: int | None = None,
    unit: StandardUnitType | None = None,
) -> Document:
    """The alarms on one metric: those of its very dimensions, and those whose math uses it."""
    asked = {"Namespace": namespace, "MetricName": metric_name, "Dimensions": dimensions}
    wanted = metric_of(call.account, call.region, asked)
    stat = statistic or extended_statistic
    query = AlarmQuery(call.account, call.region, mentioning=f'"{spelled(metric_name)}"')
    with call.store.reading() as records:
        alarms = select_alarms(records, query)
    found = [
        described(record)
        for record in alarms
        for metric in _watched_metrics(record)
        if metric_of(call.account, call.region, metric["Metric"]) == wanted
        and stat in (None, metric["Stat"])
        and period in (None, metric["Period"])
        and unit in (None, metric.get("Unit"))
    ]
    return {"MetricAlarms": list({alarm["AlarmName"]: alarm for alarm in found}.values())}


@operation("cloudwatch", "DescribeAlarmHistory", on=(touches.alarm,))
def describe_alarm_history(
    call: Call,
    *,
    alarm_name: str | None = None,
    alarm_contributor_id: str | None = None,
    alarm_types: Sequence[AlarmTypeType] = ("MetricAlarm",),
    history_item_type: HistoryItemTypeType | None = None,
    start_date: float | None = None,
    end_date: float | None = None,
    max_records: int = HISTORY_PAGE_SIZE,
    next_token: str | None = None,
    scan_by: ScanByType = "TimestampDescending",
) -> Document:
    """What happened to one alarm or to all, also to those that are gone, for thirty days."""
    if alarm_contributor_id is not None:
        raise NotImplementedYet("'AlarmContributorId'", "alarms here watch one time series")
    asked = (
        "DescribeAlarmHistory",
        alarm_name,
        tuple(alarm_types),
        history_item_type,
        start_date,
        end_date,
        scan_by,
    )
    after = position_of(next_token, call, asked)
    page = call.live.metrics.history.page(
        HistoryQuery(
            account=call.account,
            region=call.region,
            limit=max_records,
            name=alarm_name,
            alarm_types=tuple(alarm_types),
            type=history_item_type,
            start=start_date,
            end=end_date,
            newest_first=scan_by == "TimestampDescending",
            after=None if after is None else (after[0], after[1]),
        )
    )
    answer: dict[str, Any] = {
        "AlarmHistoryItems": [
            {
                "AlarmName": alarm.name,
                "AlarmType": kind,
                "Timestamp": item.at,
                "HistoryItemType": item.type,
                "HistorySummary": item.summary,
                "HistoryData": item.data,
            }
            for _, alarm, kind, item in page.items
        ]
    }
    if page.after is not None:  # also behind a page of few, or none: it is looked for further
        answer["NextToken"] = token_for(call, asked, [*page.after])
    return answer


def _shown(record: AlarmRecord, records: Reading, call: Call) -> Document:
    """The alarm, and what holds back its actions if something does."""
    shown = described(record)
    if "ActionsSuppressor" in record.document and record.owed:
        alarm = record.composite_alarm()
        suppressor = find(records, call, alarm.suppressor)
        if by := suppressed_by(alarm, suppressor.state if suppressor else None, call.now):
            shown["ActionsSuppressedBy"] = by
            shown["ActionsSuppressedReason"] = f"Actions suppressed by {by}: {alarm.suppressor}"
    return shown


def _has_action(record: AlarmRecord, prefix: str) -> bool:
    members = ("OKActions", "AlarmActions", "InsufficientDataActions")
    return any(
        action.startswith(prefix)
        for member in members
        for action in record.document.get(member, ())
    )


def _relatives(records: Reading, call: Call, of: str | None, by: str | None) -> Document:
    """The children of a composite alarm, or the composites above an alarm: names, kinds, ARNs."""
    if of is not None:
        parent = find(records, call, name_in(of))
        children = _rule_alarms(parent) if parent else ()
        found = [child for name in children if (child := find(records, call, name))]
    else:
        name = name_in(by or "")
        composites = AlarmQuery(call.account, call.region, mentioning=COMPOSITES)
        found = select_alarms(records, composites, lambda record: name in _rule_alarms(record))
    answer: dict[str, list[Document]] = {"MetricAlarms": [], "CompositeAlarms": []}
    for record in found:
        answer[f"{record.type}s"].append(described(record))
    return answer


def _rule_alarms(record: AlarmRecord) -> tuple[str, ...]:
    rule = record.document.get("AlarmRule")
    return parse(rule).alarms if rule else ()


def _watched_metrics(record: AlarmRecord) -> list[Document]:
    document = record.document
    if "MetricName" in document:
        stat = document.get("Statistic") or document["ExtendedStatistic"]
        return [
            {
                "Metric": document,
                "Stat": stat,
                "Period": document["Period"],
                "Unit": document.get("Unit"),
            }
        ]
    return [query["MetricStat"] for query in document.get("Metrics", ()) if "MetricStat" in query]
