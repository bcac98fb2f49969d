"""One operation in one protocol, compiled: everything about a request that its model decides."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from inservice.api.identify import Protocol, Target
from inservice.aws import aws_json, aws_query, ec2_query, rpc_v2_cbor
from inservice.aws.constraints import Violations, compile_check
from inservice.aws.service_model import Service
from inservice.aws.wire import Reply
from inservice.cloudwatch.alarms.errors import BadValue, MissingValue
from inservice.errors import (
    InvalidParameterException,
    InvalidParameterValue,
    NotImplementedYet,
    SenderError,
    ValidationError,
    ValidationException,
)
from inservice.operations import registry

WIRES: Mapping[Protocol, ModuleType] = {
    Protocol.JSON: aws_json,
    Protocol.QUERY: aws_query,
    Protocol.CBOR: rpc_v2_cbor,
    Protocol.EC2: ec2_query,
}
"""The page of each protocol: compile_parser, compile_serializer and serialize_error."""

_REFUSALS: Mapping[str, type[SenderError]] = {
    "cloudwatch": ValidationError,
    "iam": ValidationError,
    "sts": ValidationError,
    "logs": InvalidParameterException,
    "ecr": InvalidParameterException,
    "ec2": InvalidParameterValue,
    "resourcegroupstaggingapi": InvalidParameterException,
}
"""By service, what a violated constraint is called where it is not ValidationException."""

_OLDER_REFUSALS: Mapping[str, type[SenderError]] = {
    "InvalidParameterValue": BadValue,
    "MissingParameter": MissingValue,
}
"""By code, what CloudWatch's older operations call it: those whose models name these errors.
PutMetricData is one, PutMetricAlarm and GetMetricData are not."""


@dataclass(frozen=True, slots=True)
class CompiledOperation:
    """The steps of one operation that are the same for every request."""

    service: Service
    operation: registry.Operation
    parse: Callable[[bytes, Violations], dict[str, Any]]
    check: Callable[[Mapping[str, Any], Violations], None]
    serialize: Callable[[Mapping[str, Any], str], Reply]
    unsupported: frozenset[str]  # members of AWS's that the operation's function does not take
    refused: type[SenderError]  # what a violated constraint is called
    lacking: type[SenderError]  # what it is called if something is not there at all

    def validate(self, members: Mapping[str, Any], violations: Violations) -> None:
        """Refuse what breaks AWS's rules, all of it in one message, and what is not built here."""
        self.check(members, violations)
        if violations.count:
            lacking = violations.absent == violations.count
            raise (self.lacking if lacking else self.refused)(violations.message())
        if not self.unsupported.isdisjoint(members):
            names = ", ".join(sorted(self.unsupported.intersection(members)))
            raise NotImplementedYet(f"{names} of {self.service.name}:{self.operation.name}")


def compile_operation(target: Target) -> CompiledOperation:
    """Compile what a request asks for. Raises NotImplementedYet for what only AWS has."""
    service = target.service
    operation = registry.find(service.name, target.operation)
    if operation is None or target.operation not in service.operations:
        raise NotImplementedYet(f"{service.name}:{target.operation}")
    model = service.operations[target.operation]
    wire = WIRES[target.protocol]
    members: Mapping[str, Any] = {}
    check: Callable[[Mapping[str, Any], Violations], None] = _nothing_to_check
    if model.input is not None:
        shape = service.shapes[model.input]
        members = shape.members
        check_members = compile_check(service, shape)
        check = lambda given, violations: check_members(given, "", violations)  # noqa: E731
    taken = inspect.signature(operation.function).parameters
    codes = {service.shapes[name].code for name in model.errors}
    usual = _REFUSALS.get(service.name, ValidationException)
    older = {code: _OLDER_REFUSALS[code] for code in _OLDER_REFUSALS if code in codes}
    refused = older.get("InvalidParameterValue", usual)
    return CompiledOperation(
        service=service,
        operation=operation,
        parse=wire.compile_parser(service, model),
        check=check,
        serialize=wire.compile_serializer(service, model),
        unsupported=frozenset(m for m in members if registry.keyword_of(m) not in taken),
        refused=refused,
        lacking=older.get("MissingParameter", refused),
    )


def _nothing_to_check(_: Mapping[str, Any], __: Violations) -> None:
    """The operation has no input."""
