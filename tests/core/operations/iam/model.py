"""IAM as a few dictionaries: what random calls are compared with.

It knows names, what hangs on what and what refuses a deletion; nothing of documents, ids, pages or
records. An operation gives the code with which it is refused, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

AWS = "arn:aws:iam::aws:policy/ReadOnlyAccess"


Whole = dict[tuple[str, str], dict[str, Any]]
"""All of an account, by kind and name."""


def told(details: Mapping[str, Any], keys_of: Callable[[str], Mapping[str, str]]) -> Whole:
    """What GetAccountAuthorizationDetails says; `keys_of` a user's name are statuses by id."""
    every: Whole = {}
    for kind in ("User", "Group", "Role"):
        for each in details[f"{kind}DetailList"]:
            name = each[f"{kind}Name"]
            boundary = each.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
            every[kind, name] = {
                "attached": {one["PolicyArn"] for one in each["AttachedManagedPolicies"]},
                "inline": {one["PolicyName"] for one in each.get(f"{kind}PolicyList", ())},
                "boundary": boundary,
                "tags": {(one["Key"], one["Value"]) for one in each.get("Tags", ())},
                "groups": set(each.get("GroupList", ())),
                "keys": dict(keys_of(name)) if kind == "User" else {},
            }
    for each in details["Policies"]:
        if each["Arn"] != AWS:
            versions = [(v["VersionId"], v["IsDefaultVersion"]) for v in each["PolicyVersionList"]]
            every["Policy", each["Arn"]] = {"versions": versions}
    return every


@dataclass
class Entity:
    """A user, a group or a role."""

    name: str
    number: int
    attached: set[str] = field(default_factory=set)
    inline: dict[str, str] = field(default_factory=dict)  # by lower name, as first spelled
    groups: set[int] = field(default_factory=set)  # numbers
    keys: dict[str, str] = field(default_factory=dict)  # id → status
    boundary: str | None = None
    tags: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Policy:
    """A managed policy."""

    name: str
    versions: list[int] = field(default_factory=lambda: [1])
    default: int = 1
    newest: int = 1


