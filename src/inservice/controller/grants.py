"""What principals hold, and what endpoints are tagged with: known to control, told to the gateways.

Control asks for each request of a user, so it is in memory, compiled. A change of a user is a
reading of that user; one of a group or of a policy is a reading of those that it bears on, so that
it costs by them and not by how many users there are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from inservice.controller.kit.following import Following
from inservice.controller.kit.tables import Tables
from inservice.errors import MalformedPolicyDocument, ServiceUnavailable
from inservice.hosting.arn import ResourceArn, ResourceKind, parse_arn
from inservice.identity.authority import Authority
from inservice.identity.iam.entities import Entity, User
from inservice.identity.principal import Principal
from inservice.store.base import Reading, Store
from inservice.store.collections.groups import GROUPS
from inservice.store.collections.policies import POLICIES
from inservice.store.collections.tags import TAGS
from inservice.store.collections.users import USERS
from inservice.store.entities import EntityId
from inservice.store.held import held_by

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Held:
    """One user, as of a reading."""

    user: User
    authority: Authority
    policies: frozenset[str]  # ARNs of the managed ones on which it depends
    text: str  # the authority, as gateways are told it


@dataclass(frozen=True)
class _Changed:
    """What is to be told."""

    arns: frozenset[str] = frozenset()  # of users
    endpoints: frozenset[str] = frozenset()  # ARNs of those whose tags are others
    whole: bool = False  # everything there is, and that there is nothing else

    def and_also(self, later: _Changed) -> _Changed:
        return _Changed(
            self.arns | later.arns, self.endpoints | later.endpoints, self.whole or later.whole
        )


class Grants:
    """Who may do what, as far as it is given by policies."""

    def __init__(self, store: Store, tables: Tables) -> None:
        self._store = store
        self._tables = tables
        self._lock = threading.Lock()  # readings are in the threads that committed
        self._users: dict[EntityId, _Held] = {}
        self._held: Mapping[str, _Held] = {}  # by ARN; replaced, never changed
        self._tags: dict[str, Mapping[str, str]] = {}  # of endpoints, by ARN
        self._due = _Changed()
        self._following = Following("grants", whole=self._all, know=self._know, tell=self._tell)

    def authority_of(self, principal: Principal) -> Authority:
        """What a principal holds: nothing, where nobody has given it anything. From any thread."""
        held = self._held.get(principal.arn)
        return Authority(principal) if held is None else held.authority

    async def follow(self) -> None:
        """Know what the store knows from now on, and tell the gateways."""
        feed, following = self._store.feed, self._following
        following.heed(feed, USERS, self._of_users)
        following.heed(feed, GROUPS, self._of_groups)
        following.heed(feed, POLICIES, self._of_policies)
        following.heed(feed, TAGS, self._of_tags)
        await following.begin()

    async def keep_told(self) -> None:
        """Tell again what could not be told, until cancelled."""
        await self._following.keep_told()

    def close(self) -> None:
        """Follow no more."""
        self._following.close()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def _all(self) -> _Changed:
        with self._lock, self._store.reading() as records:
            users = {(user.account, user.id): user for user in records.users.every()}
            every = records.tags.every().items()
            self._tags = {arn: labels for arn, labels in every if _is_endpoint(parse_arn(arn))}
            self._users = {key: _held(records, user) for key, user in users.items()}
            self._hold()
            return _Changed(whole=True)

    def _of_users(self, ids: Collection[EntityId]) -> _Changed:
        with self._lock, self._store.reading() as records:
            return self._read(records, ids)

    def _of_groups(self, ids: Collection[EntityId]) -> _Changed:
        changed = {group_id for _, group_id in ids}
        with self._lock, self._store.reading() as records:
            members = [key for key, held in self._users.items() if changed & set(held.user.groups)]
            return self._read(records, members)

    def _of_policies(self, ids: Collection[EntityId]) -> _Changed:
        """One that is gone was attached to nobody."""
        with self._lock, self._store.reading() as records:
            found = (records.policies.by_id(account, policy_id) for account, policy_id in ids)
            changed = {policy.arn for policy in found if policy is not None}
            holders = [key for key, held in self._users.items() if changed & held.policies]
            return self._read(records, holders)

    def _read(self, records: Reading, ids: Collection[EntityId]) -> _Changed:
        """Read some users anew. ARNs that changed: of what they were called, and are."""
        arns: set[str] = set()
        for key in ids:
            before = self._users.pop(key, None)
            if before is not None:
                arns.add(before.user.arn)
            user = records.users.by_id(*key)
            if user is not None:
                self._users[key] = _held(records, user)
                arns.add(user.arn)
        if arns:
            self._hold()
        return _Changed(arns=frozenset(arns))

    def _hold(self) -> None:
        self._held = {held.user.arn: held for held in self._users.values()}

    def _of_tags(self, arns: Collection[str]) -> _Changed:
        endpoints = [arn for arn in map(parse_arn, arns) if arn and _is_endpoint(arn)]
        with self._lock, self._store.reading() as records:
            for arn in endpoints:
                if labels := records.tags.of(arn):
                    self._tags[str(arn)] = labels
                else:
                    self._tags.pop(str(arn), None)
        return _Changed(endpoints=frozenset(map(str, endpoints)))

    # ── telling ─────────────────────────────────────────────────────────────────────────────────
    def _know(self, changed: _Changed) -> None:
        self._due = self._due.and_also(changed)

    def _tell(self) -> None:
        due, held, tags = self._due, self._held, dict(self._tags)
        if due.whole:
            self._tables.renew_grants({arn: one.text for arn, one in held.items()}, tags)
        else:
            texts = {arn: one.text if (one := held.get(arn)) else None for arn in due.arns}
            self._tables.publish_grants(texts, {arn: tags.get(arn, {}) for arn in due.endpoints})
        self._due = _Changed()


def _held(records: Reading, user: User) -> _Held:
    """Who has lost a policy has lost all: it may have been what denied something."""
    groups = [records.groups.by_id(user.account, group_id) for group_id in user.groups]
    holders: list[Entity] = [user, *(group for group in groups if group is not None)]
    named = {arn for holder in holders for arn in holder.attached} | {user.boundary or ""}
    principal = Principal(user.account, user.arn, user.id)
    try:
        held = held_by(records, user)
    except (ServiceUnavailable, MalformedPolicyDocument) as lost:
        _log.error("grants.lost", user=user.arn, why=str(lost))
        authority = Authority(principal, tags=user.tags)
    else:
        authority = Authority(principal, held.policies, held.boundary, tags=user.tags)
    text = json.dumps(authority.to_plain(), separators=(",", ":"))
    return _Held(user, authority, frozenset(named), text)


def _is_endpoint(arn: ResourceArn | None) -> bool:
    return arn is not None and arn.kind is ResourceKind.ENDPOINT
