"""Whom a resource or trust policy names, and how far that goes.

Naming somebody by their own ARN gives them what the statement allows, whatever their own policies
leave out. Naming their role leaves them within the role's boundary and the session's policy. Naming
their account only lets the account's own policies give it. So what is asked here is not whether a
caller is named but how, and an Allow is worth as much as its strongest naming.

NotPrincipal is no complement of that. Who is not to be denied has to be listed by their own ARN:
listing the account or the role of a session spares none of its users and sessions. And whoever has
a permissions boundary is denied in any case. All of it is IAM's own: it errs to the safe side.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Final

from inservice.identity.principal import Principal, PrincipalKind

KINDS: Final = ("AWS", "Service", "Federated", "CanonicalUser")
"""Under which a policy names principals."""

_ARN: Final = re.compile(
    r"arn:aws(-[a-z]+)*:(iam|sts)::[0-9]{12}:"
    r"(root|(user|role)/[!-~]+|assumed-role/[^/\s]+/[^/\s]+|federated-user/[^/\s]+)"
)
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_UNIQUE_ID: Final = re.compile(r"A(IDA|ROA)[A-Z0-9]{12,124}")
_HOST: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
"""Of a service or a provider. Some services are not of amazonaws.com: alexa-appkit.amazon.com."""
_PROVIDER: Final = re.compile(
    r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:(oidc-provider|saml-provider)/[!-~]+"
)


class Naming(enum.IntEnum):
    """How a statement names a caller, from not at all to by their own name."""

    NOT = 0
    ACCOUNT = 1
    ROLE = 2
    DIRECT = 3


def is_principal(kind: str, value: str) -> bool:
    """Whether a policy can name this one. Whether it exists is another question."""
    if "*" in value or "?" in value:
        return value == "*" and kind == "AWS"
    match kind:
        case "AWS":
            return any(form.fullmatch(value) for form in (_ARN, _ACCOUNT, _UNIQUE_ID))
        case "Service":
            return _HOST.fullmatch(value) is not None
        case "Federated":
            return any(form.fullmatch(value) for form in (_PROVIDER, _HOST))
        case _:
            return bool(value)


class Caller:
    """The names by which a policy can mean somebody. Made once for many requests."""

    def __init__(self, principal: Principal, *, bounded: bool) -> None:
        kind = principal.kind
        self.bounded: Final = bounded  # has a permissions boundary
        self.kind: Final = kind
        own = {principal.arn}
        account = {principal.account, f"arn:aws:iam::{principal.account}:root"}
        if kind is PrincipalKind.ROOT:
            own |= account
        if kind is PrincipalKind.USER and principal.id:
            own.add(principal.id)
        of_account = kind in (
            PrincipalKind.USER,
            PrincipalKind.ROLE_SESSION,
            PrincipalKind.FEDERATED_USER,
        )
        role = {principal.role_arn, principal.id} if kind is PrincipalKind.ROLE_SESSION else set()
        self.own: Final = frozenset(own)
        self.role: Final = frozenset(role - {""})
        self.account: Final = frozenset(account if of_account else ())
        match kind:
            case PrincipalKind.SERVICE:
                self.listed_as = "Service"
            case PrincipalKind.WEB_IDENTITY:
                self.listed_as = "Federated"
            case _:
                self.listed_as = "AWS"


class Principals:
    """A Principal or a NotPrincipal element."""

    def __init__(self, named: Sequence[tuple[str, str]], *, negated: bool, denies: bool) -> None:
        self.named: Final = tuple(named)  # kind of principal and value
        self.negated: Final = negated
        self.denies: Final = denies
        self.everyone: Final = ("AWS", "*") in self.named
        self.by_kind: Final = {
            kind: frozenset(value for each, value in self.named if each == kind) for kind in KINDS
        }

    def naming(self, caller: Caller) -> Naming:
        """How it names a caller; NOT if the statement is not about them."""
        listed = self.by_kind[caller.listed_as]
        own = self.everyone or not listed.isdisjoint(caller.own)
        if self.negated:
            spared = own and not (self.denies and caller.bounded)
            return Naming.NOT if spared else Naming.DIRECT
        if own:
            return Naming.DIRECT
        if not listed.isdisjoint(caller.role):
            return Naming.ROLE
        return Naming.NOT if listed.isdisjoint(caller.account) else Naming.ACCOUNT
