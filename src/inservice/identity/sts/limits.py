"""What temporary credentials may not call, whatever their policies say: AWS's own rules.

                          IAM                       STS
    session of a role     as it may                 all but GetSessionToken, GetFederationToken
    GetSessionToken       nothing: it wants MFA     AssumeRole and GetCallerIdentity
    GetFederationToken    nothing                   GetCallerIdentity

To IAM, keys that may not call it are unknown ones, and it says so. Root's sessions are root's but
for this: what makes accounts and replaces root's key is as IAM's.
"""

from __future__ import annotations

from typing import Final

from inservice.errors import AccessDeniedException, UnrecognizedClient
from inservice.identity.principal import PrincipalKind, Session

_GIVES_TOKENS: Final = frozenset(("GetSessionToken", "GetFederationToken"))
_OF_USERS: Final = frozenset(("AssumeRole", "GetCallerIdentity"))
_OF_FEDERATED: Final = frozenset(("GetCallerIdentity",))
_LIKE_IAM: Final = frozenset(("CreateAccount", "DeleteAccount", "RotateRootAccessKey"))


def check_session(session: Session | None, service: str, operation: str) -> None:
    """Refuse what a session may not call. Raises UnrecognizedClient and AccessDeniedException."""
    if session is None:
        return
    kind = session.principal.kind
    of_role = kind is PrincipalKind.ROLE_SESSION
    if service == "iam" and not of_role:
        raise UnrecognizedClient
    if of_role:
        allowed = operation not in _GIVES_TOKENS
    elif kind is PrincipalKind.FEDERATED_USER:
        allowed = operation in _OF_FEDERATED
    else:
        allowed = operation in _OF_USERS
    if (service == "sts" and not allowed) or (service == "inservice" and operation in _LIKE_IAM):
        raise AccessDeniedException(f"Cannot call {operation} with session credentials")
