"""`cloudwatch put-metric-data` with options for one datum: --metric-name, --value and others.

The operation takes a list of structures. AWS CLI lets its first element be written as plain
options, and so does this. The two forms are not mixed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from botocore.model import Shape

from inservice.cli.aws.failures import Refused
from inservice.cli.aws.option_kinds import MemberOption, Option
from inservice.cli.aws.parsing import Parser

_ONE_DATUM: Final = {
    "metric-name": ("MetricName", "The name of the metric."),
    "timestamp": ("Timestamp", "When it was measured; the time of receipt when left out."),
    "unit": ("Unit", "The unit of the metric."),
    "value": ("Value", "The value."),
    "dimensions": ("Dimensions", "Name=value pairs: InstanceID=1-23456789,InstanceType=m1.small"),
    "statistic-values": ("StatisticValues", "Sum=…,Minimum=…,Maximum=…,SampleCount=…"),
    "storage-resolution": ("StorageResolution", "1 for a high-resolution metric, else 60."),
}


@dataclass(frozen=True, slots=True)
class DatumOption:
    """One member of the only element of MetricData."""

    name: str
    member: str
    documentation: str
    required: bool = False
    hidden: bool = False
    shape: Shape | None = None

    @property
    def dest(self) -> str:
        return self.name.replace("-", "_")

    def declare(self, parser: Parser, *, required: bool) -> None:
        parser.add_argument(f"--{self.name}", required=required)

    def apply(self, parameters: dict[str, Any], value: Any) -> None:
        datum = parameters.setdefault("MetricData", [{}])[0]
        datum[self.member] = _meaning(self.member, value)


def add_metric_options(table: dict[str, Option]) -> None:
    """Add the options of one datum, and let --metric-data be left out."""
    whole = table["metric-data"]
    assert isinstance(whole, MemberOption)
    table["metric-data"] = replace(whole, required=False)
    for name, (member, text) in _ONE_DATUM.items():
        table[name] = DatumOption(name, member, f"<p>{text}</p>")


def check_one_form(given: Mapping[str, Any]) -> None:
    """Refuse --metric-data together with the options of one datum."""
    single = [name.replace("-", "_") for name in _ONE_DATUM]
    used = [name for name in given if name in single or name == "metric_data"]
    if "metric_data" in used and len(used) > 1:
        first, *others = used
        group = ["metric_data"] if first == "metric_data" else single
        later = next(name for name in others if name not in group)
        raise Refused(
            f'The key "{later}" cannot be specified when one of the following keys are also '
            f"specified: {', '.join(group)}"
        )


def _meaning(member: str, value: str) -> Any:
    # Decimal, since a float would change the digits that were typed.
    if member == "Value":
        return Decimal(value)
    if member == "Dimensions":
        return [{"Name": key, "Value": text} for key, text in _pairs(value)]
    if member == "StatisticValues":
        return {key: Decimal(text) for key, text in _pairs(value)}
    if member == "StorageResolution":
        return int(value)
    return value


def _pairs(text: str) -> list[tuple[str, str]]:
    """`a=1,b="2,3"` as pairs. Raises ValueError for a part without exactly one `=`."""
    pairs = []
    for part in next(csv.reader([text], escapechar="\\")):
        key, value = part.split("=")
        pairs.append((key, value))
    return pairs
