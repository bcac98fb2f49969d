"""Records that defend themselves: a changed row is noticed, named, and nobody else's trouble."""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Table

from inservice.deployment.calls.begin import begin_delete
from inservice.deployment.set_aside import UNREADABLE, is_set_aside
from inservice.errors import AwsError
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.mark import Mark, Progress
from inservice.operations.own.access_keys import ensure_root_key
from inservice.seals import seals_of
from inservice.store.base import Store
from inservice.store.collections.alarms import AlarmQuery
from inservice.store.drivers.database import open_store
from inservice.store.drivers.directory import MARK
from inservice.store.errors import RecordDamaged, StoreDamaged
from inservice.store.kit.tables import inspected, metadata
from inservice.store.listing import EntityQuery, ListQuery
from tests.stores import lay_out, left_by

from .store_records import (
    ACCOUNT,
    REGION,
    access_key,
    account,
    completed,
    creation,
    endpoint_config,
    group,
    model,
    oidc_provider,
    policy,
    role,
    session,
    user,
)

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
DEMO = (ACCOUNT, REGION, "Demo")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inservice.db"


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{path}", key_file=path.with_name("secrets.key"))
    try:
        yield store
    finally:
        store.close()


def fill(path: Path) -> None:
    """Records of every table, two of each where one could be taken for another."""
    lay_out(left_by(_fill), path.parent)


def _fill(place: Path) -> None:
    with opened(place / "inservice.db") as store, store.transaction() as tx:
        for name in ("m", "n"):
            tx.models.add(model(name))
            arn = ResourceArn(ResourceKind.MODEL, ACCOUNT, REGION, name)
            tx.tags.set(arn, {"team": name, "stage": name})
        tx.endpoint_configs.add(endpoint_config())
        for name, generation in (("Demo", "g1"), ("Other", "g2")):
            made = creation(name, generation=generation)
            tx.endpoints.add(made)
            tx.endpoints.save(tx.endpoints.get(ACCOUNT, REGION, name), completed(made))
            tx.alarms.save(ACCOUNT, REGION, name, state="OK", document={"AlarmName": name})
        tx.access_keys.add(access_key("AKIA1", "s1"))
        for account_id in ("444455556666", "777788889999"):
            tx.accounts.save(account(account_id))
        for name in ("Ana", "Bea"):
            tx.users.save(user(name))
            tx.groups.save(group(name))
            tx.roles.save(role(name))
            tx.policies.save(policy(name))
            tx.oidc_providers.save(oidc_provider(name))
        tx.sessions.add(session("ASIA1", tags={"team": "a"}))


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_every_column_is_under_a_seal() -> None:
    for table in metadata.sorted_tables:
        covered = {column for columns in seals_of(table).values() for column in columns}
        assert {c.name for c in table.columns} - covered == seals_of(table).keys(), table.name


def _columns() -> list[tuple[Table, str]]:
    return [
        (table, column.name)
        for table in metadata.sorted_tables
        if not inspected(table).skipped
        for column in table.columns
    ]


@pytest.mark.parametrize(("table", "column"), _columns(), ids=lambda x: getattr(x, "name", x))
def test_a_changed_column_of_any_table_is_noticed(path: Path, table: Table, column: str) -> None:
    """As it was: the very same answers, or set aside by name; never another answer."""
    fill(path)
    before = _undamaged()
    number = column in ("created_at", "modified_at", "version", "number", "expires_at", "used_at")
    number = number or column == "closed_at"
    changed = f"coalesce({column}, 0) + 41" if number else f"coalesce({column}, '') || 'x'"
    change(path, "PRAGMA foreign_keys = OFF")
    only = f"rowid = (SELECT min(rowid) FROM {table.name})"
    change(path, f"UPDATE {table.name} SET {column} = {changed} WHERE {only}")
    with opened(path) as store:
        with store.reading() as records:
            aside = {each.table for each in records.set_aside.all()}
        after = answers(store)
    different = {key for key in before | after if before.get(key) != after.get(key)}
    assert not different or aside == {table.name}, different
    assert all(table.name in kind for kind, *_ in different), different


