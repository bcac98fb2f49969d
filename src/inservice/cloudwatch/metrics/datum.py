"""What one member of PutMetricData says was seen: a value, values with counts, or a statistic set.

The rules and their sentences are those of AWS's service, of which its model says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inservice.cloudwatch.alarms.errors import BadCombination, BadValue, MissingValue
from inservice.cloudwatch.metrics.aggregates import Aggregate, is_acceptable

VALUES_MAX = 150

_WAYS = ("Value", "Values", "StatisticValues")


def aggregate_of(datum: Mapping[str, Any], member: str) -> Aggregate:
    """What a MetricDatum counts as; `member` is where it stands: MetricData.member.1.

    An empty list is a member that was not given: clients in Go and Java send those. Raises
    BadCombination, BadValue and MissingValue.
    """
    ways = [way for way in _WAYS if datum.get(way) not in (None, [])]
    if len(ways) > 1:
        raise BadCombination(
            f"The parameters {member}.{ways[0]} and {member}.{ways[1]} are mutually exclusive and "
            "you have specified both."
        )
    if not ways:
        raise MissingValue(
            f"At least one of the parameters {member}.Value, {member}.Values or "
            f"{member}.StatisticValues must be specified."
        )
    if datum.get("Counts") and ways != ["Values"]:
        raise BadCombination(f"The parameter {member}.Counts needs {member}.Values.")
    if ways == ["StatisticValues"]:
        return _statistic_set(datum["StatisticValues"], f"{member}.StatisticValues")
    if ways == ["Value"]:
        _check([datum["Value"]], f"{member}.Value")
        return Aggregate.of(datum["Value"], 1.0)
    return _values(datum["Values"], datum.get("Counts") or [1.0] * len(datum["Values"]), member)


def _values(values: Sequence[float], counts: Sequence[float], member: str) -> Aggregate:
    if len(values) > VALUES_MAX:
        raise BadValue(
            f"The collection {member}.Values must not have a size greater than {VALUES_MAX}."
        )
    if len(counts) != len(values):
        raise BadValue(
            f"The parameters {member}.Values and {member}.Counts must be of the same size."
        )
    _check(values, f"{member}.Values")
    _check(counts, f"{member}.Counts", least=0.0)
    whole = Aggregate.zero()
    for value, count in zip(values, counts, strict=True):
        whole.merge(Aggregate.of(value, count))
    return whole


def _statistic_set(given: Mapping[str, float], member: str) -> Aggregate:
    for name in ("SampleCount", "Sum", "Minimum", "Maximum"):
        _check([given[name]], f"{member}.{name}")
    count, total = given["SampleCount"], given["Sum"]
    lowest, highest = given["Minimum"], given["Maximum"]
    if count <= 0:
        raise BadValue(f"The parameter {member}.SampleCount must be greater than 0.")
    if lowest > highest:
        raise BadValue(f"The parameter {member}.Maximum must be greater than {member}.Minimum.")
    if lowest == highest:
        return Aggregate.of(lowest, count)
    return Aggregate(count, total, lowest, highest)


def _check(numbers: Sequence[float], member: str, least: float | None = None) -> None:
    """Raises BadValue for what is not from -2**360 to 2**360, which NaN is not."""
    for number in numbers:
        if not is_acceptable(number) or (least is not None and number < least):
            raise BadValue(f"The value {_java(number)} for parameter {member} is invalid.")


def _java(number: float) -> str:
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(number), str(number))
