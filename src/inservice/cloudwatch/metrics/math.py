"""Metric math, evaluated: trees of `expressions` over time series. Pure.

A value is a number, one time series, or an array of series. AWS's rules that are easy to miss: in
arithmetic and comparisons a missing point counts as 0 when the other series has one; a point that
would divide by zero is dropped; SUM, AVG, MIN, MAX and STDDEV of one series give a number, of an
array they give a series, point by point.
"""

from __future__ import annotations

import itertools
import math
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from inservice.cloudwatch.metrics.expressions import (
    Array,
    BadExpression,
    Call,
    Keyword,
    Node,
    Number,
    Reference,
    Text,
)


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Values by the start of their period."""

    points: Mapping[int, float]
    label: str = ""


Value = float | TimeSeries | tuple[TimeSeries, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression can see."""

    results: Mapping[str, Value]  # of the queries it refers to, by Id
    metrics: Mapping[str, TimeSeries]  # the queries that are metrics, by Id: METRICS()
    start: int
    end: int
    period: int

    def times(self) -> range:
        """The starts of all periods asked for."""
        return range(self.start, self.end, self.period)


def evaluate(tree: Node, scope: Scope) -> Value:
    """The value of an expression. Raises BadExpression for what has no meaning."""
    if isinstance(tree, Number):
        return tree.value
    if isinstance(tree, Reference):
        if tree.id not in scope.results:
            raise BadExpression(f"there is no query with the Id '{tree.id}'")
        return scope.results[tree.id]
    if isinstance(tree, Array):
        return tuple(one for element in tree.elements for one in _array(evaluate(element, scope)))
    if isinstance(tree, Call):
        if tree.function in _OPERATORS:
            left, right = (evaluate(argument, scope) for argument in tree.arguments)
            return _spread(_OPERATORS[tree.function], left, right)
        if tree.function not in FUNCTIONS:
            raise BadExpression(f"the function {tree.function} is not supported")
        return FUNCTIONS[tree.function](tree.arguments, scope)
    raise BadExpression("a string or a keyword stands where a value should")


def _array(value: Value) -> tuple[TimeSeries, ...]:
    if isinstance(value, TimeSeries):
        return (value,)
    if isinstance(value, tuple):
        return value
    raise BadExpression("a number stands where time series should")


# ── operators ───────────────────────────────────────────────────────────────────────────────────


def _power(base: float, exponent: float) -> float:
    return math.pow(base, exponent)  # unlike `**` it has no complex results: ValueError


_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": _power,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "&&": lambda a, b: bool(a) and bool(b),
    "||": lambda a, b: bool(a) or bool(b),
}


