"""SimulateCustomPolicy, SimulatePrincipalPolicy and the context keys that they want.

What is simulated is decided by the very function that decides about requests. Nothing has to exist
that a simulation names, but for the user, group or role whose policies it takes; what a request
would tell of itself is told by the context entries, which overrule what follows from the caller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inservice.errors import MalformedPolicyDocument
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Decision, PolicyType, Question, decide
from inservice.identity.iam.arns import kept, taken_apart
from inservice.identity.iam.errors import InvalidInput
from inservice.identity.iam.held import Held
from inservice.identity.policies.document import Policy, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Principal
from inservice.operations.iam import touches
from inservice.operations.iam.found import entity_at
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.partitions import partition_of
from inservice.store.held import held_by

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import ContextEntryTypeDef

_SOURCES = {
    PolicyType.IDENTITY: "IAM Policy",
    PolicyType.RESOURCE: "Resource Policy",
    PolicyType.BOUNDARY: "Permissions Boundary Policy",
}
"""How AWS calls them in answers, whatever its model says."""


@dataclass(frozen=True, slots=True)
class _Simulation:
    """All that one simulation decides by."""

    authority: Authority
    resource_policies: Sequence[AttachedPolicy]
    context: dict[str, str | tuple[str, ...]]

    def result(self, action: str, resource: str, *, named: bool) -> Document:
        """One action on one resource. `named`: the request names resources, of which each is told
        by itself as well."""
        question = Question(action, resource, self.context)
        decision = decide(self.authority, question, self.resource_policies, every_match=True)
        told: dict[str, Any] = {
            "MatchedStatements": [
                {
                    "SourcePolicyId": match.attached.name,
                    "SourcePolicyType": _SOURCES.get(match.policy_type, "IAM Policy"),
                    "StartPosition": _place(match.statement.start),
                    "EndPosition": _place(match.statement.end),
                }
                for match in decision.matches
            ],
            "MissingContextValues": self._missing(action),
            **_boundary(decision),
        }
        specific = {
            "EvalResourceName": resource,
            "EvalResourceDecision": decision.outcome.value,
            **told,
        }
        return {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decision.outcome.value,
            **told,
            "ResourceSpecificResults": [specific] if named else [],
        }

    def _missing(self, action: str) -> list[str]:
        """Condition keys that statements about this action ask for and nobody gave."""
        boundary = self.authority.boundary
        policies = [*self.authority.identity, *self.resource_policies]
        policies += [boundary] if boundary is not None else []
        given = {*self.context, *self.authority.context}
        missing: dict[str, str] = {}
        for attached in policies:
            about = attached.policy.denying(action.lower()) + attached.policy.allowing(
                action.lower()
            )
            for key in (key for statement in about for key in statement.keys):
                if key.lower() not in given:
                    missing.setdefault(key.lower(), key)
        return list(missing.values())


@operation("iam", "SimulateCustomPolicy", on=(anything,))
def simulate_custom_policy(
    call: Call,
    *,
    policy_input_list: Sequence[str],
    action_names: Sequence[str],
    permissions_boundary_policy_input_list: Sequence[str] = (),
    resource_arns: Sequence[str] = (),
    resource_policy: str | None = None,
    resource_owner: str | None = None,
    caller_arn: str | None = None,
    context_entries: Sequence[ContextEntryTypeDef] = (),
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """Decide by policies that are given."""
    identity = _given(policy_input_list, "PolicyInputList")
    simulation = _simulation(
        _caller(call, caller_arn),
        identity,
        _bound(permissions_boundary_policy_input_list),
        resource_policy=resource_policy if caller_arn or resource_policy is None else "",
        resource_owner=resource_owner,
        entries=context_entries,
    )
    asked = ("SimulateCustomPolicy", policy_input_list, caller_arn, context_entries)
    return _answer(call, simulation, asked, action_names, resource_arns, marker, max_items)


@operation("iam", "SimulatePrincipalPolicy", on=(touches.source,))
def simulate_principal_policy(
    call: Call,
    *,
    policy_source_arn: str,
    action_names: Sequence[str],
    policy_input_list: Sequence[str] = (),
    permissions_boundary_policy_input_list: Sequence[str] = (),
    resource_arns: Sequence[str] = (),
    resource_policy: str | None = None,
    resource_owner: str | None = None,
    caller_arn: str | None = None,
    context_entries: Sequence[ContextEntryTypeDef] = (),
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """Decide by what a user, group or role has, and by policies that are given beside it."""
    with call.store.reading() as records:
        held = held_by(records, entity_at(records, call, policy_source_arn))
    identity = [*held.policies, *_given(policy_input_list, "PolicyInputList")]
    if caller_arn is not None:
        caller = _caller(call, caller_arn)
    elif held.principal is not None:
        caller = held.principal
    else:
        caller = _caller(call, None)
    simulation = _simulation(
        caller,
        identity,
        _bound(permissions_boundary_policy_input_list) or held.boundary,
        resource_policy=resource_policy
        if caller_arn or held.principal is not None or resource_policy is None
        else "",
        resource_owner=resource_owner,
        entries=context_entries,
        held=held,
    )
    asked = ("SimulatePrincipalPolicy", policy_source_arn, policy_input_list, context_entries)
    return _answer(call, simulation, asked, action_names, resource_arns, marker, max_items)


@operation("iam", "GetContextKeysForCustomPolicy", on=(anything,))
def get_context_keys_for_custom_policy(call: Call, *, policy_input_list: Sequence[str]) -> Document:
    """The condition keys that policies ask for."""
    del call  # whoever asks
    return _keys([attached.policy for attached in _given(policy_input_list, "PolicyInputList")])


@operation("iam", "GetContextKeysForPrincipalPolicy", on=(touches.source,))
def get_context_keys_for_principal_policy(
    call: Call, *, policy_source_arn: str, policy_input_list: Sequence[str] = ()
) -> Document:
    """The condition keys that what a user, group or role has asks for, and policies beside it."""
    with call.store.reading() as records:
        held = held_by(records, entity_at(records, call, policy_source_arn))
    attached = [*held.policies, *_given(policy_input_list, "PolicyInputList")]
    return _keys([each.policy for each in attached])


def _keys(policies: Sequence[Policy]) -> Document:
    every = {key.lower(): key for policy in reversed(policies) for key in policy.context_keys}
    return {"ContextKeyNames": sorted(every.values(), key=str.lower)}


def _answer(
    call: Call,
    simulation: _Simulation,
    asked: tuple[object, ...],
    action_names: Sequence[str],
    resource_arns: Sequence[str],
    marker: str | None,
    max_items: int,
) -> Document:
    """Every action on every resource, in the order and as often as they are given."""
    for action in action_names:
        if "*" in action or "?" in action or action.count(":") != 1:
            raise InvalidInput(f"Invalid action name: {action}")
    pages = Pages.of(call, (*asked, action_names, resource_arns), marker, max_items)
    arns = resource_arns or ("*",)
    shown, more = pages.numbers(len(action_names) * len(arns))
    results = [
        simulation.result(
            action_names[n // len(arns)], arns[n % len(arns)], named=bool(resource_arns)
        )
        for n in shown
    ]
    return {"EvaluationResults": results, **more}


def _simulation(
    caller: Principal,
    identity: Sequence[AttachedPolicy],
    boundary: AttachedPolicy | None,
    *,
    resource_policy: str | None,
    resource_owner: str | None,
    entries: Sequence[ContextEntryTypeDef],
    held: Held | None = None,
) -> _Simulation:
    context = _context(entries)
    if resource_owner is not None:
        fields = resource_owner.split(":")
        if len(fields) != 6 or not fields[4].isdigit():
            raise InvalidInput(f"Invalid resource owner: {resource_owner}")
        context.setdefault("aws:resourceaccount", fields[4])
    tags = held.tags if held is not None else {}
    authority = Authority(caller, identity, boundary, tags=tags, credentials=context)
    return _Simulation(authority, _of_resource(resource_policy), context)


def _of_resource(document: str | None) -> Sequence[AttachedPolicy]:
    """The resource's policy, which `""` says nobody could be named by."""
    if document is None:
        return ()
    if not document:
        raise InvalidInput("CallerArn is required when ResourcePolicy is specified.")
    policy = _parsed(document, PolicyKind.RESOURCE, "ResourcePolicy")
    if _is_about_everything(json.loads(document)):
        raise InvalidInput("A resource policy cannot have the Resource element set to '*'.")
    return (AttachedPolicy(policy, "ResourcePolicy"),)


