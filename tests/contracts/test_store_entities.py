"""What a store keeps of IAM, over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from inservice.identity.principal import KeyUse, Principal
from inservice.store.base import Store
from inservice.store.collections.access_keys import ACCESS_KEYS
from inservice.store.collections.groups import GROUPS
from inservice.store.collections.oidc_providers import OIDC_PROVIDERS
from inservice.store.collections.policies import POLICIES
from inservice.store.collections.roles import ROLES
from inservice.store.collections.users import USERS
from inservice.store.listing import EntityQuery
from tests.contracts.store_records import (
    ACCOUNT,
    READ_ONLY,
    access_key,
    group,
    oidc_provider,
    policy,
    role,
    user,
)
from tests.contracts.test_store import server, store, url  # noqa: F401 - fixtures

KINDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("users", user),
    ("groups", group),
    ("roles", role),
    ("policies", policy),
    ("oidc_providers", oidc_provider),
)


@pytest.mark.parametrize(("noun", "make"), KINDS, ids=[noun for noun, _ in KINDS])
def test_an_entity_comes_back_by_name_and_by_id(
    store: Store,  # noqa: F811
    noun: str,
    make: Callable[..., Any],
) -> None:
    kept = make("Ana.x")
    with store.transaction() as tx:
        getattr(tx, noun).save(kept)
        assert getattr(tx, noun).named(ACCOUNT, "ANA.X") == kept
    with store.reading() as records:
        found = getattr(records, noun)
        assert found.named(ACCOUNT, "ana.X") == kept
        assert found.by_id(ACCOUNT, kept.id) == kept
        assert found.named("000000000000", "Ana.x") is None
        assert found.by_id("000000000000", kept.id) is None
        assert found.named(ACCOUNT, "ana-x") is None
        assert (found.count(ACCOUNT), found.count("000000000000")) == (1, 0)
        assert found.ids() == {kept.id}
    with store.transaction() as tx:
        getattr(tx, noun).delete(kept)
    with store.reading() as records:
        assert getattr(records, noun).named(ACCOUNT, "Ana.x") is None


def test_who_is_saved_under_another_name_is_not_there_twice(store: Store) -> None:  # noqa: F811
    before = user("Ana", tags={"Team": "x"})
    after = replace(before, name="Bea", path="/b/")
    with store.transaction() as tx:
        tx.users.save(before)
        tx.users.save(after)
    with store.reading() as records:
        assert records.users.named(ACCOUNT, "ana") is None
        assert records.users.by_id(ACCOUNT, before.id) == after
        assert records.users.select(EntityQuery(ACCOUNT)) == [after]


def test_they_are_listed_by_name_whatever_the_case_and_by_path_with_it(
    store: Store,  # noqa: F811
) -> None:
    paths = {"b": "/Team/", "C": "/team/", "a": "/team/x/", "D": "/te%m/", "e": "/"}
    users = {name: user(name, path=path) for name, path in paths.items()}
    with store.transaction() as tx:
        for each in users.values():
            tx.users.save(each)
        tx.users.save(replace(users["a"], account="000000000000"))

    def found(**asked: Any) -> str:
        with store.reading() as records:
            return "".join(
                each.name for each in records.users.select(EntityQuery(ACCOUNT, **asked))
            )

    assert found() == "abCDe"
    assert found(path_prefix="/team/") == "aC"
    assert found(path_prefix="/te%") == "D"
    assert found(path_prefix="/T") == "b"
    assert found(after="B", limit=2) == "CD"
    assert found(path_prefix="/nowhere/") == ""


def test_they_are_found_by_what_they_mention(store: Store) -> None:  # noqa: F811
    other = f"{READ_ONLY}2"
    with store.transaction() as tx:
        tx.users.save(user("a", attached=(READ_ONLY,)))
        tx.users.save(user("b", attached=(other,)))
        tx.users.save(user("c", boundary=READ_ONLY))
    with store.reading() as records:
        found = records.users.select(EntityQuery(ACCOUNT, mentioning=f'"{READ_ONLY}"'))
        assert [each.name for each in found] == ["a", "c"]


def test_the_feed_tells_of_them_by_id(store: Store) -> None:  # noqa: F811
    heard: list[tuple[str, object]] = []
    for topic in (USERS, GROUPS, ROLES, POLICIES, OIDC_PROVIDERS):
        store.feed.subscribe(
            topic, partial(lambda name, ids: heard.append((name, ids)), topic.collection)
        )
    with store.transaction() as tx:
        tx.users.save(user())
        tx.groups.save(group())
        tx.roles.save(role())
        tx.policies.save(policy())
        tx.oidc_providers.save(oidc_provider())
    ids = (user().id, group().id, role().id, policy().id, oidc_provider().id)
    assert sorted(heard) == sorted(
        (noun, frozenset({(ACCOUNT, each)})) for (noun, _), each in zip(KINDS, ids, strict=True)
    )


class TestKeysOfUsers:
    def test_a_key_has_an_owner_a_status_and_a_last_use(self, store: Store) -> None:  # noqa: F811
        owner = Principal(ACCOUNT, user().arn, user().id)
        kept = replace(access_key("AKIA2"), principal=owner, created_at=7.0, is_active=False)
        with store.transaction() as tx:
            tx.access_keys.add(access_key())
            tx.access_keys.add(kept)
        heard: list[object] = []
        store.feed.subscribe(ACCESS_KEYS, heard.append)
        use = KeyUse(9.0, "sagemaker", "eu-west-1")
        with store.transaction() as tx:
            tx.access_keys.used(kept.id, use)
            tx.access_keys.used("AKIANOBODY", use)
        assert heard == []
        with store.reading() as records:
            assert records.access_keys.of(ACCOUNT, user().id) == [replace(kept, last_use=use)]
            assert records.access_keys.of(ACCOUNT, "") == [access_key()]
            assert records.access_keys.find("AKIA1") == access_key()
            assert records.access_keys.find("AKIA3") is None
        with store.transaction() as tx:
            tx.access_keys.add(replace(kept, is_active=True, last_use=use))
            found = tx.access_keys.find(kept.id)
            assert found == replace(kept, is_active=True, last_use=use)
        assert heard == [frozenset({kept.id})]