@functools.cache
def _undamaged() -> dict[tuple[str, ...], object]:
    """What is answered of the records of `fill`, which are the same files each time."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "inservice.db"
        fill(path)
        with opened(path) as store:
            return answers(store)


def answers(store: Store) -> dict[tuple[str, ...], object]:
    """Everything that can be asked, by table and key; an error is an answer."""
    found: dict[tuple[str, ...], object] = {}

    def ask(key: tuple[str, ...], question: Callable[[], object]) -> None:
        try:
            found[key] = question()
        except AwsError as refusal:
            found[key] = str(refusal)

    with store.reading() as records:
        every = ListQuery(ACCOUNT, REGION, limit=100)
        for kind in ("models", "endpoint_configs", "endpoints"):
            for line in getattr(records, kind).page(every).lines:
                found[kind, line.name] = line
        ask(("models", "m"), lambda: records.models.get(*DEMO[:2], "m"))
        ask(("models", "n"), lambda: records.models.get(*DEMO[:2], "n"))
        ask(("endpoint_configs", "c"), lambda: records.endpoint_configs.get(*DEMO[:2], "c"))
        for key in records.endpoints.names():
            record = records.endpoints.find(key)
            assert record is not None
            found["endpoints", key[2]] = (record.endpoint, record.deployment)
            of_it = ResourceArn(ResourceKind.ENDPOINT, *key)
            found["deployment_events endpoints", str(of_it)] = records.endpoints.events(key)
        for name in ("m", "n"):
            arn = ResourceArn(ResourceKind.MODEL, ACCOUNT, REGION, name)
            found["tags", str(arn)] = records.tags.of(arn)
        found["alarms",] = records.alarms.select(AlarmQuery(ACCOUNT, REGION))
        found["access_keys",] = records.access_keys.all()
        found["sts_sessions",] = records.sessions.all()
        found["accounts",] = records.accounts.all()
        entities = EntityQuery(ACCOUNT)
        found["iam_users",] = records.users.select(entities)
        found["iam_groups",] = records.groups.select(entities)
        found["iam_roles",] = records.roles.select(entities)
        found["iam_policies",] = records.policies.select(entities)
        found["iam_oidc_providers",] = records.oidc_providers.select(entities)
    return found


def test_a_damaged_endpoint_is_failed_says_why_and_can_be_deleted(path: Path) -> None:
    fill(path)
    change(path, "UPDATE endpoints SET body = replace(body, 'v0', 'v9') WHERE name = 'Demo'")
    for _ in range(2):  # the second opening finds the stand-in, and leaves it
        with opened(path) as store, store.reading() as records:
            demo = records.endpoints.get(*DEMO)
            assert demo.endpoint.status.value == "Failed"
            assert demo.endpoint.generation == "g1", "its instances are known by it"
            assert "cannot be read and was set aside" in (demo.endpoint.failure_reason or "")
            assert demo.endpoint.config.name == UNREADABLE
            assert is_set_aside(demo.deployment)
            assert [(one.table, one.name) for one in records.set_aside.all()] == [
                ("endpoints", f"{ACCOUNT}/{REGION}/demo")
            ]
            events = [event for _, event in records.endpoints.events(DEMO)]
            assert events[-1].message == "The record of the endpoint was set aside."
            lines = records.endpoints.page(ListQuery(ACCOUNT, REGION, limit=9)).lines
            assert {line.name: line.status for line in lines} == {
                "Demo": "Failed",
                "Other": "InService",
            }
    with opened(path) as store:
        with store.transaction() as tx:
            demo = tx.endpoints.get(*DEMO)
            deleting = begin_delete(demo.endpoint, demo.deployment, now=9.0)
            tx.endpoints.save(demo, deleting)
            gone = type(deleting)(deleting.endpoint, deleting.deployment, gone=True)
            tx.endpoints.save(tx.endpoints.get(*DEMO), gone)
        with store.reading() as records:
            assert records.endpoints.find(DEMO) is None
            assert records.set_aside.all() == []


@pytest.mark.parametrize("table", ["models", "endpoint_configs", "endpoints"])
@pytest.mark.parametrize(
    ("column", "value"), [("name_key", "demo2"), ("account", "0"), ("region", "eu-west-9")]
)
def test_a_record_under_a_damaged_key_comes_back_under_its_own(
    path: Path, table: str, column: str, value: str
) -> None:
    """Otherwise it would be on record under a name that nobody gave it, and what serves under its
    own would be taken for an endpoint that is no more."""
    fill(path)
    with opened(path) as store:
        before = answers(store)
    change(path, f"UPDATE {table} SET {column} = '{value}' WHERE rowid = 1")
    with opened(path) as store:
        with store.reading() as records:
            assert records.set_aside.all() == []
        assert answers(store) == before


def test_a_damaged_key_does_not_come_back_where_its_place_is_taken(path: Path) -> None:
    fill(path)
    copied = "account, region, 'm2', name, arn, created_at, body, line_seal, body_seal"
    change(path, f"INSERT INTO models SELECT {copied} FROM models WHERE name = 'm'")
    with opened(path) as store, store.reading() as records:
        assert records.models.get(ACCOUNT, REGION, "m") == model("m")
        assert [one.name for one in records.set_aside.all()] == [f"{ACCOUNT}/{REGION}/m2"]


@pytest.mark.parametrize(
    "damages",
    [
        "generation = 'g9'",
        "generation = x'ff'",
        "body = replace(body, 'g1', 'g9')",
        "deployment = replace(deployment, 'g1', 'g9')",
        "body = x'00', deployment = substr(deployment, 1, 9)",
        "body = '', deployment = ''",
    ],
)
def test_a_stand_in_knows_whose_instances_run_if_any_witness_is_left(
    path: Path, damages: str
) -> None:
    fill(path)
    change(path, f"UPDATE endpoints SET {damages} WHERE name = 'Demo'")
    with opened(path) as store, store.reading() as records:
        demo = records.endpoints.get(*DEMO)
        assert is_set_aside(demo.deployment)
        assert demo.endpoint.generation == "g1"


def test_an_endpoint_comes_back_where_it_can_be_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that cannot decode a record sets it aside; the next one that can brings it back."""
    fill(path)
    with opened(path) as store, store.reading() as records:
        before = records.endpoints.get(*DEMO).endpoint

    def cannot(_: str) -> None:
        raise ValueError("unknown member")

    with monkeypatch.context() as older:
        codec = inspected(metadata.tables["endpoints"]).codecs["deployment"]
        older.setattr(codec, "decode", cannot, raising=False)
        with opened(path) as store, store.reading() as records:
            lines = records.endpoints.page(ListQuery(ACCOUNT, REGION, limit=9)).lines
            assert {line.status for line in lines} == {"Failed"}
    with opened(path) as store, store.reading() as records:
        assert records.endpoints.get(*DEMO).endpoint == before
        assert records.set_aside.all() == []


