"""Which operations there are, and what each one is given.

An operation is a function whose signature is its API reference: `call`, then the members of AWS's
input shape as keyword-only arguments in snake_case, the required ones without a default.

    @operation("sagemaker", "DeleteModel", on=(touches.model,))
    def delete_model(call: Call, *, model_name: str) -> None: ...

A request has passed AWS's model before it gets here. An operation reads, lets the core decide,
writes and returns; it raises AwsErrors and never acts on the world: the controller does that.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from inservice.identity.authority import AttachedPolicy
from inservice.identity.policies.variables import ContextValue
from inservice.identity.principal import Session
from inservice.identity.sts.web_identity import Believed
from inservice.operations.live import Live
from inservice.store.base import Store
from inservice.values import Document as Document  # with `Call`, what operations speak in


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, where, when, and what to answer from: the store, and the server as it runs."""

    account: str
    region: str
    principal: str  # ARN of the caller, already allowed to do this
    request_id: str
    now: float  # epoch seconds, cut to the milliseconds that the wire can tell
    store: Store
    live: Live
    user_id: str = ""  # of the caller: aws:userid, where it is known
    session: Session | None = None  # the caller's, of who signed with a temporary key
    warnings: list[str] = field(default_factory=list)
    """What the operation has to say beside its answer: told in a header, so each is one line."""
    proof: Believed | None = None  # of who shows an identity token: what it says

    def __post_init__(self) -> None:
        # A time that a client reads and sends back as a filter must meet the record it came from.
        object.__setattr__(self, "now", math.floor(self.now * 1000) / 1000)


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing that must be allowed to who calls: what is asked for, whether it exists or not."""

    arn: str
    action: str = ""  # the operation's own, "sagemaker:CreateEndpoint", unless it says another
    keys: Mapping[str, ContextValue] = field(
        default_factory=dict
    )  # by condition key, in small letters
    tags: Callable[[], Mapping[str, str]] | None = None  # of the resource, if it can have any
    policies: Callable[[], Sequence[AttachedPolicy]] | None = None
    """The resource's own, of one that can have some."""
    silent: bool = False  # a denial does not say why: that would tell whether it is there


Part = Callable[[Call, Document], Iterable[Touch]]
"""Looks at a request and says which resources it touches; see `operations.touches`."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the registry."""

    service: str  # botocore's service name: "sagemaker"
    name: str  # as AWS spells it: "CreateModel"
    function: Callable[..., Document | None]
    on: tuple[Part, ...]  # nothing: whoever has proved who they are may
    told: tuple[Part, ...] = ()  # what the audit trail names beside them

    @property
    def action(self) -> str:
        """IAM's name for it: "sagemaker:CreateModel"."""
        return f"{_PREFIXES.get(self.service, self.service)}:{self.name}"

    @property
    def adds(self) -> bool:
        """Whether it is refused while the server's disk is full."""
        return _NEEDS_NO_ROOM.match(self.name) is None

    @property
    def is_audited(self) -> bool:
        """Whether the audit trail tells of it, also where it was allowed: it changes something, or
        gives credentials away."""
        return not (_READS.match(self.name) or self.action in _DATA)

    def perform(self, call: Call, document: Document) -> Document:
        """Call the function with the members of a validated request; {} for an empty answer.

        Raises the AwsErrors of the operation.
        """
        arguments = {keyword_of(member): value for member, value in document.items()}
        return self.function(call, **arguments) or {}


_PREFIXES = {"resourcegroupstaggingapi": "tag"}
"""By botocore's name of a service, what IAM calls it, where that is another one."""

_READS_BY_GET = r"Get(?!(Session|Federation)Token$)[A-Z]"

_NEEDS_NO_ROOM = re.compile(
    r"(Describe|List|Filter|Plan|Simulate|Decode)[A-Z]|"
    + _READS_BY_GET
    + r"|(Delete|Untag|Detach|Remove)[A-Z]"
    r"|(Abort|Pause|Prune|Rotate)[A-Z]|UpdateAccessKey$"
)
"""Reads; what makes room; what holds a rollout up or turns it back; and what takes the place of a
secret that got out, or switches it off. An operation of any other
name is one that adds, so a new verb is refused on a full disk until somebody thought about it."""

_READS = re.compile(
    r"(Describe|List|Filter|Plan|Simulate)[A-Z]|" + _READS_BY_GET + r"|DecodeAuthorizationMessage$"
)
"""What changes nothing, and gives nobody a key. An operation of any other name is audited, so a new
verb is until somebody thought about it."""

_DATA = frozenset({"cloudwatch:PutMetricData", "logs:PutLogEvents"})
"""What clients measure and print, as often as they like: it changes nothing of how the server works
or who may what, and would push out whatever does. CloudTrail tells of them only where it is asked
to."""

_OPERATIONS: dict[tuple[str, str], Operation] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def operation(
    service: str, name: str, *, on: tuple[Part, ...], told: tuple[Part, ...] = ()
) -> Callable[[_Function], _Function]:
    """Register the function below as an operation that touches what `on` says; the audit trail
    names what `told` says as well, about which nobody is asked.

    Raises TypeError at import when the signature is not one of an operation, or the name is taken.
    """

    def register(function: _Function) -> _Function:
        _check_signature(function)
        if (service, name) in _OPERATIONS:
            raise TypeError(f"{service}:{name} is registered twice")
        _OPERATIONS[service, name] = Operation(service, name, function, on, told)
        return function

    return register


def find(service: str, name: str) -> Operation | None:
    """The operation, or None if InService does not have it."""
    return _OPERATIONS.get((service, name))


def operations() -> tuple[Operation, ...]:
    """All there are, in the order of their names."""
    return tuple(_OPERATIONS[key] for key in sorted(_OPERATIONS))


def given(**members: Any) -> Document:
    """The members of a request that were given, as the document that the core works from."""
    return {member: value for member, value in members.items() if value is not None}


@functools.cache
def keyword_of(member: str) -> str:
    """AWS's member as a keyword: KmsKeyId becomes kms_key_id, OKActions becomes ok_actions."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", member)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).lower()


def _check_signature(function: Callable[..., Any]) -> None:
    call, *members = inspect.signature(function).parameters.values()
    if call.name != "call" or call.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        raise TypeError(f"{function.__qualname__}: the first argument is `call`")
    for member in members:
        if member.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(f"{function.__qualname__}: {member.name} must be keyword-only")
        if member.name != member.name.lower() or member.annotation is inspect.Parameter.empty:
            raise TypeError(f"{function.__qualname__}: {member.name} must be typed snake_case")
