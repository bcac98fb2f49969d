"""AssumeRole: become a role for a while.

Whether the caller may is decided before (`touches`), on which terms by `identity.sts.assuming`;
here the session is made and kept. It is durable before it is told, and both planes know it then.
How many there may be is bounded: each is kept until it ends, and told to every gateway worker.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.errors import (
    AccessDeniedException,
    MalformedPolicyDocument,
    NotImplementedYet,
)
from inservice.identity import unique_ids
from inservice.identity.iam.arns import AWS_ACCOUNT, kept, taken_apart, told
from inservice.identity.iam.errors import LimitExceeded
from inservice.identity.principal import AccessKey, Account, Session
from inservice.identity.sts.assuming import Asked, begun, packed_percent
from inservice.operations.iam.made import new_secret
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sts import touches
from inservice.partitions import partition_of
from inservice.store.base import Reading, Transaction
from inservice.store.held import policy_at

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import (
        PolicyDescriptorTypeTypeDef,
        ProvidedContextTypeDef,
        TagTypeDef,
    )

SESSIONS_PER_ROLE_MAX = 1_000
SESSIONS_MAX = 5_000
"""Of an account, that have not ended. AWS has no such number; it has more memory."""

TOKEN_BYTES = 240
"""Of a session token, all of them entropy. In base 64 they are about as long as AWS's."""


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
    if serial_number is not None or token_code is not None:  # nobody has a device here
        raise AccessDeniedException(
            "MultiFactorAuthentication failed with invalid MFA one time pass code."
        )
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
            policy_arns=_policies(tx, call, role.account, policy_arns),
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


def begin(tx: Transaction, session: Session, now: float) -> AccessKey:
    """Keep a session, under a new key. Raises LimitExceeded."""
    account, role_id = session.principal.account, session.principal.id
    if tx.sessions.count(account, now, role_id) >= SESSIONS_PER_ROLE_MAX:
        raise LimitExceeded.of("SessionsPerRole", SESSIONS_PER_ROLE_MAX)
    if tx.sessions.count(account, now) >= SESSIONS_MAX:
        raise LimitExceeded.of("SessionsPerAccount", SESSIONS_MAX)
    entropy = secrets.token_bytes(unique_ids.KEY_ID_BYTES)
    key = AccessKey(
        id=unique_ids.access_key_id(unique_ids.TEMPORARY_KEY, account, entropy),
        secret=new_secret(),
        principal=session.principal,
        session_token=base64.b64encode(secrets.token_bytes(TOKEN_BYTES)).decode(),
        expires_at=session.expires_at,
        created_at=session.issued_at,
        session=session,
    )
    tx.sessions.add(key)
    return key


def credentials(key: AccessKey) -> Document:
    """As STS tells them: the one time that they are."""
    return {
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "SessionToken": key.session_token,
        "Expiration": key.expires_at,
    }


def _policies(
    records: Reading, call: Call, account: str, given: Sequence[PolicyDescriptorTypeTypeDef]
) -> tuple[str, ...]:
    """ARNs of managed session policies as they are kept. Raises MalformedPolicyDocument for one
    that is not the account's or AWS's own."""
    arns = []
    for each in given:
        arn = each.get("arn", "")
        own = kept(arn, partition_of(call.region))
        parts = taken_apart(own) if own is not None else None
        ours = parts is not None and parts[2] == "policy" and parts[1] in (account, AWS_ACCOUNT)
        if own is None or not ours or policy_at(records, own) is None:
            raise MalformedPolicyDocument(f"Policy {arn} was not found.")
        arns.append(own)
    return tuple(dict.fromkeys(arns))
