"""The contract of `store.base`, run over SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine

from inservice.deployment.facts import Facts, FleetFacts, Gone
from inservice.deployment.state import Decision
from inservice.errors import ServiceUnavailable, ValidationException
from inservice.hosting.arn import parse_arn
from inservice.hosting.endpoint import EndpointStatus, IllegalMove
from inservice.store import tables
from inservice.store.base import (
    EVENTS_KEPT,
    AlarmQuery,
    Commit,
    EndpointRecord,
    ListQuery,
    SortKey,
    StaleDecision,
    Store,
    StoreDamaged,
    StoreInUse,
)
from inservice.store.database import open_store

from . import postgresql
from .store_records import (
    ACCOUNT,
    REGION,
    access_key,
    completed,
    creation,
    endpoint_config,
    model,
)

KEY = (ACCOUNT, REGION, "Demo")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """PostgreSQL, whose one database is emptied for each test: making one takes far longer."""
    programs = postgresql.binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql.running(programs) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a database of its own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: str = request.getfixturevalue("server")
    engine = engine_of(server)
    with engine.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            there = sqlalchemy.inspect(connection).has_table(table.name)
            if there and table is not tables.identity:
                connection.execute(table.delete())
    engine.dispose()
    return server


def engine_of(url: str) -> Engine:
    """Past the store."""
    return sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = open_store(url, key_file=tmp_path / "store.key")
    yield store
    store.close()


def record_of(store: Store) -> EndpointRecord:
    with store.reading() as records:
        return records.endpoint(*KEY)


def add_endpoint(store: Store, decision: Decision | None = None) -> EndpointRecord:
    with store.transaction() as tx:
        tx.add_endpoint(decision or creation())
    return record_of(store)


class TestRecords:
    def test_a_model_comes_back_as_it_was(self, store: Store) -> None:
        kept = model(text="\x01\n'\"\\ü💚")
        with store.transaction() as tx:
            tx.add_model(kept)
            assert tx.model(ACCOUNT, REGION, "m") == kept
        with store.reading() as records:
            assert records.model(ACCOUNT, REGION, "M") == kept

    def test_a_config_comes_back_with_its_weights_exact(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.add_endpoint_config(endpoint_config())
        with store.reading() as records:
            assert records.endpoint_config(ACCOUNT, REGION, "c") == endpoint_config()

    def test_an_endpoint_comes_back_with_its_deployment(self, store: Store) -> None:
        decision = creation()
        record = add_endpoint(store, decision)
        assert record == EndpointRecord(decision.endpoint, decision.deployment, Facts(), 1)
        assert record.key == KEY

    def test_what_was_seen_comes_back(self, store: Store) -> None:
        facts = Facts(
            fleets={
                "g1-1-v0": FleetFacts(
                    ready=frozenset({0, 2}),
                    starting={1: 0.25},
                    gone={3: Gone("exit code 1", 5.0)},
                )
            },
            shares={"g1-1-v0": 10_000},
            tripped={"errors": "is in ALARM"},
        )
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.save_facts(record, facts)
        assert record_of(store) == replace(record, facts=facts)

    def test_after_reopening_all_is_there(self, url: str, tmp_path: Path) -> None:
        first = open_store(url, key_file=tmp_path / "store.key")
        add_endpoint(first)
        with first.transaction() as tx:
            tx.add_model(model())
            tx.add_access_key(access_key())
        before = record_of(first)
        first.close()
        second = open_store(url, key_file=tmp_path / "store.key")
        assert record_of(second) == before
        with second.reading() as records:
            assert records.model(ACCOUNT, REGION, "m") == model()
            assert records.access_keys() == [access_key()]
        second.close()


class TestNames:
    def test_a_taken_name_is_named_in_its_own_case(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.add_model(model("Demo"))
        taken = pytest.raises(ValidationException, match=r'existing model ".*model/Demo"')
        with taken, store.transaction() as tx:
            tx.add_model(model("DEMO"))

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        with store.reading() as records:
            assert records.find_endpoint(KEY) is None
            for ask in (records.model, records.endpoint_config, records.endpoint):
                with pytest.raises(ValidationException, match="Could not find"):
                    ask(ACCOUNT, REGION, "nope")
        with store.transaction() as tx:
            for delete in (tx.delete_model, tx.delete_endpoint_config):
                with pytest.raises(ValidationException, match="Could not find"):
                    delete(ACCOUNT, REGION, "nope")

    def test_keys_of_every_account_and_region(self, store: Store) -> None:
        decision = creation()
        elsewhere = replace(decision.endpoint, region="eu-west-1")
        with store.transaction() as tx:
            tx.add_endpoint(decision)
            tx.add_endpoint(replace(decision, endpoint=elsewhere))
        with store.reading() as records:
            keys = set(records.endpoint_keys())
        assert keys == {KEY, (ACCOUNT, "eu-west-1", "Demo")}

    def test_sorting_is_by_bytes_on_every_database(self, store: Store) -> None:
        # A locale would sort "a-b" between "aa" and "ac".
        with store.transaction() as tx:
            for name in ("ac", "a-b", "aa", "A0"):
                tx.add_model(model(name))
        query = ListQuery(ACCOUNT, REGION, 9, sort_by=SortKey.NAME, descending=False)
        with store.reading() as records:
            lines = records.models(query).lines
        assert [line.name for line in lines] == ["a-b", "A0", "aa", "ac"]


class TestTransactions:
    def test_all_or_nothing(self, store: Store) -> None:
        def half_way() -> None:
            with store.transaction() as tx:
                tx.add_model(model())
                tx.add_access_key(access_key())
                raise RuntimeError("half-way")

        with pytest.raises(RuntimeError, match="half-way"):
            half_way()
        with store.reading() as records:
            assert records.access_keys() == []
            with pytest.raises(ValidationException):
                records.model(ACCOUNT, REGION, "m")
        with store.transaction() as tx:
            tx.add_model(model())

    def test_a_reader_sees_nothing_before_the_commit(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.add_endpoint(creation())
            with store.reading() as records:
                assert records.find_endpoint(KEY) is None
        with store.reading() as records:
            assert records.find_endpoint(KEY) is not None

    def test_a_reader_keeps_its_moment(self, store: Store) -> None:
        record = add_endpoint(store)
        with store.reading() as records:
            assert len(records.deployment_events(KEY)) == 1
            with store.transaction() as tx:
                tx.save_endpoint(record, completed(creation()))
            assert len(records.deployment_events(KEY)) == 1
        with store.reading() as records:
            assert len(records.deployment_events(KEY)) == 2

    def test_what_a_late_reader_brings_is_not_remembered(self, store: Store) -> None:
        # It began before the commit, and looks only after it, into the past.
        record = add_endpoint(store)
        reopened = creation()
        with store.reading() as late:
            late.deployment_events(KEY)  # its view of the database begins here
            with store.transaction() as tx:
                tx.save_endpoint(record, completed(reopened))
            late.find_endpoint(KEY)
        assert record_of(store).endpoint == completed(reopened).endpoint

    def test_transactions_take_turns(self, store: Store) -> None:
        arn = parse_arn(model().arn)
        assert arn is not None

        def count_up(_: int) -> None:
            with store.transaction() as tx:
                count = int(tx.tags(arn).get("count", "0"))
                tx.set_tags(arn, {"count": str(count + 1)})

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(count_up, range(100)))
        with store.reading() as records:
            assert records.tags(arn) == {"count": "100"}

    def test_readers_do_not_wait_for_the_writer(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.add_model(model())
            seen = threading.Event()

            def read() -> None:
                with store.reading() as records:
                    records.models(ListQuery(ACCOUNT, REGION, 1))
                seen.set()

            reader = threading.Thread(target=read)
            reader.start()
            assert seen.wait(10)
            reader.join()


class TestTheFence:
    def test_a_save_from_the_newest_record_is_kept(self, store: Store) -> None:
        record = add_endpoint(store)
        decision = completed(creation())
        with store.transaction() as tx:
            tx.save_endpoint(record, decision)
        kept = record_of(store)
        assert (kept.endpoint, kept.deployment) == (decision.endpoint, decision.deployment)
        assert kept.version == record.version + 1

    def test_a_save_from_an_older_record_is_refused_whole(self, store: Store) -> None:
        stale = add_endpoint(store)
        with store.transaction() as tx:
            tx.save_endpoint(stale, completed(creation()))
        newest = record_of(store)

        def with_a_model() -> None:
            with store.transaction() as tx:
                tx.add_model(model())
                tx.save_endpoint(stale, completed(creation()))

        with pytest.raises(StaleDecision):
            with_a_model()
        assert record_of(store) == newest
        with store.reading() as records, pytest.raises(ValidationException):
            records.model(ACCOUNT, REGION, "m")

    def test_a_removal_from_an_older_record_is_refused(self, store: Store) -> None:
        decision = completed(creation())
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.save_endpoint(record, decision)
        with store.transaction() as tx:
            tx.save_endpoint(record_of(store), _deleting(decision))
        newest = record_of(store)
        stale = replace(newest, version=newest.version - 1)
        with pytest.raises(StaleDecision), store.transaction() as tx:
            tx.save_endpoint(stale, replace(_deleting(decision), gone=True))
        assert record_of(store) == newest

    def test_another_generation_of_the_name_is_not_touched(self, store: Store) -> None:
        old = add_endpoint(store, creation(generation="g1"))
        _remove(store)
        new = add_endpoint(store, creation(generation="g2"))
        assert (old.version, new.version) == (1, 1)
        with pytest.raises(StaleDecision), store.transaction() as tx:
            tx.save_endpoint(old, completed(creation(generation="g1")))
        with store.transaction() as tx:
            tx.save_facts(old, Facts(shares={}))
        assert record_of(store) == new

    def test_facts_are_no_decision(self, store: Store) -> None:
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.save_facts(record, Facts(shares={}))
        with store.transaction() as tx:
            tx.save_endpoint(record, completed(creation()))
        assert record_of(store).facts == Facts(shares={})

    def test_an_illegal_move_is_never_saved(self, store: Store) -> None:
        record = add_endpoint(store)
        with pytest.raises(IllegalMove), store.transaction() as tx:
            tx.save_endpoint(record, _deleting(creation()))
        with pytest.raises(IllegalMove), store.transaction() as tx:
            tx.add_endpoint(completed(creation("Other")))
        assert record_of(store) == record


def _deleting(decision: Decision) -> Decision:
    endpoint = replace(decision.endpoint, status=EndpointStatus.DELETING)
    return Decision(endpoint, decision.deployment)


def _remove(store: Store) -> None:
    """Walk an endpoint to its end."""
    for step in (completed, _deleting, lambda d: replace(d, gone=True)):
        record = record_of(store)
        with store.transaction() as tx:
            tx.save_endpoint(record, step(Decision(record.endpoint, record.deployment)))


class TestEvents:
    def test_events_are_numbered_and_read_on_from_a_number(self, store: Store) -> None:
        decision = creation()
        record = add_endpoint(store, decision)
        more = replace(completed(decision), events=decision.events * 3)
        with store.transaction() as tx:
            tx.save_endpoint(record, more)
        with store.reading() as records:
            numbered = records.deployment_events((ACCOUNT, REGION, "demo"))
            assert [number for number, _ in numbered] == [1, 2, 3, 4]
            assert [event for _, event in numbered] == list(decision.events * 4)
            on = records.deployment_events(KEY, after=2, limit=1)
            assert [number for number, _ in on] == [3]

    def test_the_oldest_make_room(self, store: Store) -> None:
        decision = creation()
        record = add_endpoint(store, decision)
        flood = replace(completed(decision), events=decision.events * EVENTS_KEPT)
        with store.transaction() as tx:
            tx.save_endpoint(record, flood)
        with store.reading() as records:
            numbers = [n for n, _ in records.deployment_events(KEY, limit=2 * EVENTS_KEPT)]
        assert numbers == list(range(2, EVENTS_KEPT + 2))

    def test_they_go_with_their_endpoint(self, store: Store) -> None:
        add_endpoint(store)
        _remove(store)
        add_endpoint(store, creation(generation="g2"))
        with store.reading() as records:
            assert [number for number, _ in records.deployment_events(KEY)] == [1]


class TestListeners:
    def test_they_hear_of_wishes_after_the_commit(self, store: Store) -> None:
        heard: list[tuple[Commit, bool]] = []

        def listener(commit: Commit) -> None:
            with store.reading() as records:
                heard.append((commit, records.find_endpoint(KEY) is not None))

        store.on_commit(listener)
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.save_endpoint(record, completed(creation()))
        assert heard == [(Commit(frozenset({KEY}), access_keys=False), True)] * 2

    def test_they_hear_of_access_keys(self, store: Store) -> None:
        heard: list[Commit] = []
        store.on_commit(heard.append)
        with store.transaction() as tx:
            tx.add_access_key(access_key())
        assert heard == [Commit(frozenset(), access_keys=True)]

    def test_they_are_not_told_what_the_controller_does_or_nobody_did(self, store: Store) -> None:
        heard: list[Commit] = []
        record = add_endpoint(store)
        store.on_commit(heard.append)
        with store.transaction() as tx:
            tx.save_endpoint(record, completed(creation()), announce=False)
            tx.save_facts(record, Facts(shares={}))
            tx.add_model(model())
        refused = pytest.raises(StaleDecision)
        with refused, store.transaction() as tx:
            tx.save_endpoint(record, completed(creation()))
        assert heard == []


class TestAlarms:
    def test_states_are_those_of_alarms_that_exist(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.save_alarm(ACCOUNT, REGION, "b", state="OK", document={"AlarmName": "b"})
            tx.save_alarm(ACCOUNT, REGION, "a", state="OK", document={"AlarmName": "a"})
            tx.save_alarm(ACCOUNT, REGION, "a", state="ALARM", document={"AlarmName": "a"})
            tx.save_alarm(ACCOUNT, "eu-west-1", "c", state="OK", document={})
        with store.reading() as records:
            states = records.alarm_states(ACCOUNT, REGION, ["a", "A", "b", "c"])
            assert states == {"a": "ALARM", "b": "OK"}
            assert records.alarm_states(ACCOUNT, REGION, []) == {}
            assert list(records.alarms(AlarmQuery(ACCOUNT, REGION))) == ["a", "b"]
            assert records.alarm(ACCOUNT, REGION, "a") == {"AlarmName": "a"}
            assert records.alarm(ACCOUNT, REGION, "A") is None
            assert set(records.alarm_owners()) == {(ACCOUNT, REGION), (ACCOUNT, "eu-west-1")}
        with store.transaction() as tx:
            tx.delete_alarm(ACCOUNT, REGION, "a")
            tx.delete_alarm(ACCOUNT, REGION, "a")
            assert list(tx.alarms(AlarmQuery(ACCOUNT, REGION))) == ["b"]
            assert tx.alarm_count(ACCOUNT, REGION) == 1

    def test_what_is_read_is_what_is_asked_for(self, store: Store) -> None:
        names = ["%", "A", "a", "a%b", "ab", "abc", "b", "_", "\ud7ff!", "\U0010ffff", "é"]
        with store.transaction() as tx:
            for name in names:
                state = "ALARM" if name == "ab" else "OK"
                document = {"AlarmName": name, **({"AlarmRule": "TRUE"} if name == "b" else {})}
                tx.save_alarm(ACCOUNT, REGION, name, state=state, document=document)

        def found(**wanted: Any) -> list[str]:
            with store.reading() as records:
                return list(records.alarms(AlarmQuery(ACCOUNT, REGION, **wanted)))

        assert found() == sorted(names)
        for prefix in ("", "a", "ab", "%", "_", "\ud7ff", "\U0010ffff", "zz", "é"):
            assert found(prefix=prefix) == sorted(n for n in names if n.startswith(prefix)), prefix
        assert found(prefix="a", after="a", limit=2) == ["a%b", "ab"]
        assert found(names=("ab", "nowhere", "b"), state="OK") == ["b"]
        assert found(mentioning='"AlarmRule"') == ["b"]
        assert found(mentioning="%") == ["%", "a%b"]  # a sign like any other

    def test_callers_changes_are_announced_and_the_controller_s_own_are_not(
        self, store: Store
    ) -> None:
        heard: list[Commit] = []
        store.on_commit(heard.append)
        with store.transaction() as tx:
            tx.save_alarm(ACCOUNT, REGION, "a", state="OK", document={})
            tx.delete_alarm(ACCOUNT, REGION, "b")
        with store.transaction() as tx:
            tx.save_alarm(ACCOUNT, REGION, "a", state="OK", document={}, announce=False)
        changed = frozenset({(ACCOUNT, REGION, "a"), (ACCOUNT, REGION, "b")})
        assert heard == [Commit(frozenset(), access_keys=False, alarms=changed)]


class TestAccessKeys:
    def test_secrets_come_back_and_are_not_in_the_database(self, store: Store, url: str) -> None:
        key = replace(access_key(secret="S3CRET"), session_token="T0KEN", expires_at=9.0)
        with store.transaction() as tx:
            tx.add_access_key(key)
            assert tx.access_keys() == [key]
        engine = engine_of(url)
        with engine.connect() as connection:
            rows = repr(connection.exec_driver_sql("SELECT * FROM access_keys").all())
        engine.dispose()
        assert key.id in rows
        assert "S3CRET" not in rows
        assert "T0KEN" not in rows

    def test_one_may_be_replaced_and_deleted(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.add_access_key(access_key(secret="old"))
            tx.add_access_key(access_key(secret="new"))
            assert tx.access_keys() == [access_key(secret="new")]
            tx.delete_access_key("AKIA1")
            tx.delete_access_key("AKIA1")
            assert tx.access_keys() == []

    def test_without_the_key_file_the_store_stays_closed(self, url: str, tmp_path: Path) -> None:
        key_file = tmp_path / "store.key"
        store = open_store(url, key_file=key_file)
        assert key_file.stat().st_mode & 0o777 == 0o600
        with store.transaction() as tx:
            tx.add_access_key(access_key())
        store.close()
        key_file.unlink()
        with pytest.raises(StoreDamaged, match=r"store\.key is missing"):
            open_store(url, key_file=key_file)
        assert not key_file.exists()

    def test_another_key_file_opens_nothing(self, url: str, tmp_path: Path) -> None:
        store = open_store(url, key_file=tmp_path / "store.key")
        with store.transaction() as tx:
            tx.add_access_key(access_key())
        store.close()
        (tmp_path / "other.key").write_bytes(bytes(32))
        with pytest.raises(StoreDamaged, match="does not open"):
            open_store(url, key_file=tmp_path / "other.key")


def test_one_process_has_it_open(store: Store, url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreInUse, match="open in another process"):
        open_store(url, key_file=tmp_path / "store.key")
    with store.transaction() as tx:
        tx.add_model(model())


class TestPostgresql:
    """What can happen to a connection that goes over a network."""

    def cut_all(self, server: str) -> None:
        engine = engine_of(server)
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND usename = current_user"
            )
        engine.dispose()

    @pytest.mark.parametrize("url", ["postgresql"], indirect=True)
    def test_a_cut_connection_is_made_anew(self, url: str, store: Store) -> None:
        record = add_endpoint(store)
        self.cut_all(url)
        with store.transaction() as tx:
            tx.save_endpoint(record, completed(creation()))
        assert record_of(store).version == 2

    @pytest.mark.parametrize("url", ["postgresql"], indirect=True)
    def test_whoever_lost_the_lock_no_longer_writes(
        self, url: str, store: Store, tmp_path: Path
    ) -> None:
        stale = add_endpoint(store)
        self.cut_all(url)
        successor = open_store(url, key_file=tmp_path / "store.key")
        with successor.transaction() as tx:
            tx.save_endpoint(stale, completed(creation()))
        with pytest.raises(ServiceUnavailable), store.transaction() as tx:
            tx.save_endpoint(stale, completed(creation()))
        successor.close()
        with pytest.raises(StaleDecision), store.transaction() as tx:
            tx.save_endpoint(stale, completed(creation()))
        assert record_of(store).version == 2
