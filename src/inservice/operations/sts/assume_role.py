"""AssumeRole: become a role for a while.

Whether the caller may is decided before (`touches`), on which terms by `identity.sts.assuming`;
here the session is made and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.errors import AccessDeniedException, NotImplementedYet
from inservice.identity.iam.arns import told
from inservice.identity.principal import Account
from inservice.identity.sts.assuming import Asked, begun, packed_percent
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sts import touches
from inservice.operations.sts.given import begin, credentials, passed_policies, refuse_mfa
from inservice.partitions import partition_of

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import (
        PolicyDescriptorTypeTypeDef,
        ProvidedContextTypeDef,
        TagTypeDef,
    )


@operation("sts", "AssumeRole", on=(touches.assumed_role,))
def assume_role(
    call: Call,
    *,
    role_arn: str,
    role_session_name: str,
    policy_arns: Sequence[PolicyDescriptorTypeTypeDef] = (),
    policy: str | None = None,
    duration_seconds: int | None = None,
    tags: Sequence[TagTypeDef] = (),
    transitive_tag_keys: Sequence[str] = (),
    external_id: str | None = None,
    serial_number: str | None = None,
    token_code: str | None = None,
    source_identity: str = "",
    provided_contexts: Sequence[ProvidedContextTypeDef] = (),
) -> Document:
    """Give temporary keys of a role."""
    del external_id  # the trust policy has seen it
    if call.principal == Account(call.account).root.arn:
        raise AccessDeniedException("Roles may not be assumed by root accounts.")
    refuse_mfa(serial_number, token_code)
    if provided_contexts:
        raise NotImplementedYet("ProvidedContexts of sts:AssumeRole")
    with call.store.transaction() as tx:
        role = touches.role_at(tx, call.region, role_arn)
        if role is None:  # it went since this was allowed
            raise AccessDeniedException(
                f"User: {call.principal} is not authorized to perform: sts:AssumeRole on resource: "
                f"{role_arn}"
            )
        asked = Asked(
            session_name=role_session_name,
            seconds=duration_seconds,
            policy=policy,
            policy_arns=passed_policies(tx, call, role.account, policy_arns),
            tags=[(tag["Key"], tag["Value"]) for tag in tags],
            transitive=tuple(transitive_tag_keys),
            source_identity=source_identity,
        )
        session = begun(role, asked, call.session, call.now)
        key = begin(tx, session, call.now)
    return {
        "Credentials": credentials(key),
        "AssumedRoleUser": {
            "AssumedRoleId": session.principal.userid,
            "Arn": told(session.principal.arn, partition_of(call.region)),
        },
        "PackedPolicySize": packed_percent(session),
        "SourceIdentity": session.source_identity or None,
    }
