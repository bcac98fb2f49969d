"""An account that is closed while a request of its own is under way: every operation is refused,
and nothing is written that would be nobody's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inservice.identity.accounts import MemberAccount
from inservice.identity.principal import AccessKey, Account
from inservice.operations import registry
from tests.wire.tenants import ROOTS, B, World, requests_of, world

REFUSED = ("UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure")
OWN_KEY = AccessKey(ROOTS[B], "s" * 40, Account(B).root)

NO_RECORD = {"cloudwatch:PutMetricData"}
"""What writes no record: a measurement is kept with nobody's name on it that could be asked for."""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "server") as made:
        with made.store.transaction() as tx:
            tx.accounts.save(MemberAccount(B, "b", 1.0))
        yield made


def set_open(there: World, *, is_open: bool) -> None:
    with there.store.transaction() as tx:
        account = tx.accounts.find(B)
        assert account is not None
        tx.accounts.save(replace(account, closed_at=None if is_open else 2.0))


def asked_by(there: World, keys: Callable[[str], AccessKey | None]) -> None:
    """From now on the server finds its keys so."""
    there.application._keys = keys


def rows(there: World) -> list[tuple[Any, ...]]:
    """Everything that B has."""
    with closing(sqlite3.connect(there.directory / "state.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return [
            (name, *row)
            for (name,) in tables.fetchall()
            if name != "accounts"
            for row in connection.execute(f"SELECT * FROM {name}").fetchall()
            if any(isinstance(value, str) and B in value for value in row)
        ]


def code_of(answer: Mapping[str, Any]) -> str:
    return str(answer.get("Error", {}).get("Code", ""))


def test_who_is_closed_out_while_they_wait_is_refused_by_every_operation(there: World) -> None:
    """The key is there when the signature is checked, and not when it is their turn."""
    looks: Iterator[AccessKey] = iter(())

    def keys(_: str) -> AccessKey | None:
        return next(looks, None)

    asked_by(there, keys)
    passed = {}
    for operation in registry.operations():
        asked = next(
            requests_of(operation, {"AccessKeyId": "A" * 20, "DeploymentId": "0123456789-1"})
        )
        looks = iter((OWN_KEY,))
        code = code_of(there.ask(ROOTS[B], asked.service, asked.operation, asked.members))
        if code not in REFUSED:
            passed[operation.action] = code
    assert passed == BEFORE
    assert rows(there) == []


BEFORE = {"sts:AssumeRoleWithWebIdentity": "InvalidIdentityToken"}
"""What is refused for another reason, before it would be its turn: nobody signs it."""


def test_nothing_is_written_in_an_account_that_is_closed(there: World) -> None:
    """The key is there all the time, and the account is closed when it comes to writing."""
    asked_by(there, lambda _: OWN_KEY)
    set_open(there, is_open=False)
    written = {}
    for operation in registry.operations():
        if operation.action in NO_RECORD:
            continue
        asked = next(
            requests_of(operation, {"AccessKeyId": "A" * 20, "DeploymentId": "0123456789-1"})
        )
        there.ask(ROOTS[B], asked.service, asked.operation, asked.members)
        if kept := rows(there):
            written[operation.action] = kept
    assert not written
    set_open(there, is_open=True)
    made = there.ask(ROOTS[B], "iam", "CreateUser", {"UserName": "u"})
    assert code_of(made) == ""
    assert rows(there) != []
