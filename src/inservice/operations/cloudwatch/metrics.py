"""CloudWatch's metrics: put, read, list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inservice.cloudwatch.alarms.errors import BadCombination, BadToken, BadValue, MissingValue
from inservice.cloudwatch.metrics.datum import aggregate_of
from inservice.cloudwatch.metrics.metric import Metric
from inservice.cloudwatch.metrics.query import (
    Result,
    answer,
    check_period,
    data_queries,
    metric_of,
    span,
    statistic_of,
)
from inservice.cloudwatch.metrics.statistics import PLAIN
from inservice.errors import NotImplementedYet, ValidationError
from inservice.operations.cloudwatch import touches
from inservice.operations.cloudwatch.pages import next_token as token_for
from inservice.operations.cloudwatch.pages import position_of
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.telemetry.base import Sample
from inservice.telemetry.names import INSTANCES_NAMESPACE

if TYPE_CHECKING:
    from types_boto3_cloudwatch.literals import (
        ScanByType,
        StandardUnitType,
        StatisticType,
    )
    from types_boto3_cloudwatch.type_defs import (
        DimensionFilterTypeDef,
        DimensionTypeDef,
        MetricDataQueryUnionTypeDef,
    )

DATA_MAX = 1_000
OLDEST_SECONDS = 14 * 86_400
NEWEST_SECONDS = 2 * 3_600
"""PutMetricData's limits, all AWS's."""

DATAPOINTS_MAX = 100_800
STATISTICS_DATAPOINTS_MAX = 1_440
LIST_PAGE_SIZE = 500
LISTED_SECONDS = 14 * 86_400
"""How long ListMetrics shows a metric that gets no data any more."""

ACTIVE_SECONDS = 3 * 3_600


@operation("cloudwatch", "PutMetricData", on=(touches.namespace,))
def put_metric_data(
    call: Call,
    *,
    namespace: str,
    metric_data: Sequence[Document] = (),
    entity_metric_data: Sequence[Document] = (),
    strict_entity_validation: bool = False,
) -> None:
    """Record values of one's own metrics; they are durable when this returns."""
    if entity_metric_data or strict_entity_validation:
        member = "EntityMetricData" if entity_metric_data else "StrictEntityValidation"
        raise NotImplementedYet(f"'{member}'", "metrics do not belong to entities here")
    if not metric_data:
        raise MissingValue("The parameter MetricData is required.")
    if namespace.startswith("AWS/") or namespace == INSTANCES_NAMESPACE:
        raise BadValue(f"The value {namespace} for parameter Namespace is invalid: it is AWS's.")
    if len(metric_data) > DATA_MAX:
        raise BadValue(f"The collection MetricData must not have a size greater than {DATA_MAX}.")
    samples = [
        _sample(call, namespace, datum, f"MetricData.member.{number}")
        for number, datum in enumerate(metric_data, 1)
    ]
    call.live.metrics.put(samples, call.now)


def _sample(call: Call, namespace: str, datum: Document, member: str) -> Sample:
    name = datum["MetricName"]
    metric = metric_of(call.account, call.region, {**datum, "Namespace": namespace})
    texts = [namespace, name, *(text for pair in metric.dimensions for text in pair)]
    if any(not text.isprintable() or not text.strip() for text in texts):
        raise BadValue(f"The metric {name!r} has a name or a dimension that cannot be printed.")
    at = datum.get("Timestamp", call.now)
    if at < call.now - OLDEST_SECONDS:
        raise BadValue(
            f"The parameter {member}.Timestamp must specify a time no more than two weeks in the "
            "past."
        )
    if at > call.now + NEWEST_SECONDS:
        raise BadValue(
            f"The parameter {member}.Timestamp must specify a time no more than two hours in the "
            "future."
        )
    resolution = datum.get("StorageResolution", 60)
    if resolution not in (1, 60):
        raise BadValue(
            f"The value {resolution} for parameter {member}.StorageResolution is invalid."
        )
    unit = datum.get("Unit", "None")
    return Sample(metric, unit, at, aggregate_of(datum, member), high_resolution=resolution == 1)


@operation("cloudwatch", "GetMetricData", on=(anything,))
def get_metric_data(
    call: Call,
    *,
    metric_data_queries: Sequence[MetricDataQueryUnionTypeDef],
    start_time: float,
    end_time: float,
    next_token: str | None = None,
    scan_by: ScanByType = "TimestampDescending",
    max_datapoints: int = DATAPOINTS_MAX,
    label_options: Document | None = None,
) -> Document:
    """Statistics of metrics, and math over them, as time series."""
    start_time, end_time = _whole_seconds(start_time, end_time)
    if start_time > end_time:
        raise ValidationError("The parameter EndTime must be greater than StartTime.")
    if start_time == end_time:
        raise ValidationError("The parameter StartTime must not equal parameter EndTime.")
    if not 1 <= max_datapoints <= DATAPOINTS_MAX:
        raise ValidationError(f"MaxDatapoints must be from 1 to {DATAPOINTS_MAX}.")
    if label_options:
        raise NotImplementedYet("'LabelOptions'", "labels have no dynamic parts here")
    asked = ("GetMetricData", repr(metric_data_queries), start_time, end_time, scan_by)
    skipped = position_of(next_token, call, asked) or 0
    try:
        queries = data_queries(call.account, call.region, list(metric_data_queries))
        results = answer(queries, start_time, end_time, call.now, call.live.metrics)
    except BadValue as error:  # what it is called everywhere but here
        raise ValidationError(error.message) from error
    newest_first = scan_by == "TimestampDescending"
    page = list(_page(results, skipped, max_datapoints, newest_first=newest_first))
    shown: dict[str, Any] = {"MetricDataResults": page, "Messages": []}
    if sum(len(result.points) for result in results) > skipped + max_datapoints:
        shown["NextToken"] = token_for(call, asked, skipped + max_datapoints)
    return shown


