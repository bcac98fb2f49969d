"""GetSessionToken and GetFederationToken: what a user has, for a while, as themselves or for
somebody whom they vouch for.

Both are for long-term keys, of users and of root (`identity.sts.limits`), and their sessions go
with the user. That a key is switched off or deleted ends none of them, as on AWS; that root's is
replaced does, since no policy could take anything from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.errors import AccessDeniedException, UnrecognizedClient
from inservice.identity.iam.arns import told
from inservice.identity.principal import Account, Principal, PrincipalKind
from inservice.identity.sts.assuming import Asked, packed_percent
from inservice.identity.sts.issuing import of_another, of_oneself
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sts import touches
from inservice.operations.sts.given import begin, credentials, passed_policies, refuse_mfa
from inservice.partitions import partition_of
from inservice.store.base import Reading

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import PolicyDescriptorTypeTypeDef, TagTypeDef


@operation("sts", "GetSessionToken", on=())
def get_session_token(
    call: Call,
    *,
    duration_seconds: int | None = None,
    serial_number: str | None = None,
    token_code: str | None = None,
) -> Document:
    """Give temporary keys of whoever asks. No policy is asked, which is AWS's rule."""
    refuse_mfa(serial_number, token_code)
    with call.store.transaction() as tx:
        session = of_oneself(_caller(tx, call), duration_seconds, call.now)
        key = begin(tx, session, call.now)
    return {"Credentials": credentials(key)}


@operation("sts", "GetFederationToken", on=(touches.federated_user,))
def get_federation_token(
    call: Call,
    *,
    name: str,
    policy: str | None = None,
    policy_arns: Sequence[PolicyDescriptorTypeTypeDef] = (),
    duration_seconds: int | None = None,
    tags: Sequence[TagTypeDef] = (),
) -> Document:
    """Give temporary keys to somebody who is called so."""
    with call.store.transaction() as tx:
        asked = Asked(
            session_name=name,
            seconds=duration_seconds,
            policy=policy,
            policy_arns=passed_policies(tx, call, call.account, policy_arns),
            tags=[(tag["Key"], tag["Value"]) for tag in tags],
        )
        session = of_another(_caller(tx, call), asked, call.now)
        key = begin(tx, session, call.now)
    return {
        "Credentials": credentials(key),
        "FederatedUser": {
            "FederatedUserId": session.principal.userid,
            "Arn": told(session.principal.arn, partition_of(call.region)),
        },
        "PackedPolicySize": packed_percent(session),
    }


def _caller(records: Reading, call: Call) -> Principal:
    """Who asks, if they are still there. Raises UnrecognizedClient, and AccessDeniedException for
    who is no user."""
    root = Account(call.account).root
    if call.principal == root.arn:
        return root
    caller = Principal(call.account, call.principal, call.user_id)
    if caller.kind is not PrincipalKind.USER:
        raise AccessDeniedException("Only users and root are given temporary credentials so.")
    if records.users.by_id(call.account, call.user_id) is None:
        raise UnrecognizedClient
    return caller