def test_a_damaged_model_is_listed_deletable_and_an_error_to_read(path: Path) -> None:
    fill(path)
    change(path, "UPDATE models SET body = replace(body, 'bucket', 'basket') WHERE name = 'm'")
    with opened(path) as store:
        with store.reading() as records:
            with pytest.raises(RecordDamaged, match=r"models .*/m is damaged"):
                records.models.get(ACCOUNT, REGION, "m")
            assert records.models.get(ACCOUNT, REGION, "n") == model("n")
            assert len(records.models.page(ListQuery(ACCOUNT, REGION, limit=9)).lines) == 2
        with store.transaction() as tx:
            tx.models.delete(ACCOUNT, REGION, "m")
            tx.models.add(model("m"))
        with store.reading() as records:
            assert records.models.get(ACCOUNT, REGION, "m") == model("m")
            assert records.set_aside.all() == []


def test_swapped_rows_are_noticed(path: Path) -> None:
    fill(path)
    connection = sqlite3.connect(path)
    (m,), (n,) = connection.execute("SELECT body || '\t' || body_seal FROM models ORDER BY name")
    for name, other in (("m", n), ("n", m)):
        values = (*other.split("\t"), name)
        connection.execute("UPDATE models SET body = ?, body_seal = ? WHERE name = ?", values)
    connection.commit()
    connection.close()
    with opened(path) as store, store.reading() as records:
        for name in ("m", "n"):
            with pytest.raises(RecordDamaged):
                records.models.get(ACCOUNT, REGION, name)


def test_what_is_damaged_while_it_is_in_use_is_an_error_too(path: Path) -> None:
    fill(path)
    with opened(path) as store:
        change(path, "UPDATE endpoints SET deployment = replace(deployment, 'g1', 'g9')")
        with store.reading() as records, pytest.raises(RecordDamaged, match="endpoints"):
            records.endpoints.get(*DEMO)


