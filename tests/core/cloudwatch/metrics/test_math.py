"""Metric math: the examples of CloudWatch's guide, and a rival as oracle for plain arithmetic."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.cloudwatch.metrics.expressions import BadExpression, parse, references
from inservice.cloudwatch.metrics.math import Scope, TimeSeries, Value, evaluate

START, PERIOD = 1_795_435_200, 60


def series(*values: float | None) -> TimeSeries:
    """`None` is a missing point."""
    points = {START + PERIOD * n: v for n, v in enumerate(values) if v is not None}
    return TimeSeries({at: float(value) for at, value in points.items()})


def run(text: str, **results: TimeSeries) -> Value:
    times = [at for one in results.values() for at in one.points]
    end = max(times, default=START) + PERIOD
    return evaluate(parse(text), Scope(results, results, START, end, PERIOD))


def shown(value: Value) -> Any:
    """A series as a list with None for what is missing."""
    if isinstance(value, TimeSeries):
        last = max(value.points, default=START - PERIOD)
        return [value.points.get(at) for at in range(START, last + PERIOD, PERIOD)]
    return [shown(one) for one in value] if isinstance(value, tuple) else value


def test_the_guide_s_table_of_comparisons() -> None:
    """metric1 is 30, 20, 0, 0 and metric2 is 20, -, 20, -."""
    both = {"m1": series(30, 20, 0, 0), "m2": series(20, None, 20, None)}
    assert shown(run("m1 < m2", **both)) == [0, 0, 1, 0]
    assert shown(run("(m1 >= 30)", **both)) == [1, 0, 0, 0]
    assert shown(run("m1 > 15 AND m2 > 15", **both)) == [1, 0, 0, 0]


ERRORS, ALL = series(1, None, 3, 0), series(10, 10, None, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e / a", [0.1, 0.0]),  # 3/0 and 0/0 are dropped
        ("e + a", [11, 10, 3, 0]),  # missing counts as 0
        ("-e", [-1, None, -3, 0]),
        ("2 ^ 3 ^ 2 * e", [512, None, 1536, 0]),
        ("100 * e / 4 - 1", [24, None, 74, -1]),
        ("SUM(METRICS())", [11, 10, 3, 0]),
        ("SUM([e, a]) / DATAPOINT_COUNT([e, a])", [5.5, 10, 3, 0]),
        ('AVG(METRICS("a"))', [10, 10, None, 0]),
        ("MAX([e, a])", [10, 10, 3, 0]),
        ("MIN([e, a])", [1, 0, 0, 0]),
        ("e - MIN(e)", [1, None, 3, 0]),
        ("e / MAX(e)", [1 / 3, None, 1, 0]),
        ("e - AVG(e)", [1 - 4 / 3, None, 3 - 4 / 3, -4 / 3]),
        ("STDDEV([e, a])", [4.5, 5, 1.5, 0]),
        ("FILL(e, 7)", [1, 7, 3, 0]),
        ("FILL(e, a)", [1, 10, 3, 0]),
        ("FILL(e, REPEAT)", [1, 1, 3, 0]),
        ("FILL(e, LINEAR)", [1, 2, 3, 0]),
        ("RATE(a)", [None, 0, None, -10 / 120]),
        ("DIFF(a)", [None, 0, None, -10]),
        ("DIFF_TIME(a)", [None, 60, None, 120]),
        ("RUNNING_SUM(e)", [1, None, 4, 4]),
        ("IF(e > 0, 1, 0)", [1, None, 1, 0]),
        ("IF(e > 0, a)", [10, None, 0]),  # true and missing is 0, false without a branch is dropped
        ("IF(e, a, 5)", [10, None, 0, 5]),
        ("IF(1 > 2, e, a)", [10, 10, None, 0]),
        ("ABS(-e)", [1, None, 3, 0]),
        ("CEIL(e / 2)", [1, None, 2, 0]),
        ("FLOOR(e / 2)", [0, None, 1, 0]),
        ("LOG10(a)", [1, 1]),  # the logarithm of 0 is dropped
        ("e / PERIOD(e)", [1 / 60, None, 0.05, 0]),
        ("TIME_SERIES(3)", [3, 3, 3, 3]),
        ("e * METRIC_COUNT(METRICS())", [2, None, 6, 0]),
        ("FIRST(SORT(METRICS(), SUM, DESC))", [10, 10, None, 0]),
        ("LAST(SORT(METRICS(), AVG, DESC))", [1, None, 3, 0]),
        ("SUM(SLICE(SORT(METRICS(), MAX, ASC), 0, 1))", [1, None, 3, 0]),
        ("MINUTE(e)", [0, 1, 2, 3]),
        ("DAY(e)", [1, 1, 1, 1]),
        ("EPOCH(e) - 1795435200", [0, 60, 120, 180]),
        ("METRICS() * 2", [[2, None, 6, 0], [20, 20, None, 0]]),
        ("REMOVE_EMPTY([e, IF(e < 0, e)])", [[1, None, 3, 0]]),
    ],
)
def test_functions(text: str, expected: Any) -> None:
    got = shown(run(text, e=ERRORS, a=ALL))
    assert got == pytest.approx(expected) if _flat(expected) else got == expected


def _flat(expected: Any) -> bool:
    return isinstance(expected, list) and not any(
        e is None or isinstance(e, list) for e in expected
    )


NUMBERS = st.integers(0, 9).map(str)
FORMULAS = st.recursive(
    st.one_of(NUMBERS, st.just("m")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(inner, st.sampled_from("+-*"), inner).map(" ".join),
        inner.map(lambda one: f"(-{one})"),
    ),
    max_leaves=15,
)


@given(FORMULAS, st.integers(-9, 9))
def test_arithmetic_is_python_s(formula: str, value: int) -> None:
    text = f"({formula}) + m"
    try:
        expected = [float(eval(text, {"m": value}))]
    except ZeroDivisionError:
        expected = []
    try:
        got = shown(run(text, m=series(value)))
    except BadExpression:  # two numbers, one of them zero: an error, not a dropped point
        assert expected == []
        return
    if expected:
        assert math.isclose(got[0], expected[0], rel_tol=1e-9, abs_tol=1e-9)
    # A division of a series by zero drops the point, which then counts as 0: `m/0 + 1` is 1 only
    # where the other series has a point, so nothing more can be said here.


def test_a_band_widens_with_what_was_seen() -> None:
    steady = series(*[10.0, 12.0] * 10, 50.0)
    lower, upper = run("ANOMALY_DETECTION_BAND(m, 2)", m=steady)  # type: ignore[misc]
    last = START + PERIOD * 20
    assert lower.points[last] == pytest.approx(9.0)
    assert upper.points[last] == pytest.approx(13.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m +",
        "(m",
        "m)",
        "[m, ",
        "SUM(m",
        "SUM()",
        "SUM(1)",
        "Nonsense",
        "SUM",
        "NOSUCH(m)",
        "SEARCH('{n,m}', 'Sum')",
        "unknown + 1",
        "FILL(m)",
        "FILL(m, AVG)",
        "RATE(m, m)",
        "IF(m)",
        "METRICS(1)",
        "[m] + [m]",
        "PERIOD(1)",
        "PERIOD(RATE(m))",
        "SORT([m], STDDEV, ASC)",
        "SORT([m], AVG, UP)",
        "SLICE([m], -1)",
        "'text'",
        "1 / 0",
        "m $ 2",
        "(" * 1000 + "m",
        "-" * 1000 + "m",
        "SUM([" * 400,
        "+".join(["m"] * 400),
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(BadExpression):
        run(text, m=series(1, 2))


def test_references() -> None:
    assert set(references(parse("IF(a > 1, SUM([b, c]), FILL(d, 0))"))) == {"a", "b", "c", "d"}
