"""What CloudWatch Logs' operations touch: groups and streams.

AWS asks for a stream also where the operation is about its group, with an empty name. So a policy
for a group's events ends in `:*`, as the ARN does that DescribeLogGroups shows; tags alone are
asked for the group itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from inservice.operations.logs.places import arn_of, key_of, name_of
from inservice.operations.registry import Call, Document, Touch
from inservice.operations.touches import tags_given


def _touch(call: Call, group: str, stream: str = "", action: str = "") -> Touch:
    arn = f"{arn_of(call, group)}:log-stream:{stream}"
    return Touch(arn, action, tags=_tags_of(call, group) if group else None)


def _tags_of(call: Call, group: str) -> Callable[[], Mapping[str, str]]:
    def read() -> Mapping[str, str]:
        with call.store.reading() as records:
            record = records.client_logs.group(key_of(call, group))
        return {} if record is None or record.tags is None else record.tags

    return read


def _group(members: Document) -> str:
    return members.get("logGroupName") or name_of(members.get("logGroupIdentifier") or "")


def group(call: Call, members: Document) -> Iterable[Touch]:
    """That of `logGroupName` or `logGroupIdentifier`."""
    yield _touch(call, _group(members))


def groups(call: Call, members: Document) -> Iterable[Touch]:
    """Those of `logGroupIdentifiers`; all of them where none are named."""
    named = members.get("logGroupIdentifiers") or ("",)
    return (_touch(call, name_of(identifier)) for identifier in named)


def new_group(call: Call, members: Document) -> Iterable[Touch]:
    """That which is made. Its tags want a permission of their own, as everywhere."""
    name = members["logGroupName"]
    given = tags_given(members)
    yield Touch(_touch(call, name).arn, tags=lambda: given)
    if given:
        yield Touch(arn_of(call, name), "logs:TagResource", tags=lambda: given)


def stream(call: Call, members: Document) -> Iterable[Touch]:
    """That of `logStreamName`, in its group."""
    yield _touch(call, _group(members), members.get("logStreamName") or "")


def resource(call: Call, members: Document) -> Iterable[Touch]:
    """The group of `resourceArn`, as it stands."""
    arn = members["resourceArn"]
    ours = arn.startswith(arn_of(call, ""))
    yield Touch(arn, tags=_tags_of(call, name_of(arn)) if ours else None)


def tagged_group(call: Call, members: Document) -> Iterable[Touch]:
    """The group of `logGroupName`, without a stream: the older operations for tags."""
    name = members["logGroupName"]
    yield Touch(arn_of(call, name), tags=_tags_of(call, name))