def test_a_damaged_root_key_is_never_replaced(path: Path) -> None:
    with opened(path) as store:
        key = ensure_root_key(store, ACCOUNT)
        assert key.principal.arn == ROOT
    change(path, "UPDATE access_keys SET principal = principal || 'x'")
    with opened(path) as store, pytest.raises(StoreDamaged, match=key.id):
        ensure_root_key(store, ACCOUNT)


# ── the data directory ──────────────────────────────────────────────────────────────────────────
PARTS = ["secrets.key", MARK, "credentials.json", "metrics.db", "artifacts/ab/file"]


@pytest.mark.parametrize("part", PARTS)
def test_a_database_that_is_gone_is_not_made_anew_beside_its_parts(path: Path, part: str) -> None:
    place = path.with_name(part.split("/")[0]) if "/" not in part else path.parent / part
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"x")
    with pytest.raises(StoreDamaged, match=part.split("/")[0]), opened(path):
        pass
    assert not path.exists()


def copy_of(path: Path, name: str) -> Path:
    kept = path.parent / name
    kept.mkdir()
    for each in path.parent.glob("inservice.db*"):
        shutil.copy(each, kept)
    return kept


def test_an_old_copy_of_the_database_is_refused(path: Path) -> None:
    fill(path)
    old = copy_of(path, "old")
    with opened(path) as store, store.transaction() as tx:
        tx.models.add(model("newer"))
    shutil.copy(old / "inservice.db", path)
    before = path.read_bytes()
    with pytest.raises(StoreDamaged, match="old copy"), opened(path):
        pass
    assert path.read_bytes() == before


def test_another_database_is_refused(path: Path) -> None:
    fill(path)
    other = path.parent / "other" / "inservice.db"
    other.parent.mkdir()
    _fill(other.parent)
    shutil.copy(other, path)
    with pytest.raises(StoreDamaged, match="not the one that belongs"), opened(path):
        pass


@pytest.mark.parametrize("garble", [True, False])
def test_commits_that_were_only_in_the_log_are_missed(path: Path, garble: bool) -> None:
    """Killed with a log that is not written back, which then is damaged or taken away."""
    fill(path)
    store = open_store(f"sqlite:///{path}", key_file=path.with_name("secrets.key"))
    with store.transaction() as tx:
        tx.models.add(model("newer"))
    killed = path.parent / "killed"
    killed.mkdir()
    for each in path.parent.iterdir():
        if each.is_file():
            shutil.copy(each, killed)
    store.close()
    log = killed / "inservice.db-wal"
    assert log.stat().st_size > 0
    if garble:
        content = bytearray(log.read_bytes())
        content[40] ^= 1
        log.write_bytes(content)
    else:
        log.unlink()
    before = {each.name: each.read_bytes() for each in killed.iterdir()}
    with pytest.raises(StoreDamaged, match="write-ahead log"), opened(killed / "inservice.db"):
        pass
    after = {each.name: each.read_bytes() for each in killed.iterdir()}
    changing = ("inservice.db.lock", "inservice.db-shm", "inservice.db-wal")
    assert {k: v for k, v in before.items() if k not in changing} == {
        k: v for k, v in after.items() if k not in changing
    }
    if garble:
        assert after["inservice.db-wal"] == before["inservice.db-wal"]


def test_a_mark_that_says_nothing_is_no_sign_that_all_is_well(path: Path) -> None:
    fill(path)
    path.with_name(MARK).write_bytes(b"\0" * 512)
    with pytest.raises(StoreDamaged, match="nothing in it can be read"), opened(path):
        pass


@pytest.mark.parametrize("harm", [lambda p: p.unlink(), lambda p: p.write_bytes(b"")])
def test_a_mark_that_is_lost_accuses_nobody(path: Path, harm: Callable[[Path], None]) -> None:
    fill(path)
    harm(path.with_name(MARK))
    with opened(path) as store, store.reading() as records:
        assert records.models.get(ACCOUNT, REGION, "m") == model("m")
    read = Mark(path.with_name(MARK)).read()
    assert read is not None
    assert read.commits > 0


def test_the_mark_survives_a_write_that_was_torn(path: Path) -> None:
    place = path.with_name(MARK)
    written = Mark(place)
    for commits in (6, 7):
        written.write(Progress("s", commits))
    written.close()
    content = bytearray(place.read_bytes())
    content[300:310] = b"\0" * 10  # in the place of the odd ones
    place.write_bytes(content)
    assert Mark(place).read() == Progress("s", 6)
