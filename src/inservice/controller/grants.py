"""What principals hold, and what endpoints are tagged with: known to control, told to the gateways.

Control asks for each request of a user, so it is in memory, compiled. A change of a user or a role
is a reading of that one; one of a group or of a policy is a reading of those that it bears on, so
that it costs by them and not by how many users there are.

A session holds what its role does, within the policies that it was begun with. So nothing is told
of a session that its key does not say: roles are told like users, and beside them those managed
policies that some session was begun with, as they are now.
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
from inservice.identity.authority import AttachedPolicy, Authority, in_session
from inservice.identity.iam.entities import CustomerPolicy, Entity, Role, User
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import AccessKey, Principal
from inservice.store.base import Reading, Store
from inservice.store.collections.groups import GROUPS
from inservice.store.collections.policies import POLICIES
from inservice.store.collections.roles import ROLES
from inservice.store.collections.sessions import SESSIONS
from inservice.store.collections.tags import TAGS
from inservice.store.collections.users import USERS
from inservice.store.entities import EntityId
from inservice.store.held import held_by, policy_at

_log = structlog.get_logger(__name__)


COMPILED_MAX = 1_024
"""Sessions of which it is kept what they hold; of others it is put together when they ask."""


@dataclass(frozen=True)
class _Held:
    """One user or role, as of a reading."""

    entity: User | Role
    authority: Authority
    policies: frozenset[str]  # ARNs of the managed ones on which it depends
    text: str  # the authority, as gateways are told it


@dataclass(frozen=True)
class _Passed:
    """A managed policy that some session was begun with, as of a reading."""

    id: str  # "" of AWS's own
    attached: AttachedPolicy
    text: str  # as gateways are told it


@dataclass(frozen=True)
class _Changed:
    """What is to be told."""

    arns: frozenset[str] = frozenset()  # of users, roles, and policies passed to sessions
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
        self._holders: dict[EntityId, _Held] = {}
        self._begun_with: dict[str, tuple[str, ...]] = {}  # ARNs of policies, by session
        self._passed: Mapping[str, _Passed] = {}  # by ARN; replaced, never changed
        self._compiled: dict[str, tuple[object, object, Authority]] = {}  # by session
        self._held: Mapping[str, _Held] = {}  # by ARN; replaced, never changed
        self._tags: dict[str, Mapping[str, str]] = {}  # of endpoints, by ARN
        self._due = _Changed()
        self._following = Following("grants", whole=self._all, know=self._know, tell=self._tell)

    def authority_of(self, key: AccessKey) -> Authority:
        """What is held by who signs with a key: nothing, where nobody has given anything. From any
        thread."""
        session = key.session
        held = self._held.get(key.principal.arn if session is None else session.holder)
        if session is None:
            return Authority(key.principal) if held is None else held.authority
        passed, known = self._passed, self._compiled.get(key.id)
        if known is not None and known[0] is held and known[1] is passed:
            return known[2]
        policies = {arn: each.attached for arn, each in passed.items()}
        authority = in_session(session, None if held is None else held.authority, policies)
        if len(self._compiled) >= COMPILED_MAX:
            self._compiled = {}
        self._compiled[key.id] = held, passed, authority
        return authority

    async def follow(self) -> None:
        """Know what the store knows from now on, and tell the gateways."""
        feed, following = self._store.feed, self._following
        following.heed(feed, USERS, self._of_holders)
        following.heed(feed, ROLES, self._of_holders)
        following.heed(feed, SESSIONS, self._of_sessions)
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
            everybody: list[User | Role] = [*records.users.every(), *records.roles.every()]
            every = records.tags.every().items()
            self._tags = {arn: labels for arn, labels in every if _is_endpoint(parse_arn(arn))}
            self._holders = {(one.account, one.id): _held(records, one) for one in everybody}
            self._hold()
            begun = {
                key.id: key.session.policy_arns for key in records.sessions.all() if key.session
            }
            self._begun_with = {key_id: arns for key_id, arns in begun.items() if arns}
            self._passed = {}
            self._pass(records)
            return _Changed(whole=True)

    def _of_holders(self, ids: Collection[EntityId]) -> _Changed:
        with self._lock, self._store.reading() as records:
            return self._read(records, ids)

    def _of_groups(self, ids: Collection[EntityId]) -> _Changed:
        changed = {group_id for _, group_id in ids}
        with self._lock, self._store.reading() as records:
            members = [
                key
                for key, held in self._holders.items()
                if isinstance(held.entity, User) and changed & set(held.entity.groups)
            ]
            return self._read(records, members)

    def _of_sessions(self, ids: Collection[str]) -> _Changed:
        with self._lock, self._store.reading() as records:
            for key_id in ids:
                key = records.sessions.find(key_id)
                if key is not None and key.session is not None and key.session.policy_arns:
                    self._begun_with[key_id] = key.session.policy_arns
                else:
                    self._begun_with.pop(key_id, None)
                    self._compiled.pop(key_id, None)
            return _Changed(arns=self._pass(records))

    def _of_policies(self, ids: Collection[EntityId]) -> _Changed:
        """One that is gone was attached to nobody; a session may have been begun with it."""
        with self._lock, self._store.reading() as records:
            found = (records.policies.by_id(account, policy_id) for account, policy_id in ids)
            changed = {policy.arn for policy in found if policy is not None}
            holders = [key for key, held in self._holders.items() if changed & held.policies]
            known = {policy_id for _, policy_id in ids}
            self._passed = {arn: each for arn, each in self._passed.items() if each.id not in known}
            return self._read(records, holders).and_also(_Changed(arns=self._pass(records)))

    def _read(self, records: Reading, ids: Collection[EntityId]) -> _Changed:
        """Read some users and roles anew. ARNs that changed: of what they were called, and are."""
        arns: set[str] = set()
        for key in ids:
            before = self._holders.pop(key, None)
            if before is not None:
                arns.add(before.entity.arn)
            entity = records.users.by_id(*key) or records.roles.by_id(*key)
            if entity is not None:
                self._holders[key] = _held(records, entity)
                arns.add(entity.arn)
        if arns:
            self._hold()
        return _Changed(arns=frozenset(arns))

    def _hold(self) -> None:
        self._held = {held.entity.arn: held for held in self._holders.values()}

    def _pass(self, records: Reading) -> frozenset[str]:
        """Have those policies that sessions were begun with, and no others. ARNs of those that came
        or went."""
        before = self._passed
        wanted = {arn for arns in self._begun_with.values() for arn in arns}
        passed = {arn: each for arn, each in before.items() if arn in wanted}
        for arn in wanted - passed.keys():
            if (policy := _passed(records, arn)) is not None:
                passed[arn] = policy
        self._passed = passed
        return frozenset(wanted ^ before.keys())

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
        due, tags = self._due, dict(self._tags)
        told: dict[str, _Held | _Passed] = {**self._held, **self._passed}
        if due.whole:
            self._tables.renew_grants({arn: one.text for arn, one in told.items()}, tags)
        else:
            texts = {arn: one.text if (one := told.get(arn)) else None for arn in due.arns}
            self._tables.publish_grants(texts, {arn: tags.get(arn, {}) for arn in due.endpoints})
        self._due = _Changed()


def _passed(records: Reading, arn: str) -> _Passed | None:
    """A managed policy; None for one that is gone, or was lost."""
    try:
        policy = policy_at(records, arn)
        if policy is None:
            return None
        parsed = parse_policy(policy.document, PolicyKind.MANAGED)
    except (ServiceUnavailable, MalformedPolicyDocument) as lost:
        _log.error("grants.lost", policy=arn, why=str(lost))
        return None
    attached = AttachedPolicy(parsed, policy.name, arn)
    policy_id = policy.id if isinstance(policy, CustomerPolicy) else ""
    return _Passed(policy_id, attached, json.dumps(attached.to_plain(), separators=(",", ":")))


def _held(records: Reading, entity: User | Role) -> _Held:
    """Who has lost a policy has lost all: it may have been what denied something."""
    ids = entity.groups if isinstance(entity, User) else ()
    groups = [records.groups.by_id(entity.account, group_id) for group_id in ids]
    holders: list[Entity] = [entity, *(group for group in groups if group is not None)]
    named = {arn for holder in holders for arn in holder.attached} | {entity.boundary or ""}
    principal = Principal(entity.account, entity.arn, entity.id)
    try:
        held = held_by(records, entity)
    except (ServiceUnavailable, MalformedPolicyDocument) as lost:
        _log.error("grants.lost", holder=entity.arn, why=str(lost))
        authority = Authority(principal, tags=entity.tags)
    else:
        authority = Authority(principal, held.policies, held.boundary, tags=entity.tags)
    text = json.dumps(authority.to_plain(), separators=(",", ":"))
    return _Held(entity, authority, frozenset(named), text)


def _is_endpoint(arn: ResourceArn | None) -> bool:
    return arn is not None and arn.kind is ResourceKind.ENDPOINT
