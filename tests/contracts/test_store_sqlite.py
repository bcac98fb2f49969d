"""What SQLite alone must hold: crashes, damage, locks, full disks, and whose file it is."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, create_engine, inspect

from inservice import engines
from inservice.engines import definitions
from inservice.errors import ServiceUnavailable
from inservice.mark import Mark, Progress
from inservice.seals import sealed
from inservice.store.drivers import schema, sqlite
from inservice.store.drivers.database import Database, open_store
from inservice.store.drivers.directory import DataDirectory
from inservice.store.errors import StoreDamaged, StoreInUse, StoreRefused, StoreTooNew
from inservice.store.kit.tables import metadata
from tests.contracts import store_tables
from tests.stores import lay_out, left_by

from .store_records import ACCOUNT, REGION, access_key, model

FILLER = "from-the-environment-of-a-container-" * 2
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def opened(path: Path) -> Database:
    return open_store(f"sqlite:///{path}", key_file=path.with_name("store.key"))


def filled(path: Path) -> None:
    """There are records, and no process that has them open."""
    lay_out(left_by(_filled), path.parent)


def _filled(place: Path, models: int = 200) -> Database:
    store = opened(place / "store.db")
    with store.transaction() as tx:
        for number in range(models):
            tx.models.add(model(f"m{number}"))
    return store


def execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def files(directory: Path) -> dict[str, str]:
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in directory.iterdir()
        if not each.name.endswith(".lock")
    }


class TestCrashes:
    @pytest.mark.parametrize("rounds", [24, pytest.param(240, marks=pytest.mark.long)])
    def test_nothing_told_is_lost_by_kill_9(self, tmp_path: Path, rounds: int) -> None:
        seed = random.SystemRandom().randrange(10**6)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.contracts.store_killer",
                tmp_path,
                str(seed),
                str(rounds),
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, f"seed {seed}: {done.stderr}"
        assert int(done.stdout) > rounds, "hardly anything was written, so nothing is shown"

    def test_a_migration_is_all_or_nothing(self, path: Path) -> None:
        engine = sqlite.make_writer(path)

        def migrate_and_die() -> None:
            with engine.begin() as connection:
                schema.migrate(connection)
                assert inspect(connection).has_table("models")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate_and_die()
        with engine.connect() as connection:
            assert inspect(connection).get_table_names() == []
        engine.dispose()

    def test_a_draft_of_a_crashed_first_start_is_no_database(self, path: Path) -> None:
        path.with_name("store.db.new").write_bytes(b"half")
        path.with_name("store.db.new-wal").write_bytes(b"half")
        _filled(path.parent).close()
        assert sorted(files(path.parent)) == ["records.mark", "store.db", "store.key"]


def cut_to(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def scribble(path: Path) -> None:
    """Overwrite pages in the middle, as a failing disk might."""
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 64)


def become_text(path: Path) -> None:
    path.write_text("this is no database\n" * 1000)


def become_foreign(path: Path) -> None:
    path.unlink()
    execute(path, "CREATE TABLE somebody_elses (x)")


class TestDamage:
    @pytest.mark.parametrize(
        ("damage", "says"),
        [
            (cut_to(0), "no tables of InService"),
            (cut_to(4096), "damaged"),
            (cut_to(100), "damaged"),
            (scribble, "damaged"),
            (become_text, "damaged"),
            (become_foreign, "no tables of InService"),
        ],
    )
    def test_it_is_refused_and_left_as_it_is(
        self, path: Path, damage: Callable[[Path], None], says: str
    ) -> None:
        filled(path)
        damage(path)
        before = files(path.parent)
        with pytest.raises(StoreDamaged, match=says):
            opened(path)
        assert files(path.parent) == before
        with pytest.raises(StoreDamaged):  # and the refusal has let go of the lock
            opened(path)

    def test_a_log_without_its_database_is_not_thrown_away(self, path: Path) -> None:
        filled(path)
        path.rename(path.with_name("elsewhere"))
        path.with_name("store.db-wal").write_bytes(b"commits")
        with pytest.raises(StoreDamaged, match=r"store\.db-wal, a part of it, is there"):
            opened(path)
        assert not path.exists()

    def test_a_newer_database_is_refused_and_left_as_it_is(self, path: Path) -> None:
        filled(path)
        execute(path, "UPDATE alembic_version SET version_num = '9999'")
        before = files(path.parent)
        with pytest.raises(StoreTooNew, match="9999"):
            opened(path)
        assert files(path.parent) == before

    def test_a_directory_in_its_place_is_refused(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(StoreRefused, match="cannot be opened"):
            opened(path)

    def test_a_backup_opens(self, path: Path) -> None:
        filled(path)
        backup = path.parent / "restored" / "store.db"
        backup.parent.mkdir()
        execute(path, f"VACUUM INTO '{backup}'")  # which leaves out that it was a WAL database
        path.with_name("store.key").rename(backup.with_name("store.key"))
        store = opened(backup)
        with store.reading() as records:
            assert records.models.get(ACCOUNT, REGION, "m7") == model("m7")
        store.close()


class TestLocks:
    def test_a_second_process_is_refused_with_the_pid_of_the_first(self, path: Path) -> None:
        store = opened(path)
        with pytest.raises(StoreInUse, match=f"{path} is open in another process .{os.getpid()}"):
            opened(path)
        store.close()
        opened(path).close()

    def test_a_foreign_lock_is_waited_for_and_then_answers_503(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
        store = opened(path)
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceUnavailable), store.transaction() as tx:
            tx.models.add(model())
        with store.reading() as records, pytest.raises(Exception, match="Could not find"):
            records.models.get(ACCOUNT, REGION, "m")
        shell.execute("ROLLBACK")
        shell.close()
        with store.transaction() as tx:
            tx.models.add(model())
        store.close()

    def test_only_one_connection_can_write_or_checkpoint(self, path: Path) -> None:
        driver = sqlite.SqliteFile(path, DataDirectory.of(path.with_name("store.key")))

        def settings(engine: object) -> dict[str, int]:
            names = ("query_only", "wal_autocheckpoint", "synchronous", "foreign_keys")
            with engine.connect() as connection:  # type: ignore[attr-defined]
                return {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names
                }

        writer, reader = settings(driver.writer), settings(driver.readers)
        assert (writer["query_only"], writer["synchronous"], writer["foreign_keys"]) == (0, 2, 1)
        assert writer["wal_autocheckpoint"] > 0
        assert (reader["query_only"], reader["wal_autocheckpoint"]) == (1, 0)
        assert driver.writer.pool.size() == 1  # type: ignore[attr-defined]
        driver.close()
        assert sorted(files(path.parent)) == ["store.db"], "the writer has put its log away"

    def test_nobody_else_may_read_it(self, path: Path) -> None:
        store = opened(path)
        with store.transaction() as tx:
            tx.models.add(model())
        assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
        store.close()


def test_a_full_disk_answers_503_and_is_got_over(path: Path) -> None:
    # SQLite's own limit of pages gives the very error of a disk that is full.
    store = opened(path)
    with store.transaction() as tx:
        tx.models.add(model("first"))
    limit_pages(store, 40)
    with pytest.raises(ServiceUnavailable):
        fill_up(store)
    with store.reading() as records:
        assert records.models.get(ACCOUNT, REGION, "first") == model("first")
        with pytest.raises(Exception, match="Could not find"):
            records.models.get(ACCOUNT, REGION, "m0")
    limit_pages(store, 100_000)
    fill_up(store)
    store.close()


def test_no_error_tells_what_users_keep(path: Path) -> None:
    store = opened(path)
    limit_pages(store, 40)
    with structlog.testing.capture_logs() as logs, pytest.raises(ServiceUnavailable) as caught:
        fill_up(store)
    store.close()
    told = "".join(traceback.format_exception(caught.value)) + repr(logs)
    assert "full" in told
    assert FILLER not in told


def limit_pages(store: Database, pages: int) -> None:
    with store._driver.writer.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def fill_up(store: Database) -> None:
    with store.transaction() as tx:
        for number in range(500):
            tx.models.add(model(f"m{number}", text=FILLER * 20))


def become_older(path: Path, revision: str) -> None:
    """A database of an older version, made by its own migrations, of rows without what came later,
    as that version would have left them."""
    store = _filled(path.parent, models=3)
    with store.transaction() as tx:
        tx.access_keys.add(access_key())
    store.close()
    source = sqlite3.connect(path)
    path.with_name("records.mark").unlink()  # which only some older versions know
    older = path.with_name("older.db")
    engine = sqlite.make_writer(older)
    with engine.begin() as connection:
        config = Config()
        migrations = Path(schema.__file__).with_name("migrations")
        config.set_main_option("script_location", str(migrations))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for name in ("models", "access_keys"):
            columns = [column["name"] for column in inspect(connection).get_columns(name)]
            marks = ", ".join("?" for _ in columns)
            for row in source.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall():
                connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({marks})", row)
        if revision >= "0003":  # as `schema.migrate` of that version ends
            table = Table("identity", MetaData(), autoload_with=connection)
            leases = ("epoch", "holder") if revision >= "0004" else ()
            covers = ("store", "commits", "definitions", *leases)
            table.c.seal.info.update(covers=covers, key=True)
            row = dict(connection.execute(table.select()).mappings().one())
            del row["seal"]
            row["definitions"] = definitions(connection)
            connection.execute(table.update().values(sealed(table, row)))
    engine.dispose()
    source.close()
    older.rename(path)


class TestMigrations:
    def test_they_make_the_tables_that_the_code_knows(self, path: Path) -> None:
        opened(path).close()
        engine = create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
        engine.dispose()

    @pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005", "0006", "0007"])
    def test_a_database_of_each_older_version_keeps_what_is_in_it(
        self, path: Path, revision: str
    ) -> None:
        """An upgrade finds what the version before has written."""
        become_older(path, revision)
        for epoch in (1, 2):
            store = opened(path)
            assert store.holding.lease.epoch == epoch
            with store.reading() as records:
                assert records.models.get(ACCOUNT, REGION, "m2") == model("m2")
                assert records.client_logs.groups(ACCOUNT, REGION) == []
                assert [key.id for key in records.access_keys.all()] == ["AKIA1"]
                assert all(key.is_active for key in records.access_keys.all())
                assert records.set_aside.all() == []
            store.close()

    def test_one_without_leases_is_held_against_its_mark(self, path: Path) -> None:
        become_older(path, "0003")
        connection = sqlite3.connect(path)
        (which,) = connection.execute("SELECT store FROM identity").fetchone()
        connection.close()
        mark = Mark(path.with_name("records.mark"))
        mark.write(Progress(which, 7))
        mark.close()
        before = files(path.parent)
        with pytest.raises(StoreDamaged, match="has seen 0 commits, and 7 were acknowledged"):
            opened(path)
        mark = Mark(path.with_name("records.mark"))
        mark.write(Progress("another", 0))
        mark.close()
        with pytest.raises(StoreDamaged, match="not the one that belongs"):
            opened(path)
        assert files(path.parent)["store.db"] == before["store.db"]

    def test_an_upgrade_does_not_bless_what_is_damaged(self, path: Path) -> None:
        """The seal of the row that says which database it is is made anew by the upgrade."""
        become_older(path, "0003")
        execute(path, "UPDATE identity SET commits = commits + 4")
        before = files(path.parent)
        with pytest.raises(StoreDamaged, match="row of identity is damaged"):
            opened(path)
        assert files(path.parent) == before

    def test_a_new_database_is_what_they_make(self, path: Path) -> None:
        opened(path).close()
        made = store_tables.dumped(path)
        assert made == store_tables.dumped(store_tables.migrated(path.parent)), "`make golden`"
        assert "\n".join(made) + "\n" == schema.TABLES.read_text()

    def test_the_code_expects_the_newest(self) -> None:
        config = Config()
        migrations = Path(schema.__file__).with_name("migrations")
        config.set_main_option("script_location", str(migrations))
        assert ScriptDirectory.from_config(config).get_heads() == [schema.REVISION]


def test_an_old_sqlite_is_mentioned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    with structlog.testing.capture_logs() as logs:
        opened(path).close()
    assert [line["event"] for line in logs] == ["sqlite.old"]
