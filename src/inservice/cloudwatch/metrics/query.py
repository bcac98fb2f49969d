"""GetMetricData and the datapoints of alarms: queries in, time series out.

A query is a statistic of a metric, or an expression over other queries by their Ids. The same code
answers a graph and an alarm, so an alarm sees what its graph shows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from inservice.cloudwatch.alarms.alarm import Datapoint, MetricAlarm
from inservice.cloudwatch.alarms.configuration import watched
from inservice.cloudwatch.alarms.errors import AlarmRefused, BadValue
from inservice.cloudwatch.alarms.evaluation import Window
from inservice.cloudwatch.metrics import expressions, statistics
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.expressions import QUERY_ID, BadExpression, Node
from inservice.cloudwatch.metrics.math import (
    ELSEWHERE,
    FUNCTIONS,
    Scope,
    TimeSeries,
    Value,
    evaluate,
)
from inservice.cloudwatch.metrics.metric import TIERS, Metric
from inservice.cloudwatch.metrics.statistics import BadStatistic, Statistic
from inservice.errors import NotImplementedYet

QUERIES_MAX = 500
PERIODS_MAX = 1_008_000
"""Of all queries of a request together: ten times the datapoints that one answer may have."""

BAND_PERIODS = 120
"""How far before its window an alarm on a band reads, for the band to know what is usual."""

REFERENCES_MAX = 20
"""Expressions on expressions. Each level takes several frames of the stack."""

_UNDER_WAY = -1

_INSIGHTS = re.compile(r"\s*SELECT\b", re.IGNORECASE)


class Reader(Protocol):
    """Where datapoints come from: a Recorder."""

    def read(
        self, metric: Metric, unit: str | None, start: int, end: int, period: int
    ) -> dict[int, Aggregate]:
        """Start of period → what was seen in it."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """One query, read and checked: a statistic of a metric, or an expression."""

    id: str
    label: str
    returned: bool
    period: int | None
    metric: Metric | None = None
    statistic: Statistic | None = None
    unit: str | None = None
    tree: Node | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One time series of an answer. An expression with several gives several of one Id."""

    id: str
    label: str
    points: Mapping[int, float]


def metric_of(account: str, region: str, document: Mapping[str, Any]) -> Metric:
    """The metric of a document with Namespace, MetricName and Dimensions. Raises BadValue when a
    dimension is named twice."""
    pairs = sorted((one["Name"], one["Value"]) for one in document.get("Dimensions", ()))
    if len(dict(pairs)) < len(pairs):
        raise BadValue("The parameter Dimensions must not name a dimension twice.")
    name, namespace = document["MetricName"], document["Namespace"]
    return Metric(account, region, namespace, name, tuple(pairs))


def statistic_of(name: str) -> Statistic:
    """The statistic of that name. Raises BadValue."""
    try:
        return statistics.parse(name)
    except BadStatistic as error:
        raise BadValue(f"{error}.") from error


def check_period(period: int) -> None:
    """Raises BadValue unless the period is one that datapoints can be asked for in."""
    if period not in (1, 5, 10, 20, 30) and (period < 60 or period % 60):
        raise BadValue("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")


def data_queries(account: str, region: str, documents: Sequence[Mapping[str, Any]]) -> list[Query]:
    """GetMetricData's queries, checked against each other, each with a label of its own.

    Raises BadValue naming all queries that are wrong, and NotImplementedYet.
    """
    for number, document in enumerate(documents, 1):
        if "MetricStat" in document and "Period" in document:
            member = f"MetricDataQueries.member.{number}"
            raise BadValue(_exclusive(f"{member}.Period", f"{member}.MetricStat"))
    queries = read_queries(account, region, documents, "MetricDataQueries")
    return list(_told_apart(queries, documents))


def read_queries(
    account: str, region: str, documents: Sequence[Mapping[str, Any]], collection: str = "Metrics"
) -> list[Query]:
    """MetricDataQueries, checked against each other; `collection` is the member that they are.

    Raises BadValue with a line for each query that is wrong, and NotImplementedYet.
    """
    if len(documents) > QUERIES_MAX:
        raise BadValue(
            f"The collection {collection} must not have a size greater than {QUERIES_MAX}."
        )
    queries: list[Query] = []
    wrong: list[str] = []
    for number, document in enumerate(documents, 1):
        try:
            queries.append(_read(account, region, document, f"{collection}.member.{number}"))
        except BadValue as error:
            wrong.append(error.message)
    if wrong:
        raise BadValue("\n".join(wrong))
    by_id = {query.id: query for query in queries}
    if len(by_id) < len(queries):
        raise BadValue(f"The values for parameter id in {collection} are not unique.")
    depths: dict[str, int] = {}
    for query in queries:
        _depth(query, by_id, depths)
    return queries


