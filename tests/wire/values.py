"""Values of any shape, for hypothesis: right in type, indifferent to constraints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from hypothesis import strategies as st

from inservice.api import models
from inservice.aws.service_model import Service, load

HOSTING = (
    *(
        f"{verb}{noun}"
        for verb in ("Create", "Describe", "Delete")
        for noun in ("Model", "Endpoint")
    ),
    *(f"{verb}EndpointConfig" for verb in ("Create", "Describe", "Delete")),
    "ListModels",
    "ListEndpointConfigs",
    "ListEndpoints",
    "UpdateEndpoint",
    "UpdateEndpointWeightsAndCapacities",
    "AddTags",
    "ListTags",
    "DeleteTags",
    "CreateInferenceComponent",
    "DescribeInferenceComponent",
    "UpdateInferenceComponent",
    "UpdateInferenceComponentRuntimeConfig",
    "ListInferenceComponents",
    "DeleteInferenceComponent",
)
"""SageMaker's operations about hosting."""

ALARMS_AND_METRICS = (
    "PutMetricData",
    "GetMetricData",
    "GetMetricStatistics",
    "ListMetrics",
    "PutMetricAlarm",
    "PutCompositeAlarm",
    "DescribeAlarms",
    "DescribeAlarmsForMetric",
    "DescribeAlarmHistory",
    "SetAlarmState",
    "EnableAlarmActions",
    "DeleteAlarms",
    "TagResource",
    "ListTagsForResource",
)
"""CloudWatch's operations that an endpoint's alarms need."""


@cache
def theirs(service: str) -> ServiceModel:
    """botocore's own view of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def ours(service: str) -> Service:
    """Ours of the same."""
    return load(service) if service != models.OWN else models.load(service)


# XML cannot carry most control characters; everything else must come through every protocol.
_TEXT = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\n\t<>&'\""),
    max_size=12,
)
_MOMENTS = st.integers(0, 4_102_444_800_000).map(
    lambda ms: datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
_SCALARS: Mapping[str, st.SearchStrategy[Any]] = {
    "string": _TEXT,
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": _FLOATS,
    "double": _FLOATS,
    "timestamp": _MOMENTS,
    "blob": st.binary(max_size=12),
}


@st.composite
def values(draw: st.DrawFn, shape: Shape, *, empty: bool = True) -> Any:
    """Values of a shape. Without `empty`, no empty structures and maps: query cannot send them."""
    return draw(_values(shape, empty, 0))


def _values(shape: Any, empty: bool, depth: int) -> st.SearchStrategy[Any]:
    if shape.type_name == "structure":
        members = {
            name: _values(member, empty, depth + 1)
            for name, member in shape.members.items()
            if depth < 8 and (empty or getattr(member, "members", True))
        }
        if getattr(shape, "is_tagged_union", False):
            return st.one_of(
                [st.fixed_dictionaries({name: value}) for name, value in members.items()]
            )
        needed = dict(list(members.items())[:1]) if depth and not empty else {}
        optional = {name: value for name, value in members.items() if name not in needed}
        return st.fixed_dictionaries(needed, optional=optional)
    if shape.type_name == "list":
        return st.lists(_values(shape.member, empty, depth + 1), max_size=2)
    if shape.type_name == "map":
        least = 0 if empty else 1
        element = _values(shape.value, empty, depth + 1)
        return st.dictionaries(_TEXT, element, min_size=least, max_size=2)
    return _SCALARS[shape.type_name]


def as_seconds(value: Any) -> Any:
    """A tree of values with every moment in epoch seconds, as operations see them."""
    match value:
        case datetime():
            return value.timestamp()
        case dict():
            return {key: as_seconds(item) for key, item in value.items()}
        case list():
            return [as_seconds(item) for item in value]
        case _:
            return value
