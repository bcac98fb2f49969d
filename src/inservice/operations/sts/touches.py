"""What STS's operations touch: the role that is assumed, which says itself who may.

Tags that a session has, given or inherited, want `sts:TagSession` beside `sts:AssumeRole`, and a
source identity wants `sts:SetSourceIdentity`: of the role's trust policy too. A role that trusts
nobody and one that is not there are refused in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable

from inservice.identity.iam.arns import kept, taken_apart, told
from inservice.identity.iam.entities import Role
from inservice.identity.policies.variables import ContextValue
from inservice.identity.principal import federated_user as _federated
from inservice.identity.sts.assuming import inherited
from inservice.identity.sts.trusting import trust_of
from inservice.operations.registry import Call, Document, Touch
from inservice.operations.touches import tags_given
from inservice.partitions import partition_of
from inservice.store.base import Reading

NOT_TRUSTED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
"""What is said to who has a token: of a role that does not trust it, and of one that is not
there."""


def role_at(records: Reading, region: str, arn: str) -> Role | None:
    """The role with an ARN, which has to be its own in every letter, as a request in `region` names
    it; None if there is none."""
    own = kept(arn, partition_of(region))
    parts = taken_apart(own) if own is not None else None
    if parts is None or parts[2] != "role":
        return None
    role = records.roles.named(parts[1], parts[4])
    return role if role is not None and role.arn == own else None


def own_role_at(records: Reading, account: str, region: str, arn: str) -> Role | None:
    """The same, if it is a role of `account`. SageMaker assumes no other for a model: whoever may
    make models in one account would reach what a role of another one may, which trusts SageMaker
    and never thought of them."""
    role = role_at(records, region, arn)
    return role if role is not None and role.account == account else None


def assumed_role(call: Call, members: Document) -> Iterable[Touch]:
    """The role of `RoleArn`."""
    arn, session = members["RoleArn"], call.session
    with call.store.reading() as records:
        role = role_at(records, call.region, arn)
    fields = arn.split(":", 5)
    keys: dict[str, ContextValue] = {
        "aws:resourceaccount": fields[4] if len(fields) == 6 else call.account,
        "sts:rolesessionname": members["RoleSessionName"],
    }
    if "ExternalId" in members:
        keys["sts:externalid"] = members["ExternalId"]
    if transitive := members.get("TransitiveTagKeys"):
        keys["sts:transitivetagkeys"] = tuple(transitive)
    source = members.get("SourceIdentity") or (session.source_identity if session else "")
    if source:
        keys["sts:sourceidentity"] = source
    actions = ["sts:AssumeRole"]
    if tags_given(members) or inherited(session):
        actions.append("sts:TagSession")
    if source:
        actions.append("sts:SetSourceIdentity")
    for action in actions:
        yield Touch(
            arn,
            action,
            keys,
            tags=lambda: {} if role is None else role.tags,
            policies=lambda: (trust_of(role),),
            silent=True,
        )


def federated_user(call: Call, members: Document) -> Iterable[Touch]:
    """Whom the caller vouches for; tags of theirs want `sts:TagSession` too."""
    arn = told(_federated(call.account, members["Name"]).arn, partition_of(call.region))
    yield Touch(arn)
    if tags_given(members):
        yield Touch(arn, "sts:TagSession")


def web_identity_role(call: Call, members: Document) -> Iterable[Touch]:
    """The role of `RoleArn`, for who has shown a token."""
    arn, proof = members["RoleArn"], call.proof
    with call.store.reading() as records:
        role = role_at(records, call.region, arn)
    tags = dict(proof.tags) if proof is not None else {}
    keys: dict[str, ContextValue] = {
        "aws:resourceaccount": call.account,
        "sts:rolesessionname": members["RoleSessionName"],
        **{f"aws:requesttag/{key.lower()}": value for key, value in tags.items()},
    }
    actions = ["sts:AssumeRoleWithWebIdentity"]
    if tags:
        keys["aws:tagkeys"] = tuple(tags)
        actions.append("sts:TagSession")
    if proof is not None and proof.transitive:
        keys["sts:transitivetagkeys"] = proof.transitive
    if proof is not None and proof.source_identity:
        keys["sts:sourceidentity"] = proof.source_identity
        actions.append("sts:SetSourceIdentity")
    for action in actions:
        yield Touch(
            arn,
            action,
            keys,
            tags=lambda: {} if role is None else role.tags,
            policies=lambda: (trust_of(role),),
            silent=True,
        )
