"""Which access keys are believed, and that it is written down when they were used."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.controller import keys as controller_keys
from inservice.controller.keys import Keys
from inservice.controller.kit import following as controller_following
from inservice.errors import ServiceUnavailable
from inservice.identity.principal import AccessKey, KeyUse, Principal, Session
from inservice.routing.table import KeyRoute, SessionRoute
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.store.kit.secrets import SecretBox
from tests.contracts.store_records import ACCOUNT, access_key, role, session, user

ANA, BEA = user("Ana"), user("Bea")


class Gates:
    """What the gateways were told, newest last."""

    def __init__(self) -> None:
        self.told: list[set[str]] = [set()]
        self.published = 0  # keys, one by one
        self.sessions = {"ASIABEFORE": SessionRoute("ASIABEFORE", "s", "0", "a")}

    def publish_keys(self, keys: Mapping[str, KeyRoute | None]) -> None:
        gone = {key_id for key_id, key in keys.items() if key is None}
        self.published += len(keys)
        self.told.append((self.told[-1] | set(keys)) - gone)

    def renew_keys(self, keys: Mapping[str, KeyRoute]) -> None:
        self.told.append(set(keys))

    def publish_sessions(self, sessions: Mapping[str, SessionRoute | None]) -> None:
        known = {**self.sessions, **sessions}
        self.sessions = {key_id: key for key_id, key in known.items() if key is not None}

    def renew_sessions(self, sessions: Mapping[str, SessionRoute]) -> None:
        self.sessions = dict(sessions)


def opened(directory: Path) -> Store:
    return open_store(f"sqlite:///{directory / 's.db'}", key_file=directory / "secrets.key")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = opened(tmp_path)
    yield store
    store.close()


def key_of(key_id: str, owner: str, arn: str = ANA.arn) -> AccessKey:
    return replace(access_key(key_id), principal=Principal(ACCOUNT, arn, owner))


def following(store: Store, act: Callable[[], None]) -> tuple[Keys, Gates]:
    """Keys that have heard what `act` committed."""
    gates = Gates()
    keys = Keys(store, gates)  # type: ignore[arg-type]

    async def follow() -> None:
        await keys.follow()
        await asyncio.get_running_loop().run_in_executor(None, act)
        await asyncio.sleep(0)  # what was committed in another thread is known in the next turn

    asyncio.run(follow())
    return keys, gates


def test_only_a_key_that_is_on_and_has_an_owner_signs(store: Store) -> None:
    with store.transaction() as tx:
        tx.users.save(ANA)
        tx.roles.save(role("R"))
        tx.access_keys.add(access_key("AKIAROOT"))
        tx.access_keys.add(key_of("AKIAON", ANA.id))
        tx.access_keys.add(replace(key_of("AKIAOFF", ANA.id), is_active=False))
        tx.access_keys.add(key_of("AKIAGONE", BEA.id, BEA.arn))
        tx.access_keys.add(key_of("ASIASESSION", role("R").id))

    def switch() -> None:
        with store.transaction() as tx:
            tx.access_keys.add(replace(key_of("AKIAON", ANA.id), is_active=False))
            tx.access_keys.add(key_of("AKIAOFF", ANA.id))

    keys, gates = following(store, switch)
    assert gates.told[1] == {"AKIAROOT", "AKIAON", "ASIASESSION"}
    assert gates.told[-1] == {"AKIAROOT", "AKIAOFF", "ASIASESSION"}
    assert keys.find("AKIAON") is None
    assert keys.find("AKIAGONE") is None
    assert keys.find("AKIAOFF") == key_of("AKIAOFF", ANA.id)


def test_what_a_key_costs_does_not_grow_with_how_many_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read, opened and told: of the keys that change, and of no others."""
    opened_secrets: list[str] = []
    true_open = SecretBox.open

    def counted(self: SecretBox, sealed: bytes, name: str) -> str:
        opened_secrets.append(name)
        return true_open(self, sealed, name)

    with store.transaction() as tx:
        tx.users.save(ANA)
        for number in range(200):
            tx.access_keys.add(key_of(f"AKIA{number}", ANA.id))

    def change() -> None:
        monkeypatch.setattr(SecretBox, "open", counted)
        with store.transaction() as tx:
            tx.access_keys.add(key_of("AKIANEW", ANA.id))
            tx.access_keys.delete("AKIA7")

    _, gates = following(store, change)
    assert len(gates.told[1]) == 200
    assert gates.told[-1] == (gates.told[1] | {"AKIANEW"}) - {"AKIA7"}
    assert opened_secrets == ["AKIANEW"]
    assert gates.published == 2