def _read(account: str, region: str, document: Mapping[str, Any], member: str) -> Query:
    id_, label = document["Id"], document.get("Label", "")
    if not QUERY_ID.fullmatch(id_):
        raise BadValue(
            f"The value {id_} for parameter {member}.Id is not matching the expected pattern "
            f"^{QUERY_ID.pattern}$."
        )
    if document.get("AccountId", account) != account:
        raise NotImplementedYet(f"'{member}.AccountId'", "metrics of other accounts are not read")
    if "${" in label:
        raise NotImplementedYet(f"a label with '${{' in it at '{member}.Label'")
    returned, period = document.get("ReturnData", True), document.get("Period")
    if "MetricStat" in document and "Expression" in document:
        raise BadValue(_exclusive(f"{member}.Expression", f"{member}.MetricStat"))
    if "Expression" in document:
        if period is not None:
            check_period(period)
        tree = _tree(id_, document["Expression"])
        return Query(id_, label or id_, returned, period, tree=tree)
    if "MetricStat" not in document:
        raise BadValue(f"The parameter {member}.MetricStat is required.\n")  # AWS's empty line too
    stat = document["MetricStat"]
    for needed in ("Namespace", "MetricName"):
        if needed not in stat["Metric"]:
            raise BadValue(f"The parameter {member}.MetricStat.Metric.{needed} is required.")
    check_period(stat["Period"])
    metric = metric_of(account, region, stat["Metric"])
    try:
        statistic = statistic_of(stat["Stat"])
    except BadValue as error:
        raise BadValue(
            f"The value {stat['Stat']} for parameter {member}.MetricStat.Stat is not a valid "
            f"statistic. {error.message}"
        ) from error
    return Query(
        id_,
        label or metric.name,
        returned,
        stat["Period"],
        metric=metric,
        statistic=statistic,
        unit=stat.get("Unit"),
    )


def _exclusive(one: str, other: str) -> str:
    return f"The parameters {one} and {other} are mutually exclusive and you have specified both."


def _told_apart(
    queries: Sequence[Query], documents: Sequence[Mapping[str, Any]]
) -> Iterator[Query]:
    """The queries, with what they differ in added to default labels that would be the same."""
    unnamed = [
        query
        for query, document in zip(queries, documents, strict=True)
        if query.metric is not None and not document.get("Label")
    ]
    alike: dict[str, list[Query]] = {}
    for query in unnamed:
        alike.setdefault(query.label, []).append(query)
    parts = {
        query.id: list(_particulars(query, together))
        for together in alike.values()
        for query in together
    }
    for query in queries:
        yield replace(query, label=" ".join([query.label, *parts.get(query.id, ())]))


def _particulars(query: Query, together: Sequence[Query]) -> Iterator[str]:
    """Of all that a query asks for, what not all of `together` do: values of dimensions, the
    statistic, the namespace, the unit, the period."""
    dimensions = [dict(other.metric.dimensions) for other in together if other.metric is not None]
    for name in sorted({name for each in dimensions for name in each}):
        if len({each.get(name) for each in dimensions}) > 1:
            own = dict(query.metric.dimensions) if query.metric is not None else {}
            yield own.get(name, "-")
    asked: Sequence[Callable[[Query], str]] = (
        lambda each: each.statistic.name if each.statistic is not None else "",
        lambda each: each.metric.namespace if each.metric is not None else "",
        lambda each: each.unit or "-",
        lambda each: str(each.period),
    )
    for part in asked:
        if len({part(other) for other in together}) > 1:
            yield part(query)


def _tree(id_: str, expression: str) -> Node:
    if _INSIGHTS.match(expression):
        raise NotImplementedYet(
            f"Metrics Insights, the SELECT of query '{id_}'", "metric math alone is evaluated"
        )
    try:
        tree = expressions.parse(expression)
    except BadExpression as error:
        raise BadValue(f"Error in expression '{id_}': {error}.") from error
    for name in expressions.calls(tree):
        if name in ELSEWHERE:
            raise NotImplementedYet(f"the function {name} of query '{id_}'", ELSEWHERE[name])
        if name[0].isalpha() and name not in FUNCTIONS:
            raise BadValue(f"Error in expression '{id_}': there is no function {name}.")
    return tree


