"""Temporary keys as they are given: made, bounded in number, kept, and told the one time.

A session is durable before it is told, and both planes know it then. How many there may be is
bounded: each is kept until it ends, and told to every gateway worker.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.errors import AccessDeniedException, MalformedPolicyDocument
from inservice.identity import unique_ids
from inservice.identity.iam.arns import AWS_ACCOUNT, kept, taken_apart
from inservice.identity.iam.errors import LimitExceeded
from inservice.identity.principal import AccessKey, Session
from inservice.operations.iam.made import new_secret
from inservice.operations.registry import Call, Document
from inservice.partitions import partition_of
from inservice.store.base import Reading, Transaction
from inservice.store.held import policy_at

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import PolicyDescriptorTypeTypeDef

SESSIONS_PER_HOLDER_MAX = 1_000
"""Of a role, of a user or of root, that have not ended."""

SESSIONS_MAX = 5_000
"""Of an account, that have not ended. AWS has no such number; it has more memory."""

TOKEN_BYTES = 240
"""Of a session token, all of them entropy. In base 64 they are about as long as AWS's."""


def refuse_mfa(serial_number: str | None, token_code: str | None) -> None:
    """Nobody has a device here, so no code is right. Raises AccessDeniedException."""
    if serial_number is not None or token_code is not None:
        raise AccessDeniedException(
            "MultiFactorAuthentication failed with invalid MFA one time pass code."
        )


def begin(tx: Transaction, session: Session, now: float) -> AccessKey:
    """Keep a session, under a new key. Raises LimitExceeded."""
    account = session.principal.account
    if tx.sessions.count(account, now, session.owner) >= SESSIONS_PER_HOLDER_MAX:
        whose = "User" if session.issuer_arn else "Role"
        raise LimitExceeded.of(f"SessionsPer{whose}", SESSIONS_PER_HOLDER_MAX)
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


def passed_policies(
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