def test_the_keys_of_a_user_whose_record_is_damaged_sign_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with store.transaction() as tx:
        tx.users.save(ANA)
        tx.access_keys.add(access_key("AKIAROOT"))
        tx.access_keys.add(key_of("AKIAANA", ANA.id))
    store.close()
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("UPDATE iam_users SET body = replace(body, 'Ana', 'Bea')")
    connection.commit()
    connection.close()
    store = opened(tmp_path)

    def make_anew() -> None:
        with store.transaction() as tx:
            tx.users.save(replace(ANA, id=BEA.id))  # of the same name, and somebody else
            tx.access_keys.add(key_of("AKIABEA", BEA.id))

    keys, gates = following(store, make_anew)
    assert gates.told[1] == {"AKIAROOT"}
    assert gates.told[-1] == {"AKIAROOT", "AKIABEA"}
    assert keys.find("AKIAANA") is None
    store.close()


def test_a_session_signs_from_when_it_is_kept_until_its_role_is_gone(store: Store) -> None:
    r, s = role("R"), role("S")
    with store.transaction() as tx:
        tx.roles.save(r)
        tx.roles.save(s)
        tx.sessions.add(session("ASIAR", r))
        tx.sessions.add(session("ASIAGONE", role("T")))  # its role's record is lost

    def begin_and_end() -> None:
        with store.transaction() as tx:
            tx.sessions.add(session("ASIAS", s, policy="{}", tags={"a": "b"}))
        with store.transaction() as tx:
            tx.sessions.end(ACCOUNT, r.id)

    keys, gates = following(store, begin_and_end)
    assert gates.sessions.keys() == {"ASIAS"}
    assert keys.find("ASIAS") == session("ASIAS", s, policy="{}", tags={"a": "b"})
    assert keys.find("ASIAR") is None
    assert keys.find("ASIAGONE") is None
    route = gates.sessions["ASIAS"]
    assert (route.session_token, route.expires_at) == ("token of ASIAS", 4e9)
    kept = keys.find("ASIAS")
    assert kept is not None
    assert Session.from_plain(json.loads(route.session)) == kept.session
    keys, gates = following(store, lambda: None)  # the next life of control
    assert gates.sessions.keys() == {"ASIAS"}
    assert keys.find("ASIAS") is not None


def test_a_session_that_could_not_be_told_is_told_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_following, "RETRY_SECONDS", 0.01)
    r = role("R")
    gates = Gates()
    keys = Keys(store, gates)  # type: ignore[arg-type]
    tell, refusals = gates.publish_sessions, [OSError(28, "No space left on device")] * 3

    def full(sessions: Mapping[str, SessionRoute | None]) -> None:
        if refusals:
            raise refusals.pop()
        tell(sessions)

    monkeypatch.setattr(gates, "publish_sessions", full)

    async def follow() -> None:
        await keys.follow()
        telling = asyncio.create_task(keys.keep_told())
        for number in range(2):
            with store.transaction() as tx:
                tx.roles.save(r)
                tx.sessions.add(session(f"ASIA{number}", r))
        async with asyncio.timeout(60):
            while gates.sessions.keys() != {"ASIA0", "ASIA1"}:
                await asyncio.sleep(0.005)
        telling.cancel()

    asyncio.run(follow())
    assert not refusals


def test_the_use_of_a_session_is_written_down_with_its_role(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_keys, "USES_SECONDS", 0.01)
    r = role("R")
    with store.transaction() as tx:
        tx.roles.save(r)
    keys = Keys(store, Gates())  # type: ignore[arg-type]

    async def use() -> None:
        await keys.follow()
        writing = asyncio.create_task(keys.keep_uses())
        for key_id, at in (("ASIA1", 7.0), ("ASIA2", 5.0)):
            keys.note_use(session(key_id, r), KeyUse(at, "sagemaker", "eu-west-1"))
        found = None
        async with asyncio.timeout(10):
            while found is None or found.used_at is None:
                await asyncio.sleep(0.01)
                with store.reading() as records:
                    found = records.roles.by_id(ACCOUNT, r.id)
        writing.cancel()
        assert (found.used_at, found.used_region) == (7.0, "eu-west-1")

    asyncio.run(use())


def test_uses_are_written_down_even_if_not_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_keys, "USES_SECONDS", 0.01)
    with store.transaction() as tx:
        tx.users.save(ANA)
        tx.access_keys.add(key_of("AKIAANA", ANA.id))
    key, uses = (
        key_of("AKIAANA", ANA.id),
        [KeyUse(at, "iam", "us-east-1") for at in (1.0, 2.0, 3.0)],
    )
    keys = Keys(store, Gates())  # type: ignore[arg-type]
    transaction, refusals = store.transaction, [ServiceUnavailable("The store is busy.")]

    def busy(by: str = "") -> object:
        if refusals:
            raise refusals.pop()
        return transaction(by)

    def last_use() -> KeyUse | None:
        with store.reading() as records:
            found = records.access_keys.find("AKIAANA")
        assert found is not None
        return found.last_use

    async def use() -> None:
        await keys.follow()
        writing = asyncio.create_task(keys.keep_uses())
        monkeypatch.setattr(store, "transaction", busy)
        for each in uses:
            keys.note_use(key, each)
            async with asyncio.timeout(10):
                while last_use() != each:
                    await asyncio.sleep(0.01)
        writing.cancel()

    asyncio.run(use())
    assert (last_use(), refusals) == (uses[-1], [])
