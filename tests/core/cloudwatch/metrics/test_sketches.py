"""Sketches and statistics, against the exact answer over all values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import bin_of, middle_of
from inservice.cloudwatch.metrics.statistics import BadStatistic, parse

VALUES = st.lists(st.floats(0.001, 1e9), min_size=1, max_size=60)


def seen(values: list[float]) -> Aggregate:
    aggregate = Aggregate.zero()
    for value in values:
        aggregate.merge(Aggregate.of(value))
    return aggregate


def close(got: float | None, exact: float) -> bool:
    return got is not None and math.isclose(got, exact, rel_tol=0.0101, abs_tol=1e-9)


@given(st.floats(1e-100, 1e100))
def test_the_middle_of_a_bin_is_within_one_percent(value: float) -> None:
    assert close(middle_of(bin_of(value)), value)


@given(VALUES, st.sampled_from([1, 10, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_within_one_percent_of_the_exact_one(
    values: list[float], percent: float
) -> None:
    exact = sorted(values)[math.ceil(round(percent / 100 * len(values), 9)) - 1]
    assert close(parse(f"p{percent}").compute(seen(values)), exact)


@given(VALUES, VALUES)
def test_merging_two_is_seeing_both(first: list[float], second: list[float]) -> None:
    merged = seen(first)
    merged.merge(seen(second))
    both = seen(first + second)
    assert merged.bins == both.bins
    assert (merged.count, merged.lowest, merged.highest) == (
        both.count,
        both.lowest,
        both.highest,
    )
    assert math.isclose(merged.total, both.total)


@given(VALUES)
def test_an_aggregate_survives_storage(values: list[float]) -> None:
    aggregate = seen(values)
    assert Aggregate.from_row(aggregate.row()).row() == aggregate.row()


TEN = [float(n) for n in range(1, 11)]


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("SampleCount", 10),
        ("Sum", 55),
        ("Average", 5.5),
        ("Minimum", 1),
        ("Maximum", 10),
        ("p50", 5),
        ("p100", 10),
        ("tm90", 5),  # 1 … 9
        ("TM(:90%)", 5),
        ("TM(10%:90%)", 5.5),  # 2 … 9
        ("TM(20%:)", 6.5),  # 3 … 10
        ("TM(2:8)", 5.5),  # 3 … 8: the lower border is outside
        ("IQM", 5.5),  # half of 3, 4 … 7, half of 8
        ("tc90", 9),
        ("TC(2:8)", 6),
        ("ts90", 45),
        ("TS(80%:)", 19),  # 9 + 10
        ("wm80", 5.2),  # 9 and 10 count as 8
        ("WM(10%:90%)", 5.4),  # 10 counts as 9; the 10 % border is 1
        ("WM(3:7)", 5.2),
        ("PR(:3)", 30),
        ("PR(5:)", 50),
        ("PR(2:8)", 60),
    ],
)
def test_every_statistic_as_aws_defines_it(name: str, exact: float) -> None:
    assert close(parse(name).compute(seen(TEN)), exact)


@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "p",
        "p101",
        "p-1",
        "pp9",
        "P99",
        "tm",
        "TM()",
        "TM(:)",
        "TM(10%:90)",
        "TM(90%:10%)",
        "TM(10%:101%)",
        "TM(%:90%)",
        "tm(10%:90%)",
        "PR(10%:90%)",
        "Median",
        "p9٩",
        "",
    ],
)
def test_what_is_no_statistic(name: str) -> None:
    with pytest.raises(BadStatistic):
        parse(name)


def test_a_zero_is_a_datapoint_and_does_not_thin_out_an_average() -> None:
    nothing = Aggregate.zero()
    assert [parse(name).compute(nothing) for name in ("Sum", "Average", "SampleCount")] == [0, 0, 0]
    assert parse("p99").compute(nothing) is None
    nothing.merge(Aggregate.of(5.0))
    nothing.merge(Aggregate.zero())
    assert (parse("Average").compute(nothing), nothing.lowest) == (5.0, 5.0)


def test_negative_values_have_no_percentiles_but_everything_else() -> None:
    mixed = seen([1.0])
    mixed.merge(Aggregate.of(-3.0))
    assert parse("p50").compute(mixed) is None
    assert parse("TM(10%:90%)").compute(mixed) is None
    assert (parse("Sum").compute(mixed), parse("Minimum").compute(mixed)) == (-2.0, -3.0)


def test_zero_values_count_in_percentiles() -> None:
    assert parse("p50").compute(seen([0.0, 0.0, 0.0, 8.0])) == 0.0
    assert close(parse("p99").compute(seen([0.0, 0.0, 0.0, 8.0])), 8.0)
