"""On which terms a user or root is given temporary credentials: GetSessionToken as themselves,
GetFederationToken as somebody whom they vouch for.

    how long        as asked, twelve hours by default and 36 at most; root's last an hour
    session policy  only of who is vouched for: what they may do is what both it and the user's own
                    policies allow, and without one that is nothing
    tags            only of who is vouched for
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from inservice.identity.principal import Principal, PrincipalKind, Session, federated_user
from inservice.identity.sts.assuming import Asked, checked_tags, refuse_large

DEFAULT_SECONDS: Final = 43_200
ROOT_SECONDS_MAX: Final = 3_600
"""Root's last no longer, whatever is asked: that is no error, as on AWS."""


def of_oneself(caller: Principal, seconds: int | None, now: float) -> Session:
    """The session that GetSessionToken begins."""
    issued = float(int(now))
    return Session(
        principal=caller,
        issued_at=issued,
        expires_at=issued + _seconds(caller, seconds),
        issuer_arn=caller.arn,
        issuer_id=caller.id,
    )


def of_another(caller: Principal, asked: Asked, now: float) -> Session:
    """The session that GetFederationToken begins for who is called `asked.session_name`.

    Raises ValidationError, MalformedPolicyDocument, InvalidParameterValue, PackedPolicyTooLarge.
    """
    issued = float(int(now))
    tags, _ = checked_tags(asked, None)
    session = Session(
        principal=federated_user(caller.account, asked.session_name),
        issued_at=issued,
        expires_at=issued + _seconds(caller, asked.seconds),
        policy=asked.policy,
        policy_arns=asked.policy_arns,
        tags=tags,
        issuer_arn=caller.arn,
        issuer_id=caller.id,
    )
    refuse_large(session)
    return session


def renamed(session: Session, arn: str) -> Session:
    """The session after the user who asked for it got another name."""
    own = session.principal.kind is PrincipalKind.USER
    principal = replace(session.principal, arn=arn) if own else session.principal
    return replace(session, principal=principal, issuer_arn=arn)


def _seconds(caller: Principal, asked: int | None) -> int:
    seconds = DEFAULT_SECONDS if asked is None else asked
    return min(seconds, ROOT_SECONDS_MAX) if caller.is_root else seconds
