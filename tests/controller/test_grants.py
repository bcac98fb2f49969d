"""What principals hold: known when it changes, told to the gateways, taken away in doubt."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.controller.grants import Grants
from inservice.controller.kit import following
from inservice.errors import ServiceUnavailable
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.identity.authority import AttachedPolicy, Authority, in_session
from inservice.identity.decide import Question, decide
from inservice.identity.iam.entities import CustomerPolicy, InlinePolicy, PolicyVersion
from inservice.identity.principal import AccessKey, Principal
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from tests.contracts.store_records import ACCOUNT, group, role, session, user

ENDPOINT = ResourceArn(ResourceKind.ENDPOINT, ACCOUNT, "us-east-1", "e")


class Gates:
    """What the gateways know, and what they were told."""

    def __init__(self) -> None:
        self.authorities: dict[str, str] = {"arn:of:nobody": "{}"}  # of a life before
        self.tags: dict[str, Mapping[str, str]] = {"arn:of:nothing": {"a": "b"}}
        self.full = False

    def publish_grants(
        self, authorities: Mapping[str, str | None], tags: Mapping[str, Mapping[str, str]]
    ) -> None:
        if self.full:
            raise OSError("no space left on device")
        held: dict[str, str | None] = {**self.authorities, **authorities}
        self.authorities = {arn: text for arn, text in held.items() if text is not None}
        self.tags = {arn: each for arn, each in {**self.tags, **tags}.items() if each}

    def renew_grants(
        self, authorities: Mapping[str, str], tags: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.authorities, self.tags = {}, {}
        self.publish_grants(authorities, tags)


def document(*actions: str, effect: str = "Allow") -> str:
    statement = {"Effect": effect, "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def managed_policy(name: str, text: str) -> CustomerPolicy:
    versions = (PolicyVersion(1, text, 1.0),)
    return CustomerPolicy(ACCOUNT, name, "/", f"ANPA{name}", 1.0, 1.0, versions, 1, 1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def opened(place: Path) -> Store:
    return open_store(f"sqlite:///{place / 's.db'}", key_file=place / "secrets.key")


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    store = opened(place)
    yield store
    store.close()


def through(store: Store, gates: Gates, *acts: Callable[[Grants], None]) -> Grants:
    """Grants that have followed what each of `acts` committed, in a thread as callers do."""
    grants = Grants(store, gates)  # type: ignore[arg-type]

    async def follow() -> None:
        await grants.follow()
        telling = asyncio.create_task(grants.keep_told())
        for act in acts:
            await asyncio.get_running_loop().run_in_executor(None, act, grants)
            await asyncio.sleep(0)
        telling.cancel()
        grants.close()

    asyncio.run(follow())
    return grants


def may(grants: Grants, arn: str, action: str) -> bool:
    key = AccessKey("AKIA", "secret", Principal(ACCOUNT, arn))
    return decide(grants.authority_of(key), Question(action)).allowed


def told(gates: Gates, arn: str, action: str) -> bool:
    """The same, by what a gateway was told."""
    text = gates.authorities.get(arn)
    if text is None:
        return False
    return decide(Authority.from_plain(json.loads(text)), Question(action)).allowed


def test_what_a_user_a_group_and_a_policy_give_counts_when_the_call_returns(store: Store) -> None:
    ana = replace(user("ana"), inline=(InlinePolicy("own", document("sagemaker:ListModels")),))
    team = replace(group("team"), inline=(), attached=())
    policy = managed_policy("shared", document("sagemaker:ListEndpoints"))
    gates = Gates()
    seen: list[tuple[bool, bool]] = []

    def look(grants: Grants) -> None:
        actions = ("sagemaker:ListModels", "sagemaker:ListEndpoints")
        one, two = (may(grants, ana.arn, action) for action in actions)
        seen.append((one, two))

    def user_appears(grants: Grants) -> None:
        with store.transaction() as tx:
            tx.policies.save(policy)
            tx.groups.save(team)
            tx.users.save(ana)
        look(grants)

    def user_joins(grants: Grants) -> None:
        with store.transaction() as tx:
            tx.users.save(replace(ana, groups=(team.id,)))
        look(grants)

    def group_is_given(grants: Grants) -> None:
        with store.transaction() as tx:
            tx.groups.save(replace(team, attached=(policy.arn,)))
        look(grants)

    def policy_changes(grants: Grants) -> None:
        version = PolicyVersion(2, document("sagemaker:*", effect="Deny"), 2.0)
        with store.transaction() as tx:
            tx.policies.save(
                replace(policy, versions=(*policy.versions, version), default=2, newest=2)
            )
        look(grants)

    def user_goes(grants: Grants) -> None:
        with store.transaction() as tx:
            tx.users.delete(ana)
        look(grants)

    through(store, gates, user_appears, user_joins, group_is_given, policy_changes, user_goes)
    assert seen == [(True, False), (True, False), (True, True), (False, False), (False, False)]
    assert not gates.authorities, "what a life before had told is gone as well"
    assert not gates.tags


ASKED = ("sagemaker:ListModels", "sagemaker:ListEndpoints", "sagemaker:ListTags")


def held_in(grants: Grants, key: AccessKey) -> set[str]:
    authority = grants.authority_of(key)
    return {action for action in ASKED if decide(authority, Question(action)).allowed}


def told_in(gates: Gates, key: AccessKey) -> set[str]:
    """The same, by what a gateway was told: put together as `Allowed` does."""
    assert key.session is not None
    text = gates.authorities.get(key.session.holder)
    held = None if text is None else Authority.from_plain(json.loads(text))
    passed = {
        arn: AttachedPolicy.from_plain(json.loads(gates.authorities[arn]))
        for arn in key.session.policy_arns
        if arn in gates.authorities
    }
    authority = in_session(key.session, held, passed)
    return {action for action in ASKED if decide(authority, Question(action)).allowed}


def test_a_session_holds_what_its_role_does_now_within_what_it_was_begun_with(
    store: Store,
) -> None:
    models, endpoints = document("sagemaker:ListModels"), document("sagemaker:ListEndpoints")
    r = replace(role("R"), boundary=None, inline=(InlinePolicy("own", models),))
    passed = managed_policy("passed", models)
    free = session("ASIAFREE", r)
    inline = session("ASIAINLINE", r, policy=endpoints)
    managed = session("ASIAMANAGED", r, policy_arns=(passed.arn,))
    gone = session("ASIAGONE", r, policy_arns=(f"{passed.arn}-gone",))
    gates = Gates()
    seen: list[list[set[str]]] = []
    told: list[list[set[str]]] = []

    def look(grants: Grants) -> None:
        seen.append([held_in(grants, key) for key in (free, inline, managed, gone)])

    def look_at_gates(_: Grants) -> None:
        told.append([told_in(gates, key) for key in (free, inline, managed, gone)])

    def role_and_sessions(grants: Grants) -> None:
        with store.transaction() as tx:
            tx.policies.save(passed)
            tx.roles.save(r)
            for key in (free, inline, managed, gone):
                tx.sessions.add(key)
        look(grants)

    def role_is_given(grants: Grants) -> None:
        more = (*r.inline, InlinePolicy("more", endpoints))
        with store.transaction() as tx:
            tx.roles.save(replace(r, inline=more))
        look(grants)

    def policy_changes(grants: Grants) -> None:
        versions = (*passed.versions, PolicyVersion(2, endpoints, 2.0))
        with store.transaction() as tx:
            tx.policies.save(replace(passed, versions=versions, default=2, newest=2))
        look(grants)

    def policy_goes(grants: Grants) -> None:
        with store.transaction() as tx:
            tx.policies.delete(passed)
        look(grants)

    def role_is_another(grants: Grants) -> None:
        with store.transaction() as tx:
            tx.roles.delete(r)
            tx.roles.save(replace(r, id="AROAOTHER"))
        look(grants)

    changes = (role_and_sessions, role_is_given, policy_changes, policy_goes, role_is_another)
    through(store, gates, *(act for each in changes for act in (each, look_at_gates)))
    one, two = "sagemaker:ListModels", "sagemaker:ListEndpoints"
    none: set[str] = set()
    assert seen == [
        [{one}, none, {one}, none],
        [{one, two}, {two}, {one}, none],
        [{one, two}, {two}, {two}, none],
        [{one, two}, {two}, none, none],
        [none, none, none, none],
    ]
    assert told == seen
    assert passed.arn not in gates.authorities


def test_the_next_control_knows_and_tells_the_policies_of_sessions(store: Store) -> None:
    r = replace(role("R"), boundary=None, inline=(InlinePolicy("own", document("sagemaker:*")),))
    passed = managed_policy("passed", document("sagemaker:ListTags"))
    key = session("ASIA1", r, policy_arns=(passed.arn,))
    with store.transaction() as tx:
        tx.policies.save(passed)
        tx.roles.save(r)
        tx.sessions.add(key)
    gates = Gates()

    def session_ends(_: Grants) -> None:
        with store.transaction() as tx:
            tx.sessions.expire(5e9)

    grants = through(store, gates)
    assert held_in(grants, key) == told_in(gates, key) == {"sagemaker:ListTags"}
    through(store, gates, session_ends)
    assert passed.arn not in gates.authorities, "nobody else has it"


def test_who_has_lost_a_policy_has_lost_all(place: Path) -> None:
    """It may have been what denied something."""
    store = opened(place)
    policy = managed_policy("shared", document("iam:*", effect="Deny"))
    ana = replace(
        user("ana"),
        inline=(InlinePolicy("own", document("*:*", "iam:*", "sagemaker:*")),),
        attached=(policy.arn,),
    )
    with store.transaction() as tx:
        tx.policies.save(policy)
        tx.users.save(ana)
    gates = Gates()
    assert may(through(store, gates), ana.arn, "sagemaker:ListModels")
    assert told(gates, ana.arn, "sagemaker:ListModels")
    store.close()
    connection = sqlite3.connect(place / "s.db")
    connection.execute("UPDATE iam_policies SET body = replace(body, 'Deny', 'Bend')")
    connection.commit()
    connection.close()
    store = opened(place)
    assert not may(through(store, gates), ana.arn, "sagemaker:ListModels")
    assert not told(gates, ana.arn, "sagemaker:ListModels")
    store.close()


def test_what_could_not_be_told_is_told_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.01)
    ana = replace(user("ana"), inline=(InlinePolicy("own", document("sagemaker:*")),))
    bea = replace(ana, name="bea", id="AIDABEA")
    gates = Gates()

    async def follow() -> None:
        grants = Grants(store, gates)  # type: ignore[arg-type]
        await grants.follow()
        telling = asyncio.create_task(grants.keep_told())
        gates.full = True
        for each in (ana, bea):
            with store.transaction() as tx:
                tx.users.save(each)
        await asyncio.sleep(0.05)
        assert not gates.authorities
        gates.full = False
        async with asyncio.timeout(60):
            while set(gates.authorities) != {ana.arn, bea.arn}:
                await asyncio.sleep(0.005)
        telling.cancel()

    asyncio.run(follow())


def test_what_could_not_be_read_is_read_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.01)
    ana = replace(user("ana"), inline=(InlinePolicy("own", document("sagemaker:*")),))
    reading, refusals = store.reading, [ServiceUnavailable("The store is busy.")] * 3

    def busy() -> object:
        if refusals:
            raise refusals.pop()
        return reading()

    async def follow() -> None:
        grants = Grants(store, Gates())  # type: ignore[arg-type]
        await grants.follow()
        monkeypatch.setattr(store, "reading", busy)
        with store.transaction() as tx:
            tx.users.save(ana)
        async with asyncio.timeout(60):
            while not may(grants, ana.arn, "sagemaker:ListModels"):
                await asyncio.sleep(0.005)
        grants.close()

    asyncio.run(follow())
    assert not refusals


def test_tags_of_endpoints_are_told_and_of_nothing_else(store: Store) -> None:
    gates = Gates()
    model = replace(ENDPOINT, kind=ResourceKind.MODEL)

    def tag(_: Grants) -> None:
        with store.transaction() as tx:
            tx.tags.set(ENDPOINT, {"team": "search"})
            tx.tags.set(model, {"team": "search"})

    def untag(_: Grants) -> None:
        with store.transaction() as tx:
            tx.tags.set(ENDPOINT, {})

    through(store, gates, tag)
    assert gates.tags == {str(ENDPOINT): {"team": "search"}}
    through(store, gates)  # the next life knows it from the records
    assert gates.tags == {str(ENDPOINT): {"team": "search"}}
    through(store, gates, untag)
    assert gates.tags == {}