def _is_about_everything(policy: dict[str, Any]) -> bool:
    statements = policy["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        named = statement.get("Resource", ())
        if "*" in ([named] if isinstance(named, str) else named):
            return True
    return False


def _given(documents: Sequence[str], member: str) -> list[AttachedPolicy]:
    return [
        AttachedPolicy(_parsed(document, PolicyKind.IDENTITY, f"{member}.{n}"), f"{member}.{n}")
        for n, document in enumerate(documents, 1)
    ]


def _bound(documents: Sequence[str]) -> AttachedPolicy | None:
    if len(documents) > 1:
        raise InvalidInput("Only one permissions boundary policy can be simulated.")
    given = _given(documents, "PermissionsBoundaryPolicyInputList")
    return given[0] if given else None


def _parsed(document: str, kind: PolicyKind, member: str) -> Policy:
    """A policy that is simulated. Of one that is none a simulation says InvalidInput."""
    try:
        return parse_policy(document, kind)
    except MalformedPolicyDocument as malformed:
        raise InvalidInput(f"Invalid policy {member}: {malformed.message}") from malformed


def _caller(call: Call, arn: str | None) -> Principal:
    """Who is said to ask; nobody in particular unless it is said."""
    if arn is None:
        return Principal("", "")
    own = kept(arn, partition_of(call.region))
    parts = taken_apart(own) if own is not None else None
    if own is None or parts is None or parts[2] not in ("user", "role"):
        raise InvalidInput(f"Invalid caller ARN: {arn}")
    return Principal(parts[1], own)


def _context(entries: Sequence[ContextEntryTypeDef]) -> dict[str, str | tuple[str, ...]]:
    context: dict[str, str | tuple[str, ...]] = {}
    for entry in entries:
        name, values = entry.get("ContextKeyName"), tuple(entry.get("ContextKeyValues", ()))
        kind = entry.get("ContextKeyType")
        if name is None or kind is None:
            raise InvalidInput("A context entry needs a ContextKeyName and a ContextKeyType.")
        if name.lower() in context:
            raise InvalidInput(f"Duplicate context key: {name}")
        if kind.endswith("List"):
            context[name.lower()] = values
        elif len(values) == 1:
            context[name.lower()] = values[0]
        else:
            raise InvalidInput(f"Context key {name} of type {kind} needs exactly one value.")
    return context


def _boundary(decision: Decision) -> Document:
    if decision.boundary_allows is None:
        return {}
    allows = {"AllowedByPermissionsBoundary": decision.boundary_allows}
    return {"PermissionsBoundaryDecisionDetail": allows}


def _place(position: Any) -> Document:
    return {"Line": position.line, "Column": position.column}
