"""Who may ask: accounts, principals and the access keys that stand for them.

Every account has a root principal; access keys of users and roles carry their own ARN. Nothing here
decides what a principal may do: `decide` does.

A principal is named as IAM names it, and the name says of what kind it is:

    arn:aws:iam::<account>:root                              root
    arn:aws:iam::<account>:user/<path><name>                 a user
    arn:aws:sts::<account>:assumed-role/<role>/<session>     a session of a role
    arn:aws:sts::<account>:federated-user/<name>             a session of a user, by another name
    arn:aws:iam::<account>:oidc-provider/<host>              whoever shows a token of that provider
    sagemaker.amazonaws.com                                  a service; of no account
    anonymous                                                who signed nothing; of no account

A name of any other form, or of another account than the principal's, is nobody's: UNKNOWN.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inservice.errors import ValidationException

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")


class PrincipalKind(enum.Enum):
    """What kind of principal asks. The value is its `aws:PrincipalType`."""

    ROOT = "Account"
    USER = "User"
    ROLE_SESSION = "AssumedRole"
    FEDERATED_USER = "FederatedUser"
    SERVICE = "Service"
    WEB_IDENTITY = "WebIdentityUser"
    ANONYMOUS = "Anonymous"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Account:
    """Owns resources. Its id is twelve digits, leading zeros included."""

    id: str

    def __post_init__(self) -> None:
        if not _ACCOUNT_ID.fullmatch(self.id):
            raise ValidationException(f"An account id is twelve digits, not {self.id!r}.")

    @property
    def root(self) -> Principal:
        """The principal that may do everything in this account."""
        return Principal(account=self.id, arn=f"arn:aws:iam::{self.id}:root")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks, named as IAM names it."""

    account: str  # "" of services and of the anonymous
    arn: str
    id: str = ""  # AIDA… of a user, AROA… of a session's role; "" where it is not known
    role_arn: str = (
        ""  # of a role's session: the role, with its path, which the session's ARN lacks
    )

    @property
    def is_root(self) -> bool:
        """Root is never asked for a policy: IAM's own rule."""
        return self.arn == f"arn:aws:iam::{self.account}:root"

    @property
    def kind(self) -> PrincipalKind:
        """What the ARN says."""
        if self.is_root:
            return PrincipalKind.ROOT
        for service, resource, kind in _FORMS:
            prefix = f"arn:aws:{service}::{self.account}:{resource}/"
            if self.account and self.arn.startswith(prefix) and len(self.arn) > len(prefix):
                parts = self.arn[len(prefix) :].split("/")
                whole = all(parts) and (kind is not PrincipalKind.ROLE_SESSION or len(parts) == 2)
                return kind if whole else PrincipalKind.UNKNOWN
        if not self.account:
            if self.arn == _ANONYMOUS:
                return PrincipalKind.ANONYMOUS
            if _SERVICE.fullmatch(self.arn):
                return PrincipalKind.SERVICE
        return PrincipalKind.UNKNOWN

    @property
    def name(self) -> str:
        """Its friendly name: of a user, of a session, of a service; root's is its account."""
        if self.is_root:
            return self.account
        return self.arn.rpartition("/")[2]

    @property
    def userid(self) -> str:
        """`aws:userid`, and what STS calls the UserId; "" if that is not known."""
        match self.kind:
            case PrincipalKind.ROOT:
                return self.account
            case PrincipalKind.USER:
                return self.id
            case PrincipalKind.ROLE_SESSION:
                return f"{self.id}:{self.name}" if self.id else ""
            case PrincipalKind.FEDERATED_USER:
                return f"{self.account}:{self.name}"
            case PrincipalKind.ANONYMOUS:
                return _ANONYMOUS
            case _:
                return ""

    def context(self) -> dict[str, str]:
        """The condition keys that only its principal decides, in lower case; those it has.

        `aws:PrincipalArn` of a role's session is its role's, as in IAM; it is absent while that is
        not known, since a policy that names the role must not match by a guess.
        """
        kind = self.kind
        arn = self.role_arn if kind is PrincipalKind.ROLE_SESSION else self.arn
        with_arn = kind not in (PrincipalKind.SERVICE, PrincipalKind.ANONYMOUS)
        keys = {
            "aws:principaltype": kind.value if kind is not PrincipalKind.UNKNOWN else "",
            "aws:principalisawsservice": str(kind is PrincipalKind.SERVICE).lower(),
            "aws:principalarn": arn if with_arn else "",
            "aws:principalaccount": self.account,
            "aws:userid": self.userid,
            "aws:username": self.name if kind is PrincipalKind.USER else "",
            "aws:principalservicename": self.arn if kind is PrincipalKind.SERVICE else "",
        }
        return {key: value for key, value in keys.items() if value}


