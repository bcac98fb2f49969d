"""What an operation touches: said where it is registered, asked before it is performed.

    @operation("sagemaker", "CreateEndpoint", on=(endpoint, endpoint_config))

`on` names parts; each looks at a request and says which resources it touches. To each of them
the caller must be allowed the operation's action, which is AWS's rule: CreateEndpoint needs both of
its ARNs. A part may ask for another action as well (`iam:PassRole`, `sagemaker:AddTags`), and says
which condition keys it has values for. Those of the request itself (who, when, from where, with
which tags) are the same for all, and not said here.

A touch says what is asked for, not whether it exists: who may not see a thing learns nothing of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inservice.errors import AwsError
from inservice.identity.decide import Question
from inservice.identity.policies.variables import ContextValue
from inservice.identity.request_context import tag_context
from inservice.operations.registry import Call, Document, Operation, Part, Touch

ANY = "*"
"""The resource of an action that has none: only a policy's `*` covers it."""


def asked(operation: Operation, call: Call, members: Document) -> Iterator[tuple[Question, Touch]]:
    """All that a request must be allowed, in order, each with what it is about; without the
    condition keys of who asks, when and from where. Tags of a resource are looked up when its turn
    comes."""
    of_request = _request_tags(members)
    for part in operation.on:
        for touch in part(call, members):
            action = touch.action or operation.action
            keys: dict[str, ContextValue] = {**of_request, **touch.keys}
            if touch.tags is not None:
                keys.update(tag_context(action.partition(":")[0], touch.tags()))
            yield Question(action, touch.arn, keys), touch


def resources_of(operation: Operation, call: Call, members: Document) -> tuple[str, ...]:
    """ARNs of all that a request touches, each once, whether it was asked about them or not; as far
    as they can be told, where the request names what cannot be."""
    arns: dict[str, None] = {}
    with contextlib.suppress(AwsError):
        for part in (*operation.on, *operation.told):
            arns.update((touch.arn, None) for touch in part(call, members))
    return tuple(arns)


def tags_given(members: Document) -> dict[str, str]:
    """The tags that a request carries, in any of the forms that AWS's services have for them."""
    given = members.get("Tags", members.get("tags")) or ()
    if isinstance(given, Mapping):
        return dict(given)
    return {tag["Key"]: tag.get("Value", "") for tag in given if not isinstance(tag, str)}


def _request_tags(members: Document) -> dict[str, ContextValue]:
    given = tags_given(members)
    keys: dict[str, ContextValue] = {f"aws:requesttag/{key.lower()}": given[key] for key in given}
    named = tuple(given)
    for member in ("TagKeys", "tagKeys", "tags"):  # the last: of UntagLogGroup
        named = named or tuple(members.get(member) or ())
    if named:
        keys["aws:tagkeys"] = named
    return keys


def anything(call: Call, members: Document) -> Iterable[Touch]:  # noqa: ARG001 - a part's shape
    """No resource of its own: lists, and what is of the account as a whole."""
    return (Touch(ANY),)


def passed_role(to: str) -> Part:
    """The role that the request hands to a service. Nobody hands on what they may not."""

    def part(call: Call, members: Document) -> Iterable[Touch]:  # noqa: ARG001 - a part's shape
        role = members.get("ExecutionRoleArn")
        if role is not None:
            yield Touch(role, "iam:PassRole", {"iam:passedtoservice": to})

    return part


def texts(values: Iterable[Any]) -> tuple[str, ...]:
    """Each once, as a condition compares them."""
    return tuple(dict.fromkeys(text_of(value) for value in values if value is not None))


def text_of(value: Any) -> str:
    """A member's value as a condition compares it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