@dataclass
class Model:
    """An account."""

    account: str
    entities: dict[tuple[str, str], Entity] = field(default_factory=dict)  # (kind, lower name)
    policies: dict[str, Policy] = field(default_factory=dict)  # by lower name
    made: int = 0  # entities, ever

    def arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account}:policy/{name}"

    def policy_at(self, arn: str) -> Policy | None:
        found = self.policies.get(arn.rpartition("/")[2].lower())
        return found if found is not None and self.arn(found.name) == arn else None

    # ── entities ────────────────────────────────────────────────────────────────────────────────
    def create(self, kind: str, name: str) -> str | None:
        if (kind, name.lower()) in self.entities:
            return "EntityAlreadyExists"
        self.made += 1
        self.entities[kind, name.lower()] = Entity(name, self.made)
        return None

    def delete(self, kind: str, name: str) -> str | None:
        def gone(entity: Entity) -> str | None:
            group = kind == "Group" and any(
                entity.number in each.groups for each in self.entities.values()
            )
            hangs = entity.attached or entity.inline or entity.groups or entity.keys or group
            if hangs:
                return "DeleteConflict"
            del self.entities[kind, name.lower()]
            return None

        return self._with(kind, name, gone)

    def rename(self, kind: str, name: str, new: str) -> str | None:
        def renamed(entity: Entity) -> str | None:
            if new.lower() != name.lower() and (kind, new.lower()) in self.entities:
                return "EntityAlreadyExists"
            del self.entities[kind, name.lower()]
            entity.name = new
            self.entities[kind, new.lower()] = entity
            return None

        return self._with(kind, name, renamed)

    def join(self, user: str, group: str, *, leave: bool) -> str | None:
        joined = self.entities.get(("Group", group.lower()))
        member = self.entities.get(("User", user.lower()))
        if joined is None or member is None:
            return "NoSuchEntity"
        if not leave:
            member.groups.add(joined.number)
        elif joined.number not in member.groups:
            return "NoSuchEntity"
        else:
            member.groups.remove(joined.number)
        return None

    # ── what hangs on them ──────────────────────────────────────────────────────────────────────
    def attach(self, kind: str, name: str, arn: str) -> str | None:
        def attached(entity: Entity) -> str | None:
            if arn != AWS and self.policy_at(arn) is None:
                return "NoSuchEntity"
            entity.attached.add(arn)
            return None

        return self._with(kind, name, attached)

    def detach(self, kind: str, name: str, arn: str) -> str | None:
        def detached(entity: Entity) -> str | None:
            if arn not in entity.attached:
                return "NoSuchEntity"
            entity.attached.remove(arn)
            return None

        return self._with(kind, name, detached)

    def put(self, kind: str, name: str, policy: str) -> str | None:
        def put(entity: Entity) -> str | None:
            entity.inline.setdefault(policy.lower(), policy)
            return None

        return self._with(kind, name, put)

    def drop(self, kind: str, name: str, policy: str) -> str | None:
        def dropped(entity: Entity) -> str | None:
            return None if entity.inline.pop(policy.lower(), None) else "NoSuchEntity"

        return self._with(kind, name, dropped)

    def bound(self, kind: str, name: str, arn: str | None) -> str | None:
        def bound(entity: Entity) -> str | None:
            if arn is None and entity.boundary is None:
                return "NoSuchEntity"
            if arn not in (None, AWS) and self.policy_at(arn or "") is None:
                return "NoSuchEntity"
            entity.boundary = arn
            return None

        return self._with(kind, name, bound)

    def tag(self, kind: str, name: str, key: str, value: str | None) -> str | None:
        def tagged(entity: Entity) -> str | None:
            entity.tags.pop(key.lower(), None)
            if value is not None:
                entity.tags[key.lower()] = key, value
            return None

        return self._with(kind, name, tagged)

    def may_have_key(self, name: str) -> str | None:
        full = lambda user: "LimitExceeded" if len(user.keys) >= 2 else None  # noqa: E731
        return self._with("User", name, full)

    # ── managed policies ────────────────────────────────────────────────────────────────────────
    def create_policy(self, name: str) -> str | None:
        if name.lower() in self.policies:
            return "EntityAlreadyExists"
        self.policies[name.lower()] = Policy(name)
        return None

    def delete_policy(self, arn: str) -> str | None:
        policy = self.policy_at(arn)
        if policy is None:
            return "NoSuchEntity"
        held = any(arn in e.attached or e.boundary == arn for e in self.entities.values())
        if held or len(policy.versions) > 1:
            return "DeleteConflict"
        del self.policies[policy.name.lower()]
        return None

    def add_version(self, arn: str, *, default: bool) -> str | None:
        policy = self.policy_at(arn)
        if policy is None:
            return "NoSuchEntity"
        if len(policy.versions) >= 5:
            return "LimitExceeded"
        policy.newest += 1
        policy.versions.append(policy.newest)
        policy.default = policy.newest if default else policy.default
        return None

    def delete_version(self, arn: str, number: int) -> str | None:
        policy = self.policy_at(arn)
        if policy is None or number not in policy.versions:
            return "NoSuchEntity"
        if number == policy.default:
            return "DeleteConflict"
        policy.versions.remove(number)
        return None

    # ── all of it ───────────────────────────────────────────────────────────────────────────────
    def whole(self) -> Whole:
        """What `told` makes of an account that has this."""
        numbers = {e.number: e.name for (kind, _), e in self.entities.items() if kind == "Group"}
        every: Whole = {
            (kind, e.name): {
                "attached": set(e.attached),
                "inline": set(e.inline.values()),
                "boundary": e.boundary,
                "tags": set(e.tags.values()),
                "groups": {numbers[number] for number in e.groups},
                "keys": dict(e.keys),
            }
            for (kind, _), e in self.entities.items()
        }
        for policy in self.policies.values():
            versions = [(f"v{n}", n == policy.default) for n in reversed(policy.versions)]
            every["Policy", self.arn(policy.name)] = {"versions": versions}
        return every

    def _with(self, kind: str, name: str, change: Callable[[Entity], str | None]) -> str | None:
        entity = self.entities.get((kind, name.lower()))
        return "NoSuchEntity" if entity is None else change(entity)