_ANONYMOUS = "anonymous"

_FORMS = (
    ("iam", "user", PrincipalKind.USER),
    ("sts", "assumed-role", PrincipalKind.ROLE_SESSION),
    ("sts", "federated-user", PrincipalKind.FEDERATED_USER),
    ("iam", "oidc-provider", PrincipalKind.WEB_IDENTITY),
    ("iam", "saml-provider", PrincipalKind.WEB_IDENTITY),
)

ANONYMOUS = Principal("", _ANONYMOUS)
"""Who signed nothing."""


def user(account: str, name: str, path: str = "/", id: str = "") -> Principal:  # noqa: A002
    """The user of that name. Its path begins and ends with a slash."""
    return Principal(account, f"arn:aws:iam::{account}:user{path}{name}", id)


def role_session(
    account: str, role_name: str, session_name: str, path: str = "/", role_id: str = ""
) -> Principal:
    """One session of a role, which it is told apart by."""
    return Principal(
        account,
        f"arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}",
        role_id,
        f"arn:aws:iam::{account}:role{path}{role_name}",
    )


def federated_user(account: str, name: str) -> Principal:
    """The session that GetFederationToken gave to a name."""
    return Principal(account, f"arn:aws:sts::{account}:federated-user/{name}")


def service(name: str) -> Principal:
    """A service of AWS that acts by itself, as `sagemaker.amazonaws.com`."""
    return Principal("", name)


def web_identity(account: str, provider_arn: str) -> Principal:
    """Whoever shows a token of an identity provider, before a role is assumed with it."""
    return Principal(account, provider_arn)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """When and for what a key signed something."""

    at: float  # epoch seconds
    service: str  # as it stands in the scope of the signature
    region: str


@dataclass(frozen=True, slots=True)
class Session:
    """The terms on which a temporary key was given: as whom it acts, for how long, and what bounds
    it beside what its role holds."""

    principal: Principal
    issued_at: float  # epoch seconds
    expires_at: float  # epoch seconds
    policy: str | None = None  # an inline session policy, as it was given
    policy_arns: tuple[str, ...] = ()  # managed session policies, as they are kept
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive: tuple[str, ...] = ()  # keys of `tags` that a session begun by this one has as well
    source_identity: str = ""
    issuer_arn: str = ""  # of no role: who asked for it, a user or root
    issuer_id: str = ""  # the id of that user
    keys: Mapping[str, str] = field(default_factory=dict)
    """Condition keys beside those of every session, in small letters: what an identity provider
    said."""

    @property
    def holder(self) -> str:
        """ARN of whom its policies are: of its role, with the path, or of who asked for it."""
        return self.issuer_arn or self.principal.role_arn

    @property
    def owner(self) -> str:
        """The id of whoever that is; root has none."""
        return self.issuer_id if self.issuer_arn else self.principal.id

    @property
    def is_of_root(self) -> bool:
        """Whether root asked for it."""
        return self.holder == f"arn:aws:iam::{self.principal.account}:root"

    def to_plain(self) -> dict[str, Any]:
        """As JSON can have it."""
        who = self.principal
        return {
            "principal": [who.account, who.arn, who.id, who.role_arn],
            "issued_at": self.issued_at,
            "expires_at": self.expires_at,
            "policy": self.policy,
            "policy_arns": list(self.policy_arns),
            "tags": dict(self.tags),
            "transitive": list(self.transitive),
            "source_identity": self.source_identity,
            "issuer": [self.issuer_arn, self.issuer_id],
            "keys": dict(self.keys),
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Session:
        """What `to_plain` made, perhaps that of an older version."""
        issuer_arn, issuer_id = plain.get("issuer", ("", ""))
        return Session(
            principal=Principal(*plain["principal"]),
            issued_at=plain["issued_at"],
            expires_at=plain["expires_at"],
            policy=plain["policy"],
            policy_arns=tuple(plain["policy_arns"]),
            tags=plain["tags"],
            transitive=tuple(plain["transitive"]),
            source_identity=plain["source_identity"],
            issuer_arn=issuer_arn,
            issuer_id=issuer_id,
            keys=plain.get("keys", {}),
        )


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What a client signs with, and for whom. The secret shows in no log: it is not in the repr."""

    id: str
    secret: str = field(repr=False)
    principal: Principal
    session_token: str | None = field(default=None, repr=False)  # of temporary keys only
    expires_at: float | None = None  # epoch seconds; None: until it is deleted
    created_at: float = 0.0  # epoch seconds
    is_active: bool = True  # whether it signs anything; IAM's Status
    last_use: KeyUse | None = None  # of which we know
    session: Session | None = None  # of temporary keys: on which terms