def _depth(query: Query, by_id: Mapping[str, Query], depths: dict[str, int]) -> int:
    """How many expressions deep a query rests on others. Raises BadValue for a circle."""
    if query.id in depths:
        if depths[query.id] == _UNDER_WAY:
            raise BadValue(f"Error in expression '{query.id}': it refers to itself.")
        return depths[query.id]
    depths[query.id], depth = _UNDER_WAY, 0
    for id_ in set(expressions.references(query.tree)) if query.tree else ():
        if id_ not in by_id:
            raise BadValue(f"Error in expression '{query.id}': there is no query '{id_}'.")
        depth = max(depth, 1 + _depth(by_id[id_], by_id, depths))
        if depth > REFERENCES_MAX:
            raise BadValue(f"Expressions may rest on others {REFERENCES_MAX} deep.")
    depths[query.id] = depth
    return depth


def span(start: float, end: float, period: int, now: float) -> tuple[int, int]:
    """The periods of a request: from where to where, in whole periods.

    The start is cut to what can still exist and rounded down, the coarser the older it is, as AWS
    does: to minutes, to five minutes beyond 15 days, to hours beyond 63. The last period is whole
    even if the end, which is exclusive, falls within it.
    """
    tier = max(seconds for seconds in TIERS if period % seconds == 0)
    start = max(start, now - TIERS[tier])
    coarse = next((s for s in (60, 300) if start >= now - TIERS[s]), 3_600)
    grain = period if period < 60 else coarse
    first = int(start // grain * grain)
    end = min(end, now + TIERS[1])
    return first, first + max(0, math.ceil((end - first) / period)) * period


def answer(
    queries: Sequence[Query], start: float, end: float, now: float, reader: Reader
) -> list[Result]:
    """The results of the queries that return data, in their order. Raises BadValue."""
    spans = {q.id: span(start, end, q.period, now) for q in queries if q.period is not None}
    periods = sum(
        (spans[q.id][1] - spans[q.id][0]) // q.period
        for q in queries
        if q.metric is not None and q.period is not None
    )
    if periods > PERIODS_MAX:
        raise BadValue(f"The request covers {periods} periods; {PERIODS_MAX} is the most.")
    run = _Run(queries, spans, reader)
    return [result for query in queries if query.returned for result in run.results(query)]


class _Run:
    """One answer in the making: each query is evaluated once, whoever refers to it."""

    def __init__(
        self, queries: Sequence[Query], spans: Mapping[str, tuple[int, int]], reader: Reader
    ) -> None:
        self._queries = {query.id: query for query in queries}
        self._spans = spans
        self._reader = reader
        self._values: dict[str, Value] = {}

    def results(self, query: Query) -> list[Result]:
        value = self.value(query)
        if isinstance(value, TimeSeries):
            return [Result(query.id, query.label, value.points)]
        if isinstance(value, tuple):
            return [
                Result(query.id, f"{query.label} {one.label}".strip(), one.points) for one in value
            ]
        raise BadValue(f"Error in expression '{query.id}': it gives a number, not a time series.")

    def value(self, query: Query) -> Value:
        if query.id not in self._values:
            self._values[query.id] = (
                self._read(query) if query.tree is None else self._evaluate(query, query.tree)
            )
        return self._values[query.id]

    def _read(self, query: Query) -> TimeSeries:
        assert query.metric is not None
        assert query.statistic is not None
        assert query.period is not None
        start, end = self._spans[query.id]
        found = self._reader.read(query.metric, query.unit, start, end, query.period)
        points = {at: query.statistic.compute(seen) for at, seen in sorted(found.items())}
        kept = {at: value for at, value in points.items() if value is not None}
        return TimeSeries(kept, query.label)

    def _evaluate(self, query: Query, tree: Node) -> Value:
        used = {id_: self._queries[id_] for id_ in expressions.references(tree)}
        metrics = {q.id: q for q in self._queries.values() if q.metric is not None}
        asks_for_all = "METRICS" in set(expressions.calls(tree))
        timed = [q for q in (query, *used.values(), *metrics.values()) if q.period is not None]
        if not timed:
            raise BadValue(f"Error in expression '{query.id}': it needs a Period.")
        period = timed[0].period
        if asks_for_all and any(q.period != period for q in metrics.values()):
            raise BadValue(f"Error in expression '{query.id}': the metrics differ in Period.")
        if any(q.period not in (None, period) for q in used.values()):
            raise BadValue(f"Error in expression '{query.id}': the metrics differ in Period.")
        assert period is not None
        start, end = self._spans[timed[0].id]
        wanted = metrics if asks_for_all else {i: q for i, q in metrics.items() if i in used}
        scope = Scope(
            results={id_: self.value(q) for id_, q in used.items()},
            metrics={id_: self._as_series(q) for id_, q in wanted.items()},
            start=start,
            end=end,
            period=period,
        )
        try:
            return evaluate(tree, scope)
        except BadExpression as error:
            raise BadValue(f"Error in expression '{query.id}': {error}.") from error

    def _as_series(self, query: Query) -> TimeSeries:
        value = self.value(query)
        assert isinstance(value, TimeSeries)
        return value


# ── alarms ──────────────────────────────────────────────────────────────────────────────────────


def check_alarm_queries(documents: Sequence[Mapping[str, Any]]) -> None:
    """What an alarm's Metrics must be, beside what the alarm itself checks. Raises AlarmRefused."""
    try:
        read_queries("", "", documents)
    except BadValue as error:
        raise AlarmRefused(error.message) from error


def check_alarm_statistic(name: str) -> None:
    """Raises AlarmRefused for what is no statistic."""
    try:
        statistics.parse(name)
    except BadStatistic as error:
        raise AlarmRefused(str(error)) from error


class _Sample:
    """A reader that has a value for every period of every metric, each another."""

    def read(
        self, metric: Metric, unit: str | None, start: int, end: int, period: int
    ) -> dict[int, Aggregate]:
        """What a Recorder would give."""
        del metric, unit
        times = range(start, end, period)
        return {at: Aggregate.of(2.0 + number, 1.0) for number, at in enumerate(times)}


def check_alarm_datapoints(document: Mapping[str, Any], alarm: MetricAlarm) -> None:
    """Raises AlarmRefused for an alarm that could never be evaluated: its expression gives a
    number, or several time series. Such an alarm would stay in INSUFFICIENT_DATA for ever, and the
    deployment that trusts it would have no guard. The expression is tried out, since only its value
    shows what it gives.
    """
    period = alarm.period_seconds
    try:
        alarm_datapoints("", "", document, alarm, Window(period * 1_000, period, 3), _Sample())
    except BadValue as error:
        raise AlarmRefused(error.message) from error


def alarm_datapoints(
    account: str,
    region: str,
    document: Mapping[str, Any],
    alarm: MetricAlarm,
    window: Window,
    reader: Reader,
) -> list[Datapoint]:
    """What an alarm sees in its window. Raises BadValue for an expression that has no value."""
    start, end = int(window.start), int(window.end)
    if alarm.statistic:
        metric = metric_of(account, region, document)
        statistic = statistics.parse(alarm.statistic)
        unit = document.get("Unit")
        found = reader.read(metric, unit, start, end, alarm.period_seconds)
        return list(_datapoints(found, statistic))
    queries = read_queries(account, region, document["Metrics"])
    band = document.get("ThresholdMetricId")
    if band is not None:
        start -= BAND_PERIODS * alarm.period_seconds
    run = _Run(queries, {query.id: (start, end) for query in queries}, reader)
    by_id = {query.id: query for query in queries}
    seen = run.results(by_id[watched(document)["Id"]])
    if len(seen) != 1:
        raise BadValue(f"An alarm watches one time series; its expression gives {len(seen)}.")
    limits = [result.points for result in run.results(by_id[band])] if band else [{}, {}]
    return [
        Datapoint(at, value, lower=limits[0].get(at), upper=limits[-1].get(at))
        for at, value in seen[0].points.items()
        if at >= window.start
    ]


def _datapoints(found: Mapping[int, Aggregate], statistic: Statistic) -> Iterable[Datapoint]:
    for at, seen in found.items():
        value = statistic.compute(seen)
        if value is not None:
            yield Datapoint(at, value, sample_count=seen.count)