def _spread(apply: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """An operator on numbers, on series point by point, and on arrays series by series."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        raise BadExpression("an operator cannot take two arrays")
    if isinstance(left, tuple):
        return tuple(_one(_spread(apply, one, right)) for one in left)
    if isinstance(right, tuple):
        return tuple(_one(_spread(apply, left, one)) for one in right)
    if not isinstance(left, TimeSeries) and not isinstance(right, TimeSeries):
        result = _safe(apply, left, right)
        if result is None:
            raise BadExpression("a division of numbers by zero, or a result that is no number")
        return result
    points = {}
    label = left.label if isinstance(left, TimeSeries) else ""
    for at in sorted({*_times(left), *_times(right)}):
        result = _safe(apply, _at(left, at), _at(right, at))
        if result is not None:
            points[at] = result
    return TimeSeries(points, label or (right.label if isinstance(right, TimeSeries) else ""))


def _safe(apply: Callable[[float, float], float], left: float, right: float) -> float | None:
    try:
        result = float(apply(left, right))
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    return result if math.isfinite(result) else None


def _times(value: float | TimeSeries) -> Sequence[int]:
    return list(value.points) if isinstance(value, TimeSeries) else ()


def _at(value: float | TimeSeries, at: int) -> float:
    return value.points.get(at, 0.0) if isinstance(value, TimeSeries) else value


def _one(value: Value) -> TimeSeries:
    if not isinstance(value, TimeSeries):
        raise BadExpression("one time series was expected")
    return value


# ── functions ───────────────────────────────────────────────────────────────────────────────────

Arguments = Sequence[Node]
Function = Callable[[Arguments, Scope], Value]


def _arity(name: str, arguments: Arguments, least: int, most: int) -> None:
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise BadExpression(f"{name} takes {wanted} arguments, not {len(arguments)}")


def _mapping(name: str, change: Callable[[TimeSeries, Scope], Mapping[int, float]]) -> Function:
    """A function from a series to a series, and so from an array to an array."""

    def call(arguments: Arguments, scope: Scope) -> Value:
        _arity(name, arguments, 1, 1)
        value = evaluate(arguments[0], scope)
        changed = tuple(replace(one, points=change(one, scope)) for one in _array(value))
        return changed[0] if isinstance(value, TimeSeries) else changed

    return call


def _each(name: str, change: Callable[[float], float]) -> Function:
    """A function of each point; a point without a result (LOG of 0) is dropped."""

    def points(series: TimeSeries, _: Scope) -> Mapping[int, float]:
        found = {}
        for at, value in series.points.items():
            result = _safe(lambda one, _: change(one), value, 0.0)
            if result is not None:
                found[at] = result
        return found

    return _mapping(name, points)


def _reducing(name: str, reduce: Callable[[Sequence[float]], float]) -> Function:
    """Of one series a number; of an array a series, missing points counted as AWS says: 0."""

    def call(arguments: Arguments, scope: Scope) -> Value:
        _arity(name, arguments, 1, 1)
        value = evaluate(arguments[0], scope)
        if isinstance(value, TimeSeries):
            return float(reduce(list(value.points.values()))) if value.points else 0.0
        several = _array(value)
        times = sorted({at for one in several for at in one.points})
        return TimeSeries(
            {at: float(reduce([one.points.get(at, 0.0) for one in several])) for at in times}, name
        )

    return call


def _datapoint_count(arguments: Arguments, scope: Scope) -> Value:
    _arity("DATAPOINT_COUNT", arguments, 1, 1)
    value = evaluate(arguments[0], scope)
    if isinstance(value, TimeSeries):
        return float(len(value.points))
    several = _array(value)
    times = sorted({at for one in several for at in one.points})
    return TimeSeries({at: float(sum(at in one.points for one in several)) for at in times})


def _steps(
    change: Callable[[float, float, int], float],
) -> Callable[[TimeSeries, Scope], Mapping[int, float]]:
    def points(series: TimeSeries, _: Scope) -> Mapping[int, float]:
        times = sorted(series.points)
        return {
            now: change(series.points[now], series.points[before], now - before)
            for before, now in itertools.pairwise(times)
        }

    return points


def _running_sum(series: TimeSeries, _: Scope) -> Mapping[int, float]:
    total, points = 0.0, {}
    for at in sorted(series.points):
        total += series.points[at]
        points[at] = total
    return points


def _calendar(
    part: Callable[[datetime], float],
) -> Callable[[TimeSeries, Scope], Mapping[int, float]]:
    return lambda _, scope: {at: part(datetime.fromtimestamp(at, UTC)) for at in scope.times()}


def _fill(arguments: Arguments, scope: Scope) -> Value:
    _arity("FILL", arguments, 2, 2)
    value = evaluate(arguments[0], scope)
    filler = arguments[1]
    if isinstance(filler, Keyword):
        if filler.name not in ("REPEAT", "LINEAR"):
            raise BadExpression(f"FILL cannot fill with {filler.name}")
        fill = _repeated if filler.name == "REPEAT" else _interpolated
        filled = tuple(replace(one, points=fill(one, scope)) for one in _array(value))
    else:
        other = evaluate(filler, scope)
        if isinstance(other, tuple):
            raise BadExpression("FILL cannot fill with an array")
        filled = tuple(
            replace(one, points=_filled_from(one, other, scope)) for one in _array(value)
        )
    return filled[0] if isinstance(value, TimeSeries) else filled


def _filled_from(
    series: TimeSeries, other: float | TimeSeries, scope: Scope
) -> Mapping[int, float]:
    points = {}
    for at in scope.times():
        if at in series.points:
            points[at] = series.points[at]
        elif not isinstance(other, TimeSeries):
            points[at] = other
        elif at in other.points:
            points[at] = other.points[at]
    return points


def _repeated(series: TimeSeries, scope: Scope) -> Mapping[int, float]:
    points: dict[int, float] = {}
    last: float | None = None
    for at in scope.times():
        last = series.points.get(at, last)
        if last is not None:
            points[at] = last
    return points


def _interpolated(series: TimeSeries, scope: Scope) -> Mapping[int, float]:
    times = sorted(series.points)
    points = dict(series.points)
    for before, after in itertools.pairwise(times):
        slope = (series.points[after] - series.points[before]) / (after - before)
        for at in range(before + scope.period, after, scope.period):
            points[at] = series.points[before] + slope * (at - before)
    return points


def _if(arguments: Arguments, scope: Scope) -> Value:
    _arity("IF", arguments, 2, 3)
    condition, *branches = (evaluate(argument, scope) for argument in arguments)
    if isinstance(condition, tuple) or any(isinstance(one, tuple) for one in branches):
        raise BadExpression("IF takes numbers and single time series")
    yes, no = branches[0], branches[1] if len(branches) > 1 else None
    if not isinstance(condition, TimeSeries):
        chosen = yes if condition else no
        return TimeSeries({}) if chosen is None else chosen
    points = {}
    for at, value in condition.points.items():
        chosen = yes if value else no
        if chosen is not None:
            assert not isinstance(chosen, tuple)
            points[at] = _at(chosen, at)
    return TimeSeries(points)


def _metrics(arguments: Arguments, scope: Scope) -> Value:
    _arity("METRICS", arguments, 0, 1)
    if not arguments:
        return tuple(scope.metrics.values())
    wanted = arguments[0]
    if not isinstance(wanted, Text):
        raise BadExpression("METRICS takes a string")
    return tuple(series for id_, series in scope.metrics.items() if wanted.value in id_)


def _metric_count(arguments: Arguments, scope: Scope) -> Value:
    _arity("METRIC_COUNT", arguments, 1, 1)
    return float(len(_array(evaluate(arguments[0], scope))))


def _period(arguments: Arguments, scope: Scope) -> Value:
    _arity("PERIOD", arguments, 1, 1)
    if not isinstance(arguments[0], Reference) or arguments[0].id not in scope.metrics:
        raise BadExpression("PERIOD takes the Id of a metric")
    return float(scope.period)


def _time_series(arguments: Arguments, scope: Scope) -> Value:
    _arity("TIME_SERIES", arguments, 1, 1)
    return TimeSeries(dict.fromkeys(scope.times(), _number(arguments[0], scope)))


def _number(argument: Node, scope: Scope) -> float:
    value = evaluate(argument, scope)
    if isinstance(value, TimeSeries | tuple):
        raise BadExpression("a time series stands where a number should")
    return value


def _end(name: str, index: int) -> Function:
    def call(arguments: Arguments, scope: Scope) -> Value:
        _arity(name, arguments, 1, 1)
        several = _array(evaluate(arguments[0], scope))
        return several[index] if several else TimeSeries({})

    return call


def _slice(arguments: Arguments, scope: Scope) -> Value:
    _arity("SLICE", arguments, 2, 3)
    several = _array(evaluate(arguments[0], scope))
    borders = [int(_number(argument, scope)) for argument in arguments[1:]]
    if min(borders) < 0:
        raise BadExpression("SLICE takes numbers from 0 up")
    return several[slice(*borders)] if len(borders) == 2 else several[borders[0] :]


def _remove_empty(arguments: Arguments, scope: Scope) -> Value:
    _arity("REMOVE_EMPTY", arguments, 1, 1)
    return tuple(one for one in _array(evaluate(arguments[0], scope)) if one.points)


def _sort(arguments: Arguments, scope: Scope) -> Value:
    _arity("SORT", arguments, 3, 4)
    by, order = arguments[1], arguments[2]
    if not isinstance(by, Keyword) or by.name not in _SCALARS:
        raise BadExpression("SORT sorts by AVG, MIN, MAX or SUM")
    if not isinstance(order, Keyword) or order.name not in ("ASC", "DESC"):
        raise BadExpression("SORT sorts ASC or DESC")
    several = sorted(
        _array(evaluate(arguments[0], scope)),
        key=lambda one: _SCALARS[by.name](list(one.points.values()) or [0.0]),
        reverse=order.name == "DESC",
    )
    return tuple(several[: int(_number(arguments[3], scope))] if len(arguments) > 3 else several)


def _band(arguments: Arguments, scope: Scope) -> Value:
    """ANOMALY_DETECTION_BAND: (lower, upper), `deviations` either side of the mean.

    AWS trains a model on up to two weeks. Ours is plain and says so in the guide: the mean and the
    standard deviation of the points before each point, among those that were asked for.
    """
    _arity("ANOMALY_DETECTION_BAND", arguments, 1, 2)
    series = _one(evaluate(arguments[0], scope))
    deviations = _number(arguments[1], scope) if len(arguments) > 1 else 2.0
    lower, upper = {}, {}
    mean, squares = 0.0, 0.0  # Welford's: one pass, and no cancellation
    for before, at in enumerate(sorted(series.points)):
        if before >= 2:
            width = deviations * math.sqrt(squares / before)
            lower[at], upper[at] = mean - width, mean + width
        step = series.points[at] - mean
        mean += step / (before + 1)
        squares += step * (series.points[at] - mean)
    return TimeSeries(lower, "lower"), TimeSeries(upper, "upper")


_SCALARS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "SUM": math.fsum,
    "AVG": statistics.fmean,
    "MIN": min,
    "MAX": max,
}

FUNCTIONS: Mapping[str, Function] = {
    **{name: _reducing(name, reduce) for name, reduce in _SCALARS.items()},
    "STDDEV": _reducing("STDDEV", statistics.pstdev),
    "ABS": _each("ABS", abs),
    "CEIL": _each("CEIL", math.ceil),
    "FLOOR": _each("FLOOR", math.floor),
    "LOG": _each("LOG", math.log),
    "LOG10": _each("LOG10", math.log10),
    "DIFF": _mapping("DIFF", _steps(lambda now, before, _: now - before)),
    "DIFF_TIME": _mapping("DIFF_TIME", _steps(lambda _now, _before, seconds: seconds)),
    "RATE": _mapping("RATE", _steps(lambda now, before, seconds: (now - before) / seconds)),
    "RUNNING_SUM": _mapping("RUNNING_SUM", _running_sum),
    "MINUTE": _mapping("MINUTE", _calendar(lambda moment: moment.minute)),
    "HOUR": _mapping("HOUR", _calendar(lambda moment: moment.hour)),
    "DAY": _mapping("DAY", _calendar(lambda moment: moment.isoweekday())),
    "DATE": _mapping("DATE", _calendar(lambda moment: moment.day)),
    "MONTH": _mapping("MONTH", _calendar(lambda moment: moment.month)),
    "YEAR": _mapping("YEAR", _calendar(lambda moment: moment.year)),
    "EPOCH": _mapping("EPOCH", _calendar(lambda moment: moment.timestamp())),
    "DATAPOINT_COUNT": _datapoint_count,
    "METRIC_COUNT": _metric_count,
    "METRICS": _metrics,
    "PERIOD": _period,
    "FILL": _fill,
    "IF": _if,
    "FIRST": _end("FIRST", 0),
    "LAST": _end("LAST", -1),
    "SLICE": _slice,
    "SORT": _sort,
    "REMOVE_EMPTY": _remove_empty,
    "TIME_SERIES": _time_series,
    "ANOMALY_DETECTION_BAND": _band,
}
"""Those of AWS's functions that ask nothing but time series."""

ELSEWHERE: Mapping[str, str] = {
    "SEARCH": "metrics are queried by name",
    "INSIGHT_RULE_METRIC": "there is no Contributor Insights",
    "DB_PERF_INSIGHTS": "there are no databases to ask",
    "LAMBDA": "there is no Lambda",
    "SERVICE_QUOTA": "there are no service quotas",
}
"""Those that reach out to what is not here, and why they are refused."""
