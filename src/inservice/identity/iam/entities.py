"""Users, groups, roles and policies: everything that IAM keeps, as values.

An entity is whole in itself: what is attached to it, what it holds inline, its tags and its
boundary are part of it, so it is read at once, changed at once, and never half there. What it
refers to it names by what never changes: a group by its id, a managed policy by its ARN, since a
policy cannot be renamed and cannot go while it is attached.

ARNs are kept in the partition `aws`, whichever a caller sees: one server answers for the regions of
all (see `arns`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inservice.identity.iam.arns import entity_arn, provider_arn


@dataclass(frozen=True, slots=True)
class InlinePolicy:
    """A policy that is part of one entity."""

    name: str
    document: str  # as it was put


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with long-term access keys."""

    account: str
    name: str
    path: str
    id: str  # AIDA…
    created_at: float  # epoch seconds
    tags: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()  # ids
    attached: tuple[str, ...] = ()  # ARNs of managed policies
    inline: tuple[InlinePolicy, ...] = ()
    boundary: str | None = None  # ARN of a managed policy

    @property
    def arn(self) -> str:
        """Its ARN."""
        return entity_arn(self.account, "user", self.path, self.name)


@dataclass(frozen=True, slots=True)
class Group:
    """What several users have in common. Never a principal."""

    account: str
    name: str
    path: str
    id: str  # AGPA…
    created_at: float  # epoch seconds
    attached: tuple[str, ...] = ()  # ARNs of managed policies
    inline: tuple[InlinePolicy, ...] = ()

    @property
    def arn(self) -> str:
        """Its ARN."""
        return entity_arn(self.account, "group", self.path, self.name)


@dataclass(frozen=True, slots=True)
class Role:
    """Somebody whom others become for a while."""

    account: str
    name: str
    path: str
    id: str  # AROA…
    created_at: float  # epoch seconds
    trust: str  # AssumeRolePolicyDocument, as it was put
    bound: Mapping[str, str] = field(default_factory=dict)
    """Of the users and roles that `trust` names, by the ARN in it, the id that each had then. A
    statement means them and nobody else: one of the same name that is made later is another."""
    description: str = ""
    max_session_seconds: int = 3600
    tags: Mapping[str, str] = field(default_factory=dict)
    attached: tuple[str, ...] = ()  # ARNs of managed policies
    inline: tuple[InlinePolicy, ...] = ()
    boundary: str | None = None  # ARN of a managed policy
    service: str = ""  # whose own it is: a service-linked role
    used_at: float | None = None  # epoch seconds, when its credentials last signed something
    used_region: str = ""

    @property
    def arn(self) -> str:
        """Its ARN."""
        return entity_arn(self.account, "role", self.path, self.name)


Entity = User | Group | Role
"""What policies can be attached to."""


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One text of a managed policy."""

    number: int
    document: str  # as it was given
    created_at: float  # epoch seconds

    @property
    def id(self) -> str:
        """As requests name it."""
        return f"v{self.number}"


@dataclass(frozen=True, slots=True)
class CustomerPolicy:
    """A managed policy of the account's own, that can be attached to many."""

    account: str
    name: str
    path: str
    id: str  # ANPA…
    created_at: float  # epoch seconds
    modified_at: float  # epoch seconds, when its newest version was made
    versions: tuple[PolicyVersion, ...]  # the oldest first
    default: int  # the number of the version that counts
    newest: int  # the highest number ever given: none comes again
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return entity_arn(self.account, "policy", self.path, self.name)

    @property
    def document(self) -> str:
        """The text that counts."""
        return next(each.document for each in self.versions if each.number == self.default)


def by_name(policies: tuple[InlinePolicy, ...], name: str) -> InlinePolicy | None:
    """The inline policy of this name, whatever its case."""
    return next((each for each in policies if each.name.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """Whose tokens the account takes for its roles: an issuer, and for which audiences."""

    account: str
    name: str  # its URL without `https://`, as trust policies name it
    url: str  # as its tokens have it in `iss`
    created_at: float  # epoch seconds
    client_ids: tuple[str, ...] = ()
    thumbprints: tuple[str, ...] = ()  # kept and told; whom TLS trusts is the host's to say
    tags: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"  # it has none: records of this kind have one

    @property
    def id(self) -> str:
        """What never changes of it is its name."""
        return self.name

    @property
    def arn(self) -> str:
        """Its ARN."""
        return provider_arn(self.account, self.name)
