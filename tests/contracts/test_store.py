"""The contract of `store.base`, run over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy
from sqlalchemy import Engine

from inservice.deployment.advance import decide
from inservice.deployment.calls.begin import begin_update
from inservice.deployment.facts import Facts, FleetFacts, Gone
from inservice.deployment.state import Decision, Deployment
from inservice.errors import ServiceUnavailable, ValidationException
from inservice.hosting.arn import ResourceArn, ResourceKind, parse_arn
from inservice.hosting.endpoint import Endpoint, EndpointStatus, IllegalMove
from inservice.ids import EndpointKey
from inservice.store import collections
from inservice.store.base import Reading, Store, Transaction
from inservice.store.collections.access_keys import ACCESS_KEYS
from inservice.store.collections.accounts import ACCOUNTS
from inservice.store.collections.alarms import ALARMS, AlarmQuery
from inservice.store.collections.client_logs import LOG_GROUPS, GroupKey, LogGroupRecord
from inservice.store.collections.dashboards import DASHBOARDS, Dashboard
from inservice.store.collections.endpoint_configs import ENDPOINT_CONFIGS
from inservice.store.collections.endpoints import ENDPOINTS, EVENTS_KEPT, EndpointRecord
from inservice.store.collections.models import MODELS
from inservice.store.collections.oidc_providers import OIDC_PROVIDERS
from inservice.store.collections.tags import TAGS
from inservice.store.drivers.database import open_store
from inservice.store.errors import (
    NotRemembered,
    StaleDecision,
    StaleLease,
    StoreDamaged,
    StoreInUse,
)
from inservice.store.feed import Topic
from inservice.store.kit.cache import UNPACKED_MAX
from inservice.store.kit.codec import Codec
from inservice.store.kit.tables import metadata
from inservice.store.lease import identity
from inservice.store.listing import ListQuery, SortKey
from tests.stores import lay_out, new_store

from . import postgresql
from .store_records import (
    ACCOUNT,
    REGION,
    access_key,
    account,
    completed,
    creation,
    endpoint_config,
    model,
    oidc_provider,
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
        lay_out(new_store("store.db", "store.key"), tmp_path)
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: str = request.getfixturevalue("server")
    engine = engine_of(server)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            there = sqlalchemy.inspect(connection).has_table(table.name)
            if there and table is not identity:
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
        return records.endpoints.get(*KEY)


def add_endpoint(store: Store, decision: Decision | None = None) -> EndpointRecord:
    with store.transaction() as tx:
        tx.endpoints.add(decision or creation())
    return record_of(store)


class TestRecords:
    def test_a_model_comes_back_as_it_was(self, store: Store) -> None:
        kept = model(text="\x01\n'\"\\ü💚")
        with store.transaction() as tx:
            tx.models.add(kept)
            assert tx.models.get(ACCOUNT, REGION, "m") == kept
        with store.reading() as records:
            assert records.models.get(ACCOUNT, REGION, "M") == kept

    def test_a_config_comes_back_with_its_weights_exact(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.endpoint_configs.add(endpoint_config())
        with store.reading() as records:
            assert records.endpoint_configs.get(ACCOUNT, REGION, "c") == endpoint_config()

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
            tx.endpoints.save_facts(record, facts)
        assert record_of(store) == replace(record, facts=facts)

    def test_after_reopening_all_is_there(self, url: str, tmp_path: Path) -> None:
        first = open_store(url, key_file=tmp_path / "store.key")
        add_endpoint(first)
        with first.transaction() as tx:
            tx.models.add(model())
            tx.access_keys.add(access_key())
        before = record_of(first)
        first.close()
        second = open_store(url, key_file=tmp_path / "store.key")
        assert record_of(second) == before
        with second.reading() as records:
            assert records.models.get(ACCOUNT, REGION, "m") == model()
            assert records.access_keys.all() == [access_key()]
        second.close()


class TestNames:
    def test_a_taken_name_is_named_in_its_own_case(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.models.add(model("Demo"))
        taken = pytest.raises(ValidationException, match=r'existing model ".*model/Demo"')
        with taken, store.transaction() as tx:
            tx.models.add(model("DEMO"))

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        with store.reading() as records:
            assert records.endpoints.find(KEY) is None
            for noun in (records.models, records.endpoint_configs, records.endpoints):
                with pytest.raises(ValidationException, match="Could not find"):
                    noun.get(ACCOUNT, REGION, "nope")
        with store.transaction() as tx:
            for made in (tx.models, tx.endpoint_configs):
                with pytest.raises(ValidationException, match="Could not find"):
                    made.delete(ACCOUNT, REGION, "nope")

    def test_keys_of_every_account_and_region(self, store: Store) -> None:
        decision = creation()
        elsewhere = replace(decision.endpoint, region="eu-west-1")
        with store.transaction() as tx:
            tx.endpoints.add(decision)
            tx.endpoints.add(replace(decision, endpoint=elsewhere))
        with store.reading() as records:
            keys = set(records.endpoints.names())
        assert keys == {KEY, (ACCOUNT, "eu-west-1", "Demo")}

    def test_sorting_is_by_bytes_on_every_database(self, store: Store) -> None:
        # A locale would sort "a-b" between "aa" and "ac".
        with store.transaction() as tx:
            for name in ("ac", "a-b", "aa", "A0"):
                tx.models.add(model(name))
        query = ListQuery(ACCOUNT, REGION, 9, sort_by=SortKey.NAME, descending=False)
        with store.reading() as records:
            lines = records.models.page(query).lines
        assert [line.name for line in lines] == ["a-b", "A0", "aa", "ac"]


class TestTransactions:
    def test_all_or_nothing(self, store: Store) -> None:
        def half_way() -> None:
            with store.transaction() as tx:
                tx.models.add(model())
                tx.access_keys.add(access_key())
                raise RuntimeError("half-way")

        with pytest.raises(RuntimeError, match="half-way"):
            half_way()
        with store.reading() as records:
            assert records.access_keys.all() == []
            with pytest.raises(ValidationException):
                records.models.get(ACCOUNT, REGION, "m")
        with store.transaction() as tx:
            tx.models.add(model())

    def test_a_reader_sees_nothing_before_the_commit(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.endpoints.add(creation())
            with store.reading() as records:
                assert records.endpoints.find(KEY) is None
        with store.reading() as records:
            assert records.endpoints.find(KEY) is not None

    def test_a_reader_keeps_its_moment(self, store: Store) -> None:
        record = add_endpoint(store)
        with store.reading() as records:
            assert len(records.endpoints.events(KEY)) == 1
            with store.transaction() as tx:
                tx.endpoints.save(record, completed(creation()))
            assert len(records.endpoints.events(KEY)) == 1
        with store.reading() as records:
            assert len(records.endpoints.events(KEY)) == 2

    def test_what_a_late_reader_brings_is_not_remembered(self, store: Store) -> None:
        # It began before the commit, and looks only after it, into the past.
        record = add_endpoint(store)
        reopened = creation()
        with store.reading() as late:
            late.endpoints.events(KEY)  # its view of the database begins here
            with store.transaction() as tx:
                tx.endpoints.save(record, completed(reopened))
            late.endpoints.find(KEY)
        assert record_of(store).endpoint == completed(reopened).endpoint

    def test_transactions_take_turns(self, store: Store) -> None:
        arn = parse_arn(model().arn)
        assert arn is not None

        def count_up(_: int) -> None:
            with store.transaction() as tx:
                count = int(tx.tags.of(arn).get("count", "0"))
                tx.tags.set(arn, {"count": str(count + 1)})

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(count_up, range(100)))
        with store.reading() as records:
            assert records.tags.of(arn) == {"count": "100"}

    def test_readers_do_not_wait_for_the_writer(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.models.add(model())
            seen = threading.Event()

            def read() -> None:
                with store.reading() as records:
                    records.models.page(ListQuery(ACCOUNT, REGION, 1))
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
            tx.endpoints.save(record, decision)
        kept = record_of(store)
        assert (kept.endpoint, kept.deployment) == (decision.endpoint, decision.deployment)
        assert kept.version == record.version + 1

    def test_a_save_from_an_older_record_is_refused_whole(self, store: Store) -> None:
        stale = add_endpoint(store)
        with store.transaction() as tx:
            tx.endpoints.save(stale, completed(creation()))
        newest = record_of(store)

        def with_a_model() -> None:
            with store.transaction() as tx:
                tx.models.add(model())
                tx.endpoints.save(stale, completed(creation()))

        with pytest.raises(StaleDecision):
            with_a_model()
        assert record_of(store) == newest
        with store.reading() as records, pytest.raises(ValidationException):
            records.models.get(ACCOUNT, REGION, "m")

    def test_a_removal_from_an_older_record_is_refused(self, store: Store) -> None:
        decision = completed(creation())
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.endpoints.save(record, decision)
        with store.transaction() as tx:
            tx.endpoints.save(record_of(store), _deleting(decision))
        newest = record_of(store)
        stale = replace(newest, version=newest.version - 1)
        with pytest.raises(StaleDecision), store.transaction() as tx:
            tx.endpoints.save(stale, replace(_deleting(decision), gone=True))
        assert record_of(store) == newest

    def test_another_generation_of_the_name_is_not_touched(self, store: Store) -> None:
        old = add_endpoint(store, creation(generation="g1"))
        _remove(store)
        new = add_endpoint(store, creation(generation="g2"))
        assert (old.version, new.version) == (1, 1)
        with pytest.raises(StaleDecision), store.transaction() as tx:
            tx.endpoints.save(old, completed(creation(generation="g1")))
        with store.transaction() as tx:
            tx.endpoints.save_facts(old, Facts(shares={}))
        assert record_of(store) == new

    def test_facts_are_no_decision(self, store: Store) -> None:
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.endpoints.save_facts(record, Facts(shares={}))
        with store.transaction() as tx:
            tx.endpoints.save(record, completed(creation()))
        assert record_of(store).facts == Facts(shares={})

    def test_an_illegal_move_is_never_saved(self, store: Store) -> None:
        record = add_endpoint(store)
        with pytest.raises(IllegalMove), store.transaction() as tx:
            tx.endpoints.save(record, _deleting(creation()))
        with pytest.raises(IllegalMove), store.transaction() as tx:
            tx.endpoints.add(completed(creation("Other")))
        assert record_of(store) == record


def _deleting(decision: Decision) -> Decision:
    endpoint = replace(decision.endpoint, status=EndpointStatus.DELETING)
    return Decision(endpoint, decision.deployment)


def _remove(store: Store) -> None:
    """Walk an endpoint to its end."""
    for step in (completed, _deleting, lambda d: replace(d, gone=True)):
        record = record_of(store)
        with store.transaction() as tx:
            tx.endpoints.save(record, step(Decision(record.endpoint, record.deployment)))


class TestEvents:
    def test_events_are_numbered_and_read_on_from_a_number(self, store: Store) -> None:
        decision = creation()
        record = add_endpoint(store, decision)
        more = replace(completed(decision), events=decision.events * 3)
        with store.transaction() as tx:
            tx.endpoints.save(record, more)
        with store.reading() as records:
            numbered = records.endpoints.events((ACCOUNT, REGION, "demo"))
            assert [number for number, _ in numbered] == [1, 2, 3, 4]
            assert [event for _, event in numbered] == list(decision.events * 4)
            on = records.endpoints.events(KEY, after=2, limit=1)
            assert [number for number, _ in on] == [3]

    def test_the_oldest_make_room(self, store: Store) -> None:
        decision = creation()
        record = add_endpoint(store, decision)
        flood = replace(completed(decision), events=decision.events * EVENTS_KEPT)
        with store.transaction() as tx:
            tx.endpoints.save(record, flood)
        with store.reading() as records:
            numbers = [n for n, _ in records.endpoints.events(KEY, limit=2 * EVENTS_KEPT)]
        assert numbers == list(range(2, EVENTS_KEPT + 2))

    def test_they_go_with_their_endpoint(self, store: Store) -> None:
        add_endpoint(store)
        _remove(store)
        add_endpoint(store, creation(generation="g2"))
        with store.reading() as records:
            assert [number for number, _ in records.endpoints.events(KEY)] == [1]


class TestFeed:
    def test_it_tells_of_wishes_after_the_commit(self, store: Store) -> None:
        heard: list[tuple[frozenset[EndpointKey], bool]] = []

        def listener(keys: frozenset[EndpointKey]) -> None:
            with store.reading() as records:
                heard.append((keys, records.endpoints.find(KEY) is not None))

        store.feed.subscribe(ENDPOINTS, listener)
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.endpoints.save(record, completed(creation()))
        assert heard == [(frozenset({KEY}), True)] * 2

    def test_it_tells_of_every_collection_by_the_names_of_its_records(self, store: Store) -> None:
        heard: dict[str, object] = {}
        arn = parse_arn(model().arn)
        assert arn is not None
        topics: list[Topic[Any]] = [
            *(MODELS, ENDPOINT_CONFIGS, ENDPOINTS, ALARMS, ACCESS_KEYS),
            *(TAGS, LOG_GROUPS, DASHBOARDS, ACCOUNTS, OIDC_PROVIDERS),
        ]
        for topic in topics:
            store.feed.subscribe(topic, partial(heard.__setitem__, topic.collection))
        with store.transaction() as tx:
            tx.models.add(model())
            tx.endpoint_configs.add(endpoint_config())
            tx.endpoints.add(creation())
            tx.alarms.save(ACCOUNT, REGION, "a", state="OK", document={})
            tx.access_keys.add(access_key())
            tx.tags.set(arn, {"k": "v"})
            tx.client_logs.save_group(GroupKey(ACCOUNT, REGION, "g"), LogGroupRecord("g", 1))
            tx.dashboards.save(ACCOUNT, "aws", Dashboard("d", 1.0, "{}"))
            tx.accounts.save(account())
            tx.oidc_providers.save(oidc_provider())
        assert heard == {
            "models": {(ACCOUNT, REGION, "m")},
            "endpoint_configs": {(ACCOUNT, REGION, "c")},
            "endpoints": {KEY},
            "alarms": {(ACCOUNT, REGION, "a")},
            "access_keys": {"AKIA1"},
            "tags": {str(arn)},
            "log_groups": {(ACCOUNT, REGION, "g")},
            "dashboards": {(ACCOUNT, "aws", "d")},
            "accounts": {"444455556666"},
            "oidc_providers": {(ACCOUNT, "Ana")},
        }

    def test_who_writes_need_not_be_woken_by_itself(self, store: Store) -> None:
        own: list[object] = []
        others: list[object] = []
        store.feed.subscribe(ALARMS, own.append, but_not_by="alarms")
        store.feed.subscribe(ALARMS, others.append, but_not_by="somebody else")
        with store.transaction() as tx:
            tx.alarms.save(ACCOUNT, REGION, "a", state="OK", document={})
            tx.alarms.delete(ACCOUNT, REGION, "b")
        both = frozenset({(ACCOUNT, REGION, "a"), (ACCOUNT, REGION, "b")})
        assert (own, others) == ([both], [both])
        with store.transaction(by="alarms") as tx:
            tx.alarms.save(ACCOUNT, REGION, "a", state="OK", document={})
        assert own == [both]
        assert others == [both, frozenset({(ACCOUNT, REGION, "a")})]

    def test_what_did_not_happen_and_what_was_only_seen_are_not_told(self, store: Store) -> None:
        heard: list[object] = []
        record = add_endpoint(store)
        store.feed.subscribe(ENDPOINTS, heard.append)
        store.feed.subscribe(MODELS, heard.append)
        with store.transaction() as tx:
            tx.endpoints.save_facts(record, Facts(shares={}))
        with store.transaction(by="another") as tx:
            tx.endpoints.save(record, completed(creation()))
        heard.clear()
        refused = pytest.raises(StaleDecision)
        with refused, store.transaction() as tx:
            tx.models.add(model())
            tx.endpoints.save(record, completed(creation()))
        assert heard == []

    def test_commits_are_told_in_their_order(self, store: Store) -> None:
        told: list[str] = []
        store.feed.subscribe(TAGS, lambda arns: told.extend(arns))
        arns = [ResourceArn(ResourceKind.MODEL, ACCOUNT, REGION, f"m{n}") for n in range(100)]
        kept: list[str] = []

        def tag(arn: ResourceArn) -> None:
            with store.transaction() as tx:
                tx.tags.set(arn, {})
                kept.append(str(arn))  # within the transaction, so in the order of the commits

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(tag, arns))
        assert told == kept

    def test_a_listener_that_fails_is_not_the_writer_s_trouble(self, store: Store) -> None:
        heard: list[object] = []

        def fail(_: object) -> None:
            raise ValueError("a bug")

        store.feed.subscribe(MODELS, fail)
        store.feed.subscribe(MODELS, heard.append)
        with store.transaction() as tx:
            tx.models.add(model())
        assert heard == [{(ACCOUNT, REGION, "m")}]

    def test_in_a_loop_it_is_heard_before_the_writer_goes_on_there(self, store: Store) -> None:
        """Who waits for the thread that wrote has the change heeded when it is told that it is
        made; and a loop that has ended is no trouble."""

        def write(name: str) -> None:
            with store.transaction() as tx:
                tx.models.add(model(name))

        async def whole() -> list[object]:
            heard: list[object] = []
            store.feed.subscribe(MODELS, heard.append, loop=asyncio.get_running_loop())
            await asyncio.get_running_loop().run_in_executor(None, write, "m")
            return list(heard)

        assert asyncio.run(whole()) == [{(ACCOUNT, REGION, "m")}]
        write("n")


def find(store: Store, name: str) -> EndpointRecord:
    """As a reading finds it."""
    with store.reading() as records:
        return records.endpoints.get(ACCOUNT, REGION, name)


def all_endpoints(store: Store) -> tuple[Sequence[EndpointRecord], int]:
    """Every endpoint by its name, and how many questions that took."""
    asked: list[str] = []

    def listen(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    sqlalchemy.event.listen(Engine, "before_cursor_execute", listen)
    try:
        with store.reading() as records:
            found = records.endpoints.all()
    finally:
        sqlalchemy.event.remove(Engine, "before_cursor_execute", listen)
    found = sorted(found, key=lambda record: int(record.endpoint.name[1:]))
    return found, sum(statement.startswith("SELECT endpoints") for statement in asked)


class TestMemory:
    """A reading for an event loop: from memory, or not at all."""

    def test_it_knows_what_was_read_and_nothing_that_was_changed(self, store: Store) -> None:
        record = add_endpoint(store)
        with store.transaction() as tx:
            tx.alarms.save(ACCOUNT, REGION, "a", state="OK", document={"state": "OK"})
        asked: tuple[tuple[Callable[[Reading], Any], Callable[[Transaction], None]], ...] = (
            (
                lambda r: r.endpoints.get(*KEY),
                lambda tx: tx.endpoints.save(record, completed(creation())),
            ),
            (
                lambda r: r.alarms.find(ACCOUNT, REGION, "a"),
                lambda tx: tx.alarms.save(ACCOUNT, REGION, "a", state="ALARM", document={}),
            ),
        )
        for ask, change in asked:
            with store.reading() as records:
                found = ask(records)
            assert ask(store.remembered()) == found
            with store.transaction() as tx:
                change(tx)
            with pytest.raises(NotRemembered):
                ask(store.remembered())
            with store.reading() as records:
                assert ask(records) != found

    def test_all_endpoints_are_one_question(self, store: Store) -> None:
        """A server that starts with hundreds asks for them before it answers."""
        names = [f"e{number}" for number in range(30)]
        with store.transaction() as tx:
            for name in names:
                tx.endpoints.add(creation(name))
        whole, asked = all_endpoints(store)
        assert ([record.endpoint.name for record in whole], asked) == (names, 2)
        again, asked = all_endpoints(store)
        assert (again, asked) == (whole, 1), "which there are is asked, what they are is known"
        with store.transaction() as tx:
            tx.endpoints.save(whole[7], completed(creation(names[7])))
        changed, asked = all_endpoints(store)
        assert asked == 2
        assert [record.version for record in changed] == [2 if n == 7 else 1 for n in range(30)]
        assert changed[6] is whole[6]

    def test_of_many_endpoints_those_that_nobody_wants_are_packed(self, store: Store) -> None:
        """And are in memory all the same: a turn of theirs asks the database for nothing."""
        names = [f"e{number}" for number in range(UNPACKED_MAX + 20)]
        for name in names:
            with store.transaction() as tx:
                tx.endpoints.add(creation(name))
            record = find(store, name)
            facts = _as_wished(record)
            decision = decide(record.endpoint, record.deployment, facts, 4.0)
            with store.transaction() as tx:
                tx.endpoints.save(record, decision, facts)
        for around in range(2):
            for name in names if around else reversed(names):
                record = store.remembered().endpoints.get(ACCOUNT, REGION, name)
                assert record.endpoint.name == name
                assert (record.version, record.facts.watcher) == (2, "w")
            cache = cast(Any, store)._cache
            packed = [record for record in cache._records.values() if isinstance(record, bytes)]
            assert len(packed) >= 20
            assert max(map(len, packed)) < 2_000, "and as objects seven to thirteen kilobytes"
        with store.transaction() as tx:
            tx.endpoints.save(record, completed(creation(names[-1])))
        assert find(store, names[-1]).version == 3

    def test_what_was_saved_with_all_that_was_seen_is_known_as_it_was_written(
        self, store: Store, url: str
    ) -> None:
        """A turn begins with the record that the one before it saved, and asks for nothing."""
        add_endpoint(store)
        with store.transaction() as tx:
            tx.endpoints.save(record_of(store), completed(creation()))
        known = record_of(store)
        update = begin_update(
            known.endpoint,
            known.deployment,
            replace(endpoint_config(), name="next", arn="next"),
            {"m": model()},
            alarms={},
            now=3.0,
        )
        with store.transaction() as tx:
            tx.endpoints.save(known, update)
        engine = engine_of(url)
        for turn in range(30):
            record = record_of(store)
            if record.deployment.over:
                break
            facts = _as_wished(record)
            decision = decide(record.endpoint, record.deployment, facts, 4.0 + turn)
            with store.transaction() as tx:
                tx.endpoints.save(record, decision, facts)
            with engine.connect() as connection:
                (row,) = connection.execute(sqlalchemy.text("SELECT * FROM endpoints")).mappings()
            assert store.remembered().endpoints.find(KEY) == EndpointRecord(
                Codec(Endpoint).decode(row["body"]),
                Codec(Deployment).decode(row["deployment"]),
                Codec(Facts).decode(row["facts"]),
                row["version"],
            )
        engine.dispose()
        assert record.endpoint.status is EndpointStatus.IN_SERVICE
        assert record.endpoint.config.name == "next"

    def test_what_only_the_database_knows_is_refused(self, store: Store) -> None:
        memory = store.remembered()
        for ask in (memory.endpoints.names, memory.access_keys.all, memory.set_aside.all):
            with pytest.raises(NotRemembered):
                ask()


def _as_wished(record: EndpointRecord) -> Facts:
    """All that the row wants has come to be."""
    step = record.deployment.step
    fleets = {
        want.fleet: FleetFacts(
            ready=frozenset(range(want.size)),
            routed=frozenset() if want.share is None else frozenset(range(want.size)),
        )
        for want in step.wants
        if want.size
    }
    return Facts(fleets, shares=step.shares, watcher="w")


class TestAlarms:
    def test_states_are_those_of_alarms_that_exist(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.alarms.save(ACCOUNT, REGION, "b", state="OK", document={"AlarmName": "b"})
            tx.alarms.save(ACCOUNT, REGION, "a", state="OK", document={"AlarmName": "a"})
            tx.alarms.save(ACCOUNT, REGION, "a", state="ALARM", document={"AlarmName": "a"})
            tx.alarms.save(ACCOUNT, "eu-west-1", "c", state="OK", document={})
        with store.reading() as records:
            states = records.alarms.states(ACCOUNT, REGION, ["a", "A", "b", "c"])
            assert states == {"a": "ALARM", "b": "OK"}
            assert records.alarms.states(ACCOUNT, REGION, []) == {}
            assert list(records.alarms.select(AlarmQuery(ACCOUNT, REGION))) == ["a", "b"]
            assert records.alarms.find(ACCOUNT, REGION, "a") == {"AlarmName": "a"}
            assert records.alarms.find(ACCOUNT, REGION, "A") is None
            assert set(records.alarms.owners()) == {(ACCOUNT, REGION), (ACCOUNT, "eu-west-1")}
        with store.transaction() as tx:
            tx.alarms.delete(ACCOUNT, REGION, "a")
            tx.alarms.delete(ACCOUNT, REGION, "a")
            assert list(tx.alarms.select(AlarmQuery(ACCOUNT, REGION))) == ["b"]
            assert tx.alarms.count(ACCOUNT, REGION) == 1

    def test_what_is_read_is_what_is_asked_for(self, store: Store) -> None:
        names = ["%", "A", "a", "a%b", "ab", "abc", "b", "_", "\ud7ff!", "\U0010ffff", "é"]
        with store.transaction() as tx:
            for name in names:
                state = "ALARM" if name == "ab" else "OK"
                document = {"AlarmName": name, **({"AlarmRule": "TRUE"} if name == "b" else {})}
                tx.alarms.save(ACCOUNT, REGION, name, state=state, document=document)

        def found(**wanted: Any) -> list[str]:
            with store.reading() as records:
                return list(records.alarms.select(AlarmQuery(ACCOUNT, REGION, **wanted)))

        assert found() == sorted(names)
        for prefix in ("", "a", "ab", "%", "_", "\ud7ff", "\U0010ffff", "zz", "é"):
            assert found(prefix=prefix) == sorted(n for n in names if n.startswith(prefix)), prefix
        assert found(prefix="a", after="a", limit=2) == ["a%b", "ab"]
        assert found(names=("ab", "nowhere", "b"), state="OK") == ["b"]
        assert found(mentioning='"AlarmRule"') == ["b"]
        assert found(mentioning="%") == ["%", "a%b"]  # a sign like any other


class TestAccessKeys:
    def test_secrets_come_back_and_are_not_in_the_database(self, store: Store, url: str) -> None:
        key = replace(access_key(secret="S3CRET"), session_token="T0KEN", expires_at=9.0)
        with store.transaction() as tx:
            tx.access_keys.add(key)
            assert tx.access_keys.all() == [key]
        engine = engine_of(url)
        with engine.connect() as connection:
            rows = repr(connection.exec_driver_sql("SELECT * FROM access_keys").all())
        engine.dispose()
        assert key.id in rows
        assert "S3CRET" not in rows
        assert "T0KEN" not in rows

    def test_one_may_be_replaced_and_deleted(self, store: Store) -> None:
        with store.transaction() as tx:
            tx.access_keys.add(access_key(secret="old"))
            tx.access_keys.add(access_key(secret="new"))
            assert tx.access_keys.all() == [access_key(secret="new")]
            tx.access_keys.delete("AKIA1")
            tx.access_keys.delete("AKIA1")
            assert tx.access_keys.all() == []

    def test_without_the_key_file_the_store_stays_closed(self, url: str, tmp_path: Path) -> None:
        key_file = tmp_path / "store.key"
        store = open_store(url, key_file=key_file)
        assert key_file.stat().st_mode & 0o777 == 0o600
        with store.transaction() as tx:
            tx.access_keys.add(access_key())
        store.close()
        key_file.unlink()
        with pytest.raises(StoreDamaged, match=r"store\.key is missing"):
            open_store(url, key_file=key_file)
        assert not key_file.exists()

    def test_another_key_file_opens_nothing(self, url: str, tmp_path: Path) -> None:
        store = open_store(url, key_file=tmp_path / "store.key")
        with store.transaction() as tx:
            tx.access_keys.add(access_key())
        store.close()
        (tmp_path / "other.key").write_bytes(bytes(32))
        with pytest.raises(StoreDamaged, match="does not open"):
            open_store(url, key_file=tmp_path / "other.key")


def test_one_process_has_it_open(store: Store, url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreInUse, match="open in another process"):
        open_store(url, key_file=tmp_path / "store.key")
    with store.transaction() as tx:
        tx.models.add(model())


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
            tx.endpoints.save(record, completed(creation()))
        assert record_of(store).version == 2

    @pytest.mark.parametrize("url", ["postgresql"], indirect=True)
    def test_whoever_lost_the_lock_no_longer_writes(
        self, url: str, store: Store, tmp_path: Path
    ) -> None:
        stale = add_endpoint(store)
        self.cut_all(url)
        successor = open_store(url, key_file=tmp_path / "store.key")
        with successor.transaction() as tx:
            tx.endpoints.save(stale, completed(creation()))
        with pytest.raises(ServiceUnavailable), store.transaction() as tx:
            tx.endpoints.save(stale, completed(creation()))
        successor.close()
        lost: list[bool] = []
        store.holding.on_lost(lambda: lost.append(True))
        with pytest.raises(StaleLease), store.transaction() as tx:
            tx.models.add(model())
        with pytest.raises(StaleLease), store.reading():
            pass
        assert lost == [True]


def test_every_noun_has_a_file_and_a_member_of_its_own() -> None:
    """Adding one makes no other module of the store longer than by its name."""
    files = {path.stem for path in Path(collections.__file__).parent.glob("*.py")}
    assert files - {"__init__"} == {member.name for member in fields(Reading)}