def _whole_seconds(start: float, end: float) -> tuple[int, int]:
    """The frame of a question as AWS reads it: to the second, the start in it, the end not."""
    return math.floor(start), math.floor(end)


def _page(
    results: Sequence[Result], skipped: int, limit: int, *, newest_first: bool
) -> Iterator[Document]:
    """The datapoints from `skipped` on, `limit` at most, counted through all results in order."""
    passed = 0
    for result in results:
        times = sorted(result.points, reverse=newest_first)
        first, last = max(0, skipped - passed), max(0, skipped + limit - passed)
        kept = times[first:last]
        passed += len(times)
        yield {
            "Id": result.id,
            "Label": result.label,
            "Timestamps": kept,
            "Values": [result.points[at] for at in kept],
            "StatusCode": "PartialData" if last < len(times) else "Complete",
        }


@operation("cloudwatch", "GetMetricStatistics", on=(anything,))
def get_metric_statistics(
    call: Call,
    *,
    namespace: str,
    metric_name: str,
    start_time: float,
    end_time: float,
    period: int,
    dimensions: Sequence[DimensionTypeDef] = (),
    statistics: Sequence[StatisticType] = (),
    extended_statistics: Sequence[str] = (),
    unit: StandardUnitType | None = None,
) -> Document:
    """Statistics of one metric, each unit apart."""
    start_time, end_time = _whole_seconds(start_time, end_time)
    if start_time >= end_time:
        raise BadValue("The parameter StartTime must be less than the parameter EndTime.")
    if statistics and extended_statistics:
        raise BadCombination("Statistics and ExtendedStatistics cannot be given together.")
    if not statistics and not extended_statistics:
        raise BadCombination("Must specify either Statistics or ExtendedStatistics")
    if misplaced := [name for name in extended_statistics if name in PLAIN]:
        raise BadValue(f"The value {misplaced[0]} is for Statistics, not for ExtendedStatistics.")
    check_period(period)
    computed = [statistic_of(name) for name in (*statistics, *extended_statistics)]
    first, last = span(start_time, end_time, period, call.now)
    if (last - first) // period > STATISTICS_DATAPOINTS_MAX:
        raise BadCombination(
            f"You have requested up to {(last - first) // period:,} datapoints, which exceeds the "
            f"limit of {STATISTICS_DATAPOINTS_MAX:,}. You may reduce the datapoints requested by "
            "increasing Period, or decreasing the time range."
        )
    asked = {"Namespace": namespace, "MetricName": metric_name, "Dimensions": dimensions}
    metric = metric_of(call.account, call.region, asked)
    datapoints: list[Document] = []
    for one in call.live.metrics.units(metric) if unit is None else (unit,):
        for at, seen in call.live.metrics.read(metric, one, first, last, period).items():
            values = {statistic.name: statistic.compute(seen) for statistic in computed}
            known = {name: value for name, value in values.items() if value is not None}
            extended = {name: value for name, value in known.items() if name not in PLAIN}
            plain = {name: value for name, value in known.items() if name in PLAIN}
            if known:
                shown = {"ExtendedStatistics": extended} if extended else {}
                datapoints.append({"Timestamp": at, "Unit": one, **plain, **shown})
    return {"Label": metric_name, "Datapoints": datapoints}


@operation("cloudwatch", "ListMetrics", on=(anything,))
def list_metrics(
    call: Call,
    *,
    namespace: str | None = None,
    metric_name: str | None = None,
    dimensions: Sequence[DimensionFilterTypeDef] = (),
    next_token: str | None = None,
    recently_active: str | None = None,
    include_linked_accounts: bool = False,
    owning_account: str | None = None,
) -> Document:
    """Metrics that had data in the last two weeks, by name and by the dimensions they have."""
    if include_linked_accounts or owning_account not in (None, call.account):
        raise BadValue("There are no linked accounts whose metrics could be listed.")
    asked = ("ListMetrics", namespace, metric_name, repr(dimensions), recently_active)
    try:
        after = position_of(next_token, call, asked)
    except BadToken as error:  # this operation alone has no code of its own for it
        raise BadValue("Request parameter NextToken is invalid") from error
    oldest = call.now - (ACTIVE_SECONDS if recently_active else LISTED_SECONDS)
    found = sorted(
        {
            metric
            for metric in call.live.metrics.heard_of(call.account, call.region, oldest)
            if namespace in (None, metric.namespace)
            and metric_name in (None, metric.name)
            and _has_dimensions(metric, dimensions)
        },
        key=_place,
    )
    rest = found if after is None else [metric for metric in found if _place(metric) > after]
    page = rest[:LIST_PAGE_SIZE]
    shown: dict[str, Any] = {"Metrics": [_listed(metric) for metric in page]}
    if len(rest) > LIST_PAGE_SIZE:
        shown["NextToken"] = token_for(call, asked, _place(page[-1]))
    return shown


def _has_dimensions(metric: Metric, filters: Sequence[DimensionFilterTypeDef]) -> bool:
    has = dict(metric.dimensions)
    return all(
        one["Name"] in has and one.get("Value", has[one["Name"]]) == has[one["Name"]]
        for one in filters
    )


def _place(metric: Metric) -> list[Any]:
    """Where a metric stands in the list; lists, because that is what a token gives back."""
    return [metric.namespace, metric.name, [list(pair) for pair in metric.dimensions]]


def _listed(metric: Metric) -> Document:
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
    }
