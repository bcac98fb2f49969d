"""What CloudWatch's operations touch: alarms and dashboards, by ARN; metrics have none.

As in AWS's service authorization reference: what reads or writes metrics is asked for `*`, and a
policy narrows PutMetricData by `cloudwatch:namespace` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from inservice.operations.cloudwatch.alarm_selection import find
from inservice.operations.registry import Call, Document, Touch
from inservice.operations.touches import ANY, tags_given, texts
from inservice.partitions import partition_of


def _alarm_arn(call: Call, name: str) -> str:
    partition = partition_of(call.region)
    return f"arn:{partition}:cloudwatch:{call.region}:{call.account}:alarm:{name}"


def _alarm(call: Call, name: str, keys: Mapping[str, tuple[str, ...]] | None = None) -> Touch:
    return Touch(_alarm_arn(call, name), keys=keys or {}, tags=_tags_of(call, name))


def _tags_of(call: Call, name: str) -> Callable[[], Mapping[str, str]]:
    def read() -> Mapping[str, str]:
        with call.store.reading() as records:
            record = find(records, call, name)
        return {} if record is None else record.tags

    return read


def alarm(call: Call, members: Document) -> Iterable[Touch]:
    """That of `AlarmName`; any at all where a read names none."""
    yield _alarm(call, members.get("AlarmName") or ANY)


def new_alarm(call: Call, members: Document) -> Iterable[Touch]:
    """That which is put, with what it will do. Its tags count from its first moment."""
    actions = texts(
        action
        for member in ("OKActions", "AlarmActions", "InsufficientDataActions")
        for action in members.get(member) or ()
    )
    touch = _alarm(
        call, members["AlarmName"], {"cloudwatch:alarmactions": actions} if actions else None
    )
    given, there = tags_given(members), touch.tags
    assert there is not None
    yield Touch(touch.arn, keys=touch.keys, tags=lambda: there() or given)
    if given:
        yield Touch(touch.arn, "cloudwatch:TagResource", tags=there)


def alarms(call: Call, members: Document) -> Iterable[Touch]:
    """Those of `AlarmNames`; any at all where a read names none."""
    return (_alarm(call, name) for name in members.get("AlarmNames") or (ANY,))


def resource(call: Call, members: Document) -> Iterable[Touch]:
    """What `ResourceARN` names."""
    arn = members["ResourceARN"]
    ours = arn.startswith(_alarm_arn(call, ""))
    yield Touch(arn, tags=_tags_of(call, arn.split(":", 6)[6]) if ours else None)


def namespace(call: Call, members: Document) -> Iterable[Touch]:  # noqa: ARG001 - a part's shape
    """Where the data points go."""
    yield Touch(ANY, keys={"cloudwatch:namespace": members["Namespace"]})


def dashboard_arn(call: Call, name: str) -> str:
    """Dashboards are of an account and not of a region."""
    return f"arn:{partition_of(call.region)}:cloudwatch::{call.account}:dashboard/{name}"


def dashboard(call: Call, members: Document) -> Iterable[Touch]:
    """That of `DashboardName`."""
    yield Touch(dashboard_arn(call, members["DashboardName"]))


def dashboards(call: Call, members: Document) -> Iterable[Touch]:
    """Those of `DashboardNames`."""
    return (Touch(dashboard_arn(call, name)) for name in members.get("DashboardNames") or ())
