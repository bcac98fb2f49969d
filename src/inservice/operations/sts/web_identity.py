"""AssumeRoleWithWebIdentity: become a role by the token of an identity provider.

Nobody signs this. The token is what a signature is elsewhere, so it is proved in the request path
(`api.web_identity`) before anything is asked of the role, and `call.proof` is what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.errors import AccessDeniedException
from inservice.identity.iam.arns import told
from inservice.identity.sts.assuming import Asked, begun, packed_percent
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sts import touches
from inservice.operations.sts.given import begin, credentials, passed_policies
from inservice.partitions import partition_of

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import PolicyDescriptorTypeTypeDef


@operation("sts", "AssumeRoleWithWebIdentity", on=(touches.web_identity_role,))
def assume_role_with_web_identity(
    call: Call,
    *,
    role_arn: str,
    role_session_name: str,
    web_identity_token: str,
    policy_arns: Sequence[PolicyDescriptorTypeTypeDef] = (),
    policy: str | None = None,
    duration_seconds: int | None = None,
) -> Document:
    """Give temporary keys of a role to who has shown a token."""
    del web_identity_token  # `call.proof` is what it says
    proof = call.proof
    with call.store.transaction() as tx:
        role = touches.role_at(tx, call.region, role_arn)
        provider = None if proof is None else proof.provider
        there = provider and tx.oidc_providers.named(provider.account, provider.name)
        if proof is None or role is None or there != provider:  # gone since this was allowed
            raise AccessDeniedException(touches.NOT_TRUSTED)
        asked = Asked(
            session_name=role_session_name,
            seconds=duration_seconds,
            policy=policy,
            policy_arns=passed_policies(tx, call, role.account, policy_arns),
            tags=proof.tags,
            transitive=proof.transitive,
            source_identity=proof.source_identity,
            keys=proof.session_keys,
        )
        session = begun(role, asked, None, call.now)
        key = begin(tx, session, call.now)
    return {
        "Credentials": credentials(key),
        "SubjectFromWebIdentityToken": proof.subject,
        "AssumedRoleUser": {
            "AssumedRoleId": session.principal.userid,
            "Arn": told(session.principal.arn, partition_of(call.region)),
        },
        "PackedPolicySize": packed_percent(session),
        "Provider": proof.provider.url,
        "Audience": proof.audience,
        "SourceIdentity": session.source_identity or None,
    }
