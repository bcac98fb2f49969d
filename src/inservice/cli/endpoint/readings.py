"""What CloudWatch says of each fleet right now: rate, errors, latency.

Each fleet is told from the other by EndpointConfigName, the dimension that SageMaker publishes for
that, so the new fleet is seen alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_PERIOD_SECONDS: Final = 10
_PERIODS: Final = 3
"""Half a minute: long enough for a rate, short enough to see a new fleet misbehave."""

_STATISTICS: Final = (
    ("Invocations", "Sum"),
    ("InvocationModelErrors", "Sum"),
    ("ModelLatency", "p50"),
    ("ModelLatency", "p99"),
)

Fleet = Mapping[str, Any]
"""One of DescribeDeployment's Fleets."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The last half minute of one fleet; None for what there is no datapoint of."""

    requests_per_second: float
    error_percent: float | None
    latency_ms_p50: float | None
    latency_ms_p99: float | None


def read(cloudwatch: Any, endpoint: str, fleets: Iterable[Fleet]) -> dict[str, Reading]:
    """A reading of each fleet, by its id. Raises botocore's errors."""
    listed = list(fleets)
    end = int(time.time()) // _PERIOD_SECONDS * _PERIOD_SECONDS
    answer = cloudwatch.get_metric_data(
        StartTime=end - _PERIOD_SECONDS * _PERIODS,
        EndTime=end,
        MetricDataQueries=[
            query
            for number, fleet in enumerate(listed)
            for query in _queries(number, endpoint, fleet)
        ],
    )
    values = {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}
    return {
        fleet["FleetId"]: _reading([values.get(f"m{number}_{n}", []) for n in range(4)])
        for number, fleet in enumerate(listed)
    }


def _queries(number: int, endpoint: str, fleet: Fleet) -> list[dict[str, Any]]:
    dimensions = {
        "EndpointName": endpoint,
        "VariantName": fleet["VariantName"],
        "EndpointConfigName": fleet["EndpointConfigName"],
    }
    return [
        {
            "Id": f"m{number}_{n}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": name,
                    "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
                },
                "Period": _PERIOD_SECONDS,
                "Stat": statistic,
            },
        }
        for n, (name, statistic) in enumerate(_STATISTICS)
    ]


def _reading(values: list[list[float]]) -> Reading:
    """The newest value comes first in each list."""
    invocations, errors, p50, p99 = values
    whole = sum(invocations)
    return Reading(
        requests_per_second=whole / (_PERIOD_SECONDS * _PERIODS),
        error_percent=100 * sum(errors) / whole if whole else None,
        latency_ms_p50=p50[0] / 1000 if p50 else None,
        latency_ms_p99=p99[0] / 1000 if p99 else None,
    )
