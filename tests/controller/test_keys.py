"""Which access keys are believed, and that it is written down when they were used."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.controller import keys as controller_keys
from inservice.controller.keys import Keys
from inservice.errors import ServiceUnavailable
from inservice.identity.principal import AccessKey, KeyUse, Principal
from inservice.routing.table import KeyRoute
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from tests.contracts.store_records import ACCOUNT, access_key, role, user

ANA, BEA = user("Ana"), user("Bea")


class Gates:
    """What the gateways were told, newest last."""

    def __init__(self) -> None:
        self.told: list[set[str]] = [set()]

    def publish_keys(self, keys: Mapping[str, KeyRoute]) -> None:
        self.told.append(set(keys))


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
