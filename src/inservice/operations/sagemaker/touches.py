"""What SageMaker's operations touch: models, endpoint configs, endpoints.

The condition keys are those of AWS's service authorization reference for SageMaker. Creating with
tags wants `sagemaker:AddTags` on the new resource beside the action itself, and a role that is
handed over wants `iam:PassRole` on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from inservice.hosting.arn import ResourceArn, ResourceKind, parse_arn
from inservice.identity.policies.variables import ContextValue
from inservice.operations.registry import Call, Document, Part, Touch
from inservice.operations.touches import passed_role, tags_given, texts

SERVICE = "sagemaker.amazonaws.com"
"""Whom a role is passed to."""


def _named(kind: ResourceKind, member: str) -> Part:
    def part(call: Call, members: Document) -> Iterable[Touch]:
        if (name := members.get(member)) is not None:
            arn = ResourceArn(kind, call.account, call.region, name)
            yield Touch(str(arn), tags=_tags_of(call, arn))

    return part


model = _named(ResourceKind.MODEL, "ModelName")
endpoint_config = _named(ResourceKind.ENDPOINT_CONFIG, "EndpointConfigName")
endpoint = _named(ResourceKind.ENDPOINT, "EndpointName")


def resource(call: Call, members: Document) -> Iterable[Touch]:
    """What `ResourceArn` names, ours or not."""
    named = members["ResourceArn"]
    arn = parse_arn(named)
    yield Touch(named, tags=None if arn is None else _tags_of(call, arn))


def _tags_of(call: Call, arn: ResourceArn) -> Callable[[], Mapping[str, str]]:
    def read() -> Mapping[str, str]:
        if arn.account != call.account:
            return {}
        with call.store.reading() as records:
            return records.tags.of(arn)

    return read


_Keys = Mapping[str, ContextValue]
_KeysOf = Callable[[Call, Document], Iterable[_Keys]]


# ── creating ────────────────────────────────────────────────────────────────────────────────────


def _created(kind: ResourceKind, member: str, operation: str, keys: _KeysOf) -> Part:
    """A new resource, once for each set of condition keys; its tags are those of the request,
    unless the name is taken by one that has others."""

    def part(call: Call, members: Document) -> Iterable[Touch]:
        arn = ResourceArn(kind, call.account, call.region, members[member])
        tags = tags_given(members)
        there = _tags_of(call, arn)

        def of_it() -> Mapping[str, str]:
            return there() or tags

        for each in keys(call, members):
            yield Touch(str(arn), keys=each, tags=of_it)
        if tags:
            tagging = {"sagemaker:taggingaction": operation}
            yield Touch(str(arn), "sagemaker:AddTags", tagging, of_it)

    return part


def _model_keys(_: Call, members: Document) -> Iterable[_Keys]:
    yield _network(members)


def _config_keys(call: Call, members: Document) -> Iterable[_Keys]:
    """Lists say what is in all variants. What is one value, each variant has its own: all of them
    must be allowed."""
    variants: Sequence[Mapping[str, Any]] = (
        *members.get("ProductionVariants", ()),
        *(members.get("ShadowProductionVariants") or ()),
    )
    shared = _network(members)
    pools = (pool for one in variants for pool in one.get("InstancePools") or ())
    if types := texts(one.get("InstanceType") for one in (*variants, *pools)):
        shared["sagemaker:instancetypes"] = types
    if accelerators := texts(one.get("AcceleratorType") for one in variants):
        shared["sagemaker:acceleratortypes"] = accelerators
    if (key := members.get("KmsKeyId")) is not None:
        shared["sagemaker:volumekmskeyarn"] = key
        shared["sagemaker:volumekmskey"] = key
    seen: list[_Keys] = []
    for one in variants:
        keys = dict(shared)
        if (name := one.get("ModelName")) is not None:
            arn = ResourceArn(ResourceKind.MODEL, call.account, call.region, name)
            keys["sagemaker:modelarn"] = str(arn)
        serverless = one.get("ServerlessConfig") or {}
        if "MaxConcurrency" in serverless:
            keys["sagemaker:serverlessmaxconcurrency"] = str(serverless["MaxConcurrency"])
        if "MemorySizeInMB" in serverless:
            keys["sagemaker:serverlessmemorysize"] = str(serverless["MemorySizeInMB"])
        if keys not in seen:
            seen.append(keys)
    return seen


def _network(members: Document) -> dict[str, ContextValue]:
    keys: dict[str, ContextValue] = {}
    if (isolated := members.get("EnableNetworkIsolation")) is not None:
        keys["sagemaker:networkisolation"] = str(isolated).lower()
    vpc = members.get("VpcConfig") or {}
    if "Subnets" in vpc:
        keys["sagemaker:vpcsubnets"] = texts(vpc["Subnets"])
    if "SecurityGroupIds" in vpc:
        keys["sagemaker:vpcsecuritygroupids"] = texts(vpc["SecurityGroupIds"])
    return keys


def _no_keys(_call: Call, _members: Document) -> Iterable[_Keys]:
    yield {}


new_model = _created(ResourceKind.MODEL, "ModelName", "CreateModel", _model_keys)
new_endpoint_config = _created(
    ResourceKind.ENDPOINT_CONFIG, "EndpointConfigName", "CreateEndpointConfig", _config_keys
)
new_endpoint = _created(ResourceKind.ENDPOINT, "EndpointName", "CreateEndpoint", _no_keys)
execution_role = passed_role(SERVICE)
