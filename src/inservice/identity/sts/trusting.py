"""Whom a role trusts: its trust policy as decisions are made by it.

Users and roles that it names are those of the ids that they had when it was put (`iam.trust`), so
they stand in it by their ids: whoever comes later under the same name is somebody else.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from inservice.errors import MalformedPolicyDocument
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Question, decide
from inservice.identity.iam.entities import Role
from inservice.identity.iam.trust import text_as_bound
from inservice.identity.policies.document import Policy, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.variables import Context
from inservice.identity.principal import service

ASSUME: Final = "sts:AssumeRole"

_NOBODY: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "nobody.invalid"},
            "Action": ASSUME,
        },
    }
)
"""What a role would say that trusts nobody. A role that is not there is taken to."""


def trust_of(role: Role | None) -> AttachedPolicy:
    """The trust policy of a role, or of one that is not there: then nobody is trusted."""
    if role is None:
        return AttachedPolicy(parse_policy(_NOBODY, PolicyKind.TRUST), "trust")
    try:
        policy = _compiled(role.trust, tuple(role.bound.items()))
    except MalformedPolicyDocument:  # from before there was a rule against it
        policy = parse_policy(_NOBODY, PolicyKind.TRUST)
    return AttachedPolicy(policy, role.name, role.arn, role.arn)


def trusts_service(role: Role, name: str, context: Context) -> bool:
    """Whether a service of AWS, as `sagemaker.amazonaws.com`, may assume a role."""
    question = Question(ASSUME, role.arn, {"aws:resourceaccount": role.account, **context})
    return decide(Authority(service(name)), question, [trust_of(role)]).allowed


@lru_cache(maxsize=256)
def _compiled(document: str, bound: tuple[tuple[str, str], ...]) -> Policy:
    return parse_policy(text_as_bound(document, dict(bound)), PolicyKind.TRUST)
