"""What a store keeps of sessions, over SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from inservice.store.base import Store
from inservice.store.collections.sessions import SESSIONS
from tests.contracts.store_records import ACCOUNT, access_key, role, session
from tests.contracts.test_store import server, store, url  # noqa: F401 - fixtures

R, S = role("R"), role("S")


def test_a_session_comes_back_with_its_terms(store: Store) -> None:  # noqa: F811
    kept = session(
        "ASIA1",
        R,
        ends=9_000.25,
        policy='{"Version":"2012-10-17"}',
        policy_arns=("arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"),
        tags={"Team": "a", "ü": ""},
        transitive=("Team",),
        source_identity="ana",
    )
    with store.transaction() as tx:
        tx.sessions.add(kept)
        tx.sessions.add(session("ASIA2", S))
        assert tx.sessions.find("ASIA1") == kept
    with store.reading() as records:
        assert records.sessions.find("ASIA1") == kept
        assert records.sessions.find("asia1") is None
        assert list(records.sessions.all()) == [kept, session("ASIA2", S)]
        assert "secret" not in repr(kept)
        assert "token" not in repr(kept).replace("session_token", "")


def test_those_that_have_not_ended_are_counted(store: Store) -> None:  # noqa: F811
    with store.transaction() as tx:
        for number, (of, ends) in enumerate([(R, 10.0), (R, 20.0), (S, 20.0), (S, 30.0)]):
            tx.sessions.add(session(f"ASIA{number}", of, ends=ends))
    with store.reading() as records:
        counts = [records.sessions.count(ACCOUNT, now) for now in (9.9, 10.0, 20.0, 30.0)]
        assert counts == [4, 3, 1, 0]
        assert records.sessions.count(ACCOUNT, 0.0, R.id) == 2
        assert records.sessions.count("000000000000", 0.0) == 0


def test_what_is_forgotten_is_told_by_its_name(store: Store) -> None:  # noqa: F811
    told: list[set[str]] = []
    with store.transaction() as tx:
        for number, (of, ends) in enumerate([(R, 10.0), (R, 20.0), (S, 20.0), (S, 30.0)]):
            tx.sessions.add(session(f"ASIA{number}", of, ends=ends))
    store.feed.subscribe(SESSIONS, lambda names: told.append(set(names)))
    with store.transaction() as tx:
        tx.sessions.expire(10.0)
    with store.transaction() as tx:
        tx.sessions.end(ACCOUNT, S.id)
        tx.sessions.end("000000000000", R.id)
    with store.transaction() as tx:
        tx.sessions.expire(1.0)
    assert told == [{"ASIA0"}, {"ASIA2", "ASIA3"}]
    with store.reading() as records:
        assert [key.id for key in records.sessions.all()] == ["ASIA1"]


def test_a_long_term_key_is_no_session(store: Store) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="no temporary key"), store.transaction() as tx:
        tx.sessions.add(access_key())
