"""PutMetricAlarm and PutCompositeAlarm: a request, checked, becomes an alarm.

What the model itself says (lengths, enums, minima) was checked before; here are the rules that tie
fields together. A field that InService cannot honour is refused by name. Whether a statistic or an
expression can be read is asked of whoever computes them: the `readable` arguments.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inservice.cloudwatch.alarms.alarm import (
    COMPARISONS,
    AlarmState,
    CompositeAlarm,
    MetricAlarm,
    Missing,
    WarmUp,
)
from inservice.cloudwatch.alarms.composite import alarm_name, parse
from inservice.cloudwatch.alarms.errors import AlarmRefused
from inservice.cloudwatch.metrics.expressions import QUERY_ID
from inservice.errors import NotImplementedYet
from inservice.values import Document, Instant

SHORT_PERIODS = (10, 20, 30)
DAY = 86_400
WALL_CLOCK_PERIODS = (60, 300, 3_600, DAY, 7 * DAY)
QUERIES_EACH_MAX = 10
"""Of MetricStats, and again of Expressions, in one alarm."""

REFUSED = {
    "EvaluationCriteria": "PromQL is not evaluated; use MetricName or Metrics",
    "EvaluationInterval": "it belongs to EvaluationCriteria",
    "ActionConfiguration": "tags are not propagated to actions",
}
STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
"""What Statistic may be. All others are extended."""

SINGLE_METRIC = (
    "Namespace",
    "MetricName",
    "Dimensions",
    "Period",
    "Unit",
    "Statistic",
    "ExtendedStatistic",
)

_OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{2}):(?P<minutes>\d{2})")
_ZONE = re.compile(r"[A-Z][A-Za-z_+-]*(?:/[A-Za-z0-9_+-]+)+")
"""What may be a name of the zone database: Europe/Berlin."""


def metric_alarm(
    document: Document,
    *,
    created_at: Instant,
    state: AlarmState,
    readable_statistic: Callable[[str], None],
    readable_queries: Callable[[Sequence[Document]], None],
) -> MetricAlarm:
    """The alarm that a PutMetricAlarm request asks for.

    Raises AlarmRefused, and NotImplementedYet for what only AWS has.
    """
    _check_name(document["AlarmName"])
    _refuse_unsupported(document, REFUSED)
    if ("MetricName" in document) == ("Metrics" in document):
        raise AlarmRefused("Exactly one of MetricName and Metrics must be given")
    wanted = _needed(document, "EvaluationPeriods")
    comparison = _needed(document, "ComparisonOperator")
    if "Metrics" in document:
        if both := [name for name in SINGLE_METRIC if name in document]:
            raise AlarmRefused(f"{both[0]} cannot be given together with Metrics")
        period = _queries_period(document["Metrics"])
        watched(document)
        statistic = ""
        readable_queries(document["Metrics"])
    else:
        _needed(document, "Namespace")
        period = _needed(document, "Period")
        statistic = _statistic(document)
        readable_statistic(statistic)
    _check_span(period, wanted)
    needed = document.get("DatapointsToAlarm", wanted)
    if needed > wanted:
        raise AlarmRefused("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
    return MetricAlarm(
        name=document["AlarmName"],
        period_seconds=period,
        evaluation_periods=wanted,
        datapoints_to_alarm=needed,
        comparison=comparison,
        threshold=_threshold(document, comparison),
        missing=_missing(document),
        statistic=statistic,
        unit=document.get("Unit", ""),
        ignores_low_samples=_ignores_low_samples(document, statistic),
        wall_clock_offset=_wall_clock(document, period),
        warm_up=_warm_up(document, created_at),
        state=state,
    )


def composite_alarm(document: Document, *, state: AlarmState) -> CompositeAlarm:
    """The alarm that a PutCompositeAlarm request asks for.

    Raises AlarmRefused, and NotImplementedYet for what only AWS has.
    """
    _check_name(document["AlarmName"])
    _refuse_unsupported(document, {"ActionConfiguration": REFUSED["ActionConfiguration"]})
    parse(document["AlarmRule"])
    suppressor = alarm_name(document.get("ActionsSuppressor", ""))
    periods = ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
    given = [name for name in periods if name in document]
    if suppressor and len(given) < 2:
        raise AlarmRefused(f"ActionsSuppressor needs {' and '.join(periods)}")
    if given and not suppressor:
        raise AlarmRefused(f"{given[0]} needs ActionsSuppressor")
    if any(document[name] < 0 for name in given):
        raise AlarmRefused("A suppressor's period must not be negative")
    return CompositeAlarm(
        name=document["AlarmName"],
        rule=document["AlarmRule"],
        suppressor=suppressor,
        wait_seconds=document.get(periods[0], 0),
        extension_seconds=document.get(periods[1], 0),
        state=state,
    )


def watched(document: Document) -> Document:
    """Of an alarm's queries the one it watches: the only one with ReturnData, which defaults to
    true, beside the band that is its threshold. Raises AlarmRefused when there is not exactly one.
    """
    band = document.get("ThresholdMetricId")
    returned: list[Document] = [
        query
        for query in document["Metrics"]
        if query.get("ReturnData", True) and query["Id"] != band
    ]
    if len(returned) != 1:
        raise AlarmRefused("Exactly one element of Metrics must have ReturnData true")
    return returned[0]


def _check_name(name: str) -> None:
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        raise AlarmRefused("AlarmName must not contain ASCII control characters")


def _refuse_unsupported(document: Document, reasons: Mapping[str, str]) -> None:
    for name, reason in reasons.items():
        if name in document:
            raise NotImplementedYet(f"'{name}'", reason)


def _needed(document: Document, name: str) -> Any:
    if name not in document:
        raise AlarmRefused(f"The parameter {name} is required")
    return document[name]


def _statistic(document: Document) -> str:
    if ("Statistic" in document) == ("ExtendedStatistic" in document):
        raise AlarmRefused("Exactly one of Statistic and ExtendedStatistic must be given")
    name: str = document.get("Statistic") or document["ExtendedStatistic"]
    if "ExtendedStatistic" in document and name in STATISTICS:
        raise AlarmRefused(f"ExtendedStatistic must not be {name}: it is a Statistic")
    return name


def _queries_period(queries: Sequence[Document]) -> int:
    for query in queries:
        if ("MetricStat" in query) == ("Expression" in query):
            raise AlarmRefused(
                f"Metrics element {query['Id']} needs exactly one of MetricStat and Expression"
            )
        if "AccountId" in query:
            raise NotImplementedYet("'Metrics.AccountId'", "metrics of other accounts are not read")
        if not QUERY_ID.fullmatch(query["Id"]):
            raise AlarmRefused(f"The Id '{query['Id']}' must start with a lowercase letter")
    if len({query["Id"] for query in queries}) < len(queries):
        raise AlarmRefused("The Ids in Metrics must be unique")
    stats = [query["MetricStat"] for query in queries if "MetricStat" in query]
    if max(len(stats), len(queries) - len(stats)) > QUERIES_EACH_MAX:
        raise AlarmRefused(
            f"Metrics may contain {QUERIES_EACH_MAX} MetricStats and {QUERIES_EACH_MAX} Expressions"
        )
    periods = {stat["Period"] for stat in stats}
    periods |= {query["Period"] for query in queries if "Period" in query}
    if len(periods) != 1:
        raise AlarmRefused("Every element of Metrics must use the same Period")
    return int(periods.pop())


def _check_span(period: int, wanted: int) -> None:
    if period not in SHORT_PERIODS and (period < 60 or period % 60):
        raise AlarmRefused("Period must be 10, 20, 30 or a multiple of 60")
    if period < 3_600 and period * wanted > DAY:
        raise AlarmRefused(
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be "
            "<= 86400) unless Period is at least an hour"
        )
    if period * wanted > 7 * DAY:
        raise AlarmRefused("EvaluationPeriods * Period must be <= 604800: seven days")


def _threshold(document: Document, comparison: str) -> float | None:
    if COMPARISONS[comparison].needs_band:
        band = _needed(document, "ThresholdMetricId")
        expressions = {
            query["Id"]: query.get("Expression", "") for query in document.get("Metrics", ())
        }
        if not expressions.get(band, "").lstrip().startswith("ANOMALY_DETECTION_BAND"):
            raise AlarmRefused("ThresholdMetricId must be the Id of an ANOMALY_DETECTION_BAND")
        if "Threshold" in document:
            raise AlarmRefused("Threshold cannot be given together with ThresholdMetricId")
        return None
    if "ThresholdMetricId" in document:
        raise AlarmRefused(f"ThresholdMetricId cannot be used with {comparison}")
    threshold = float(_needed(document, "Threshold"))
    if not math.isfinite(threshold):
        raise AlarmRefused(f"Threshold must be a number, not {threshold}")
    return threshold


def _missing(document: Document) -> Missing:
    word = document.get("TreatMissingData", Missing.MISSING)
    if word not in list(Missing):
        raise AlarmRefused(f"TreatMissingData must be one of {', '.join(Missing)}, not {word}")
    return Missing(word)


def _ignores_low_samples(document: Document, statistic: str) -> bool:
    word = document.get("EvaluateLowSampleCountPercentile")
    if word not in (None, "evaluate", "ignore"):
        raise AlarmRefused("EvaluateLowSampleCountPercentile must be evaluate or ignore")
    if word and not re.fullmatch(r"p[0-9.]+", statistic):
        raise AlarmRefused("EvaluateLowSampleCountPercentile is for percentiles only")
    return word == "ignore"


def _wall_clock(document: Document, period: int) -> int | None:
    asked = document.get("EvaluationWindow", {}).get("WallClockWindow")
    if asked is None:
        return None
    if period not in WALL_CLOCK_PERIODS:
        periods = ", ".join(map(str, WALL_CLOCK_PERIODS))
        raise AlarmRefused(f"A WallClockWindow supports the periods {periods}, not {period}")
    zone = asked.get("Timezone", "UTC")
    if zone in ("UTC", "GMT", "Z", "Etc/UTC"):
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is None and _ZONE.fullmatch(zone):
        raise NotImplementedYet(
            f"the value '{zone}' at 'EvaluationWindow.WallClockWindow.Timezone'",
            "zones with daylight saving time are not followed; give UTC or an offset like +05:30",
        )
    if match is None or int(match["minutes"]) % 5 or int(match["minutes"]) > 59:
        raise AlarmRefused(f"Timezone '{zone}' must be UTC or an offset such as +05:30")
    seconds = int(match["hours"]) * 3_600 + int(match["minutes"]) * 60
    return seconds if match["sign"] == "+" else -seconds


def _warm_up(document: Document, created_at: Instant) -> WarmUp | None:
    asked = document.get("WarmUpConfiguration")
    if asked is None:
        return None
    return WarmUp(
        until=created_at + asked["WarmUpPeriodDurationInMinutes"] * 60,
        wait_it_out=asked.get("OnlyStartEvaluatingAfterWarmUpPeriodEnds", False),
    )
