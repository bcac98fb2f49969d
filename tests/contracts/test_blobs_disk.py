"""What objects on a disk alone must hold: kills, who may open them, damage, full disks, what a page
and a commit cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from inservice.blobs.base import Attributes, Conditions
from inservice.blobs.disk import arriving, manifests, remembered, schema
from inservice.blobs.disk import database as database_of_disk
from inservice.blobs.disk.database import Change, Database
from inservice.blobs.disk.objects import write
from inservice.blobs.disk.rows import ObjectRow, encode
from inservice.blobs.disk.store import DiskBlobs, open_blobs
from inservice.blobs.errors import (
    BlobsDamaged,
    BlobsInUse,
    BlobsRefused,
    BlobsTooNew,
    ObjectDamaged,
)
from inservice.errors import InsufficientStorage, InternalFailure, ServiceUnavailable
from inservice.reserve import Reserve
from inservice.s3_errors import NoSuchBucket, PreconditionFailed
from tests.volumes import mounted
from tests.waiting import wait_until

from .blobs_kit import BUCKET, bucket, check_records, files, got, keys, put, put_in_parts, put_part

ROOT = Path(__file__).parents[2]
SMALL, LARGE = b"small", bytes(range(256)) * 1200


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def blobs(directory: Path) -> Iterator[DiskBlobs]:
    opened = open_blobs(directory)
    opened.create_bucket(bucket())
    yield opened
    opened.close()


def database_of(blobs: DiskBlobs) -> Database:
    return blobs._kit.database


# Kills


def test_one_killed_when_its_records_were_made_is_opened_as_any_other(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = schema.make

    def killed(connection: sqlite3.Connection) -> None:
        made(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(schema, "make", killed)
        with pytest.raises(KeyboardInterrupt):
            open_blobs(directory)
    blobs = open_blobs(directory)
    blobs.create_bucket(bucket())
    put(blobs, "k", LARGE)
    assert got(blobs, "k") == LARGE
    blobs.close()


@pytest.mark.parametrize(
    ("seed", "rounds"), [(1, 10), pytest.param(2, 200, marks=pytest.mark.long)]
)
def test_a_killed_writer_loses_nothing_and_leaves_nothing(
    tmp_path: Path, seed: int, rounds: int
) -> None:
    run = [sys.executable, "-m", "tests.contracts.blobs_killer", str(tmp_path), str(seed)]
    done = subprocess.run(
        [*run, str(rounds)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_files_that_nobody_needs_are_swept(blobs: DiskBlobs, directory: Path) -> None:
    """What a killed process has left: data that never got a record, and data whose record went."""
    put(blobs, "k", LARGE)
    left = blobs.incoming(BUCKET)
    left.write(LARGE)
    reading = blobs.read(BUCKET, "k")
    blobs.delete(BUCKET, ["k"])  # but somebody reads it
    assert len(files(directory)) == 2
    copy = directory.with_name("killed")
    shutil.copytree(directory, copy)
    opened = open_blobs(copy)
    assert files(copy) == []
    put(opened, "k", LARGE)
    opened.close()
    check_records(copy)
    reading.close()
    left.discard()


# Opening


def test_it_is_open_in_one_process(blobs: DiskBlobs, directory: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from inservice.blobs.disk.store import open_blobs\n"
        "open_blobs(pathlib.Path(sys.argv[1]))"
    )
    run = [sys.executable, "-c", code, str(directory)]
    done = subprocess.run(run, cwd=ROOT / "src", capture_output=True, text=True, check=False)
    assert "BlobsInUse" in done.stderr
    with pytest.raises(BlobsInUse):
        open_blobs(directory)
    assert put(blobs, "k", SMALL).size == len(SMALL)


def _newer(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")


def _foreign(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA application_id = 1")


def _redefined(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE objects ADD COLUMN more TEXT")


@pytest.mark.parametrize(
    ("harm", "refusal"),
    [(_newer, BlobsTooNew), (_foreign, BlobsRefused), (_redefined, BlobsDamaged)],
)
def test_what_is_not_ours_is_left_alone(
    blobs: DiskBlobs,
    directory: Path,
    harm: Callable[[sqlite3.Connection], None],
    refusal: type[BlobsRefused],
) -> None:
    put(blobs, "k", LARGE)
    blobs.close()
    (directory / "data" / "0" / "999").write_bytes(b"an orphan, perhaps")
    with contextlib.closing(sqlite3.connect(directory / "objects.db")) as connection:
        harm(connection)
    there = {path: path.read_bytes() for path in (directory / "objects.db", *files(directory))}
    with pytest.raises(refusal):
        open_blobs(directory)
    assert {path: path.read_bytes() for path in there} == there


def test_records_that_are_missing_or_old_let_nothing_be_swept(
    blobs: DiskBlobs, directory: Path
) -> None:
    put(blobs, "old", LARGE)
    blobs.close()
    old = (directory / "objects.db").read_bytes()
    blobs = open_blobs(directory)
    put(blobs, "new", LARGE)
    blobs.close()
    new = (directory / "objects.db").read_bytes()
    for content, says in ((old, "an old copy"), (b"", "is missing"), (None, "is missing")):
        if content is None:
            (directory / "objects.db").unlink()
        else:
            (directory / "objects.db").write_bytes(content)
        with pytest.raises(BlobsDamaged, match=says):
            open_blobs(directory)
        assert len(files(directory)) == 2
    (directory / "objects.db").write_bytes(new[: len(new) // 2])
    with pytest.raises(BlobsRefused):
        open_blobs(directory)
    (directory / "objects.db").write_bytes(new)
    blobs = open_blobs(directory)
    assert got(blobs, "new") == LARGE
    blobs.close()


def test_a_mark_of_another_store_is_refused(
    blobs: DiskBlobs, directory: Path, tmp_path: Path
) -> None:
    other = open_blobs(tmp_path / "other")
    other.create_bucket(bucket())
    other.close()
    blobs.close()
    (directory / "objects.mark").write_bytes((tmp_path / "other" / "objects.mark").read_bytes())
    with pytest.raises(BlobsDamaged, match="another store"):
        open_blobs(directory)


def test_what_is_closed_answers_so(blobs: DiskBlobs) -> None:
    incoming = blobs.incoming(BUCKET)
    incoming.write(LARGE)
    blobs.close()
    for asked in (
        lambda: blobs.bucket(BUCKET),
        lambda: blobs.page(BUCKET),
        lambda: blobs.keep(BUCKET, "k", incoming, Attributes("")),
        lambda: blobs.delete(BUCKET, ["k"]),
    ):
        with pytest.raises(ServiceUnavailable):
            asked()


# Damage


def test_a_changed_column_of_any_row_is_noticed(
    blobs: DiskBlobs, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "REMEMBERED_PARTS_MAX", 0)
    monkeypatch.setattr(remembered, "BUCKETS_MAX", 0)
    put(blobs, "small", SMALL)
    stored = put(blobs, "large", LARGE)
    put_in_parts(blobs, "parted", [LARGE])
    upload = blobs.begin_upload(BUCKET, "u", Attributes(""), None, "COMPOSITE")
    put_part(blobs, upload, 1, LARGE)
    asked: dict[str, Callable[[], object]] = {
        "buckets": lambda: blobs.bucket(BUCKET),
        "objects": lambda: blobs.page(BUCKET),
        "data": lambda: (got(blobs, "small"), got(blobs, "large")),
        "manifests": lambda: got(blobs, "parted"),
        "uploads": lambda: blobs.uploads(BUCKET),
        "parts": lambda: blobs.parts(upload),
    }
    never = {"number", "bucket", "uses", "upload"}  # keys by which they are found; what is counted
    noticed = 0
    with contextlib.closing(
        sqlite3.connect(directory / "objects.db", isolation_level=None)
    ) as harming:
        for table, ask in asked.items():
            ask()
            columns = [row[1] for row in harming.execute(f"PRAGMA table_info({table})")]
            for column in columns:
                if column in never or (table, column) == ("buckets", "name"):
                    continue
                harming.execute("BEGIN IMMEDIATE")
                before = harming.execute(f"SELECT * FROM {table}").fetchall()
                harming.execute(
                    f"UPDATE {table} SET {column} = CASE typeof({column}) "
                    f"WHEN 'blob' THEN CAST({column} || x'00' AS BLOB) "
                    f"WHEN 'null' THEN NULL WHEN 'text' THEN {column} || 'x' ELSE {column} + 1 END"
                )
                if harming.execute(f"SELECT * FROM {table}").fetchall() == before:
                    harming.execute("ROLLBACK")
                    continue
                harming.execute("COMMIT")
                with pytest.raises(ObjectDamaged):
                    ask()
                noticed += 1
                harming.execute(f"DELETE FROM {table}")
                marks = ", ".join("?" * len(columns))
                harming.executemany(f"INSERT INTO {table} VALUES ({marks})", before)
    assert noticed > 20
    assert blobs.stored(BUCKET, "large") == stored


def test_what_is_damaged_can_be_replaced_and_removed(blobs: DiskBlobs, directory: Path) -> None:
    for key in ("a", "b", "c"):
        put(blobs, key, LARGE)
    for key in ("d", "e"):
        put_in_parts(blobs, key, [LARGE])
    with contextlib.closing(sqlite3.connect(directory / "objects.db")) as harming:
        harming.execute("UPDATE objects SET size = size + 1 WHERE CAST(key AS TEXT) IN ('a', 'b')")
        harming.execute("UPDATE manifests SET parts = x'90'")
        harming.commit()
    with pytest.raises(ObjectDamaged):
        put(blobs, "a", SMALL, when=Conditions(if_none_match="*"))
    put(blobs, "a", SMALL)
    put(blobs, "d", SMALL)
    blobs.delete(BUCKET, ["b", "e"])
    assert {key: got(blobs, key) for key in keys(blobs)} == {"a": SMALL, "c": LARGE, "d": SMALL}
    assert blobs.usage().objects == 3


def test_a_file_that_is_missing_or_shorter_is_an_error_and_no_answer(
    blobs: DiskBlobs, directory: Path
) -> None:
    put(blobs, "k", LARGE)
    (path,) = files(directory)
    path.chmod(0o600)
    os.truncate(path, len(LARGE) - 1)
    with pytest.raises(OSError, match="shorter"):
        got(blobs, "k")
    path.unlink()
    with pytest.raises(ObjectDamaged):
        got(blobs, "k")


def test_after_a_fault_of_the_disk_nothing_is_written_or_removed(
    blobs: DiskBlobs, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a commit came to that failed so, nobody knows: its file must stay until it is known."""
    put(blobs, "k", LARGE)
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorname = "SQLITE_IOERR_FSYNC"

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(Database, "_counted", fail)
    with pytest.raises(InternalFailure):
        put(blobs, "new", LARGE)
    monkeypatch.undo()
    assert len(files(directory)) == 2
    with pytest.raises(ServiceUnavailable):
        blobs.delete(BUCKET, ["k"])
    assert got(blobs, "k") == LARGE
    blobs.close()
    opened = open_blobs(directory)
    assert (keys(opened), len(files(directory))) == (["k"], 1)
    opened.close()


# A full disk


def until_full(write_it: Callable[[int], object]) -> None:
    """Write, and again, until there is no room."""
    for number in range(1, 1000):
        try:
            write_it(number)
        except InsufficientStorage:
            return
    pytest.fail("it is never full")


def test_on_a_full_disk_nothing_is_lost_and_deletes_go_on() -> None:
    with mounted(24) as volume:
        reserve = Reserve(volume.path)
        reserve.hold()
        directory = volume.path / "objects"
        blobs = open_blobs(directory, room=reserve.giving)
        blobs.create_bucket(bucket())
        upload = blobs.begin_upload(BUCKET, "u", Attributes(""), None, "COMPOSITE")
        there: dict[str, bytes] = {}

        def keep(data: bytes, number: int) -> None:
            key = f"{len(data)}-{number}"
            put(blobs, key, data)
            there[key] = data

        def part(data: bytes, number: int) -> None:
            put_part(blobs, upload, number, data)

        until_full(partial(keep, LARGE * 3))
        with volume.kept_full():
            for data in (SMALL, bytes(60_000), LARGE):
                until_full(partial(keep, data))
                until_full(partial(part, data))
            assert {key: got(blobs, key) for key in keys(blobs)} == there
            first = next(iter(there))
            blobs.delete(BUCKET, [first])
            del there[first]
            assert keys(blobs) == sorted(there)
        put(blobs, "again", LARGE)
        blobs.abort(upload)
        blobs.close()
        check_records(directory)
        opened = open_blobs(directory)
        assert {key: got(opened, key) for key in keys(opened)} == {**there, "again": LARGE}
        opened.close()


# What it costs


def fill(blobs: DiskBlobs, names: Iterator[bytes]) -> None:
    """So many objects at once, of one data."""
    stored = put(blobs, "one", SMALL)

    def make(change: Change) -> None:
        number, data = change.one("SELECT bucket, data FROM objects") or (0, 0)
        for name in names:
            row = ObjectRow(name, stored.size, 0, data, None, encode(stored.attributes), "")
            write(change, number, row)

    database_of(blobs).change(make)


def steps_of(blobs: DiskBlobs, ask: Callable[[], object]) -> int:
    """How many steps SQLite's machine takes for what is asked."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with database_of(blobs).reading() as connection:
        connection.set_progress_handler(count, 1)
    try:
        ask()
    finally:
        with database_of(blobs).reading() as connection:
            connection.set_progress_handler(None, 1)
    return taken


def test_a_page_costs_what_is_on_it(directory: Path) -> None:
    costs: list[list[int]] = []
    for size in (200, 20_000):
        blobs = open_blobs(directory.with_name(f"{size}"))
        blobs.create_bucket(bucket())
        names = (b"%d/%06d/x" % (n, k) for n in range(4) for k in range(size // 4))
        fill(blobs, names)
        asked: list[Callable[[], object]] = [
            partial(blobs.page, BUCKET, most=50),
            partial(blobs.page, BUCKET, "2/", most=20),
            partial(blobs.page, BUCKET, "", "/"),
            partial(blobs.page, BUCKET, "", "/", "1/"),
            partial(blobs.page, BUCKET, "3/", "/", "3/000020/", 20),
            partial(blobs.page, BUCKET, after="2/000010/x", most=10),
            partial(blobs.stored, BUCKET, "3/000020/x"),
        ]
        costs.append([steps_of(blobs, ask) for ask in asked])
        blobs.close()
    small, large = costs
    assert min(small) > 5
    assert large == small


def test_writers_that_wait_share_a_commit(blobs: DiskBlobs) -> None:
    """And what one of them is refused, or fails by, is its own."""
    put(blobs, "there", SMALL)
    database = database_of(blobs)
    begun, go_on = threading.Event(), threading.Event()
    before = database.counters.commits
    told: dict[str, object] = {}

    def hold(change: Change) -> None:
        begun.set()
        assert go_on.wait(60)

    def fail(change: Change) -> None:
        raise ValueError("a fault")

    def call(name: str, asked: Callable[[], object]) -> threading.Thread:
        def tell() -> None:
            try:
                told[name] = asked()
            except Exception as error:
                told[name] = type(error)

        thread = threading.Thread(target=tell)
        thread.start()
        return thread

    threads = [call("holds", lambda: database.change(hold))]
    assert begun.wait(60)
    threads += [call(f"{n}", partial(put, blobs, f"{n}", LARGE)) for n in range(8)]
    absent = Conditions(if_none_match="*")
    threads.append(call("refused", lambda: put(blobs, "there", LARGE, when=absent)))
    wait_until(lambda: len(database._queue) == 9)
    go_on.set()
    for thread in threads:
        thread.join()
    assert told["refused"] is PreconditionFailed
    assert not database._is_led
    assert database.counters.commits == before + 1
    assert keys(blobs) == [*map(str, range(8)), "there"]
    begun.clear()
    go_on.clear()
    threads = [call("holds", lambda: database.change(hold))]
    assert begun.wait(60)
    threads += [call("fails", lambda: database.change(fail))]
    threads += [call(f"{n}", partial(put, blobs, f"{n}", SMALL)) for n in range(3)]
    wait_until(lambda: len(database._queue) == 4)
    go_on.set()
    for thread in threads:
        thread.join()
    assert told["fails"] is ValueError
    assert [got(blobs, f"{n}") for n in range(3)] == [SMALL] * 3


def test_the_log_does_not_stay_as_long_as_it_was(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_of_disk, "LOG_BYTES", 1024 * 1024)
    blobs = open_blobs(directory)
    blobs.create_bucket(bucket())
    fill(blobs, (b"%06d" % n for n in range(40_000)))
    log = directory / "objects.db-wal"
    assert log.stat().st_size > 4 * 1024 * 1024
    for number in range(2):
        put(blobs, f"{number}", SMALL)
    assert log.stat().st_size <= 1024 * 1024
    blobs.close()


def test_a_change_that_is_refused_after_it_began_is_undone(blobs: DiskBlobs) -> None:
    def wrong(change: Change) -> None:
        change.run("DELETE FROM buckets")
        raise NoSuchBucket(BucketName="x")

    with pytest.raises(InternalFailure, match="after it had begun"):
        database_of(blobs).change(wrong)
    assert blobs.bucket(BUCKET).name == BUCKET


def test_a_foreign_lock_is_waited_for_and_told(
    blobs: DiskBlobs, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database_of(blobs)._writer.execute("PRAGMA busy_timeout = 1")
    assert database_of_disk.BUSY_SECONDS == 5
    with contextlib.closing(
        sqlite3.connect(directory / "objects.db", isolation_level=None)
    ) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceUnavailable):
            put(blobs, "k", LARGE)
        shell.execute("ROLLBACK")
    assert files(directory) == []
    assert put(blobs, "k", LARGE).size == len(LARGE)


def test_what_is_remembered_of_manifests_has_an_end(
    blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inservice.objects.parts.PART_BYTES_MIN", 0)
    monkeypatch.setattr(manifests, "REMEMBERED_PARTS_MAX", 5)
    objects = {f"{n}": [bytes([n]) * 10, bytes([n]) * 20] for n in range(4)}
    for key, pieces in objects.items():
        put_in_parts(blobs, key, pieces)
    for _ in range(2):
        for key, pieces in objects.items():
            assert got(blobs, key) == b"".join(pieces)
    remembered = blobs._kit.manifests
    assert len(remembered._known) == 2
    put_in_parts(blobs, "3", [SMALL])
    assert got(blobs, "3") == SMALL


def test_any_size_takes_the_same_memory(blobs: DiskBlobs) -> None:
    chunk = bytes(256 * 1024)
    tracemalloc.start()
    incoming = blobs.incoming(BUCKET)
    for _ in range(128):
        incoming.write(chunk)
    stored = blobs.keep(BUCKET, "k", incoming, Attributes("e"))
    reading = blobs.read(BUCKET, "k")
    size = sum(len(each) for each in reading.chunks(0, stored.size))
    reading.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == stored.size == 128 * len(chunk)
    assert peak < 8 * len(chunk)


def test_a_large_file_is_synced_as_it_comes(
    blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "SYNCED_BYTES", 4 * len(LARGE))
    sync, synced = os.fdatasync, list[int]()

    def count(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", count)
    incoming = blobs.incoming(BUCKET)
    for _ in range(10):
        incoming.write(LARGE)
    blobs.keep(BUCKET, "k", incoming, Attributes("e"))
    assert synced == [4 * len(LARGE), 8 * len(LARGE), 10 * len(LARGE)]


def test_what_was_replaced_between_the_look_and_the_pin_is_looked_at_again(
    blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [LARGE, LARGE[::-1]]
    monkeypatch.setattr("inservice.objects.parts.PART_BYTES_MIN", 0)
    replaced: list[tuple[Callable[[], object], bytes]] = [
        (partial(put, blobs, "k", LARGE), b"another" * 20_000),
        (partial(put_in_parts, blobs, "k", pieces), LARGE),
    ]
    for put_it, new in replaced:
        put_it()
        pin = blobs._kit.files.pin
        waiting = [new]

        def pinned(numbers: set[int], pin: object = pin, waiting: list[bytes] = waiting) -> None:
            if waiting:
                put(blobs, "k", waiting.pop())
            assert callable(pin)
            pin(numbers)

        monkeypatch.setattr(blobs._kit.files, "pin", pinned)
        assert got(blobs, "k") == new
        assert not waiting
        monkeypatch.setattr(blobs._kit.files, "pin", pin)


def test_no_number_is_given_twice(blobs: DiskBlobs, directory: Path) -> None:
    """Also not that of a data or a manifest that is gone: others may remember what it was."""
    left = blobs.incoming(BUCKET)
    left.write(LARGE)  # the lowest number is not settled
    put(blobs, "k", LARGE)
    put_in_parts(blobs, "m", [LARGE])
    before = blobs._kit.files.settled()[1]
    blobs.delete(BUCKET, ["k", "m"])
    copy = directory.with_name("killed")
    shutil.copytree(directory, copy)
    opened = open_blobs(copy)
    assert opened._kit.files.settled()[1] >= before
    opened.close()
    left.discard()


def test_directories_come_and_go(blobs: DiskBlobs, directory: Path) -> None:
    for number in range(3):
        blobs._kit.files.begin(1000 * (number + 1) - 2)
        for key in range(4):
            put(blobs, f"{number}/{key}", LARGE)
    assert sorted(path.name for path in (directory / "data").iterdir()) == ["0", "1", "2", "3"]
    blobs.delete(BUCKET, keys(blobs))
    database_of(blobs).forget()
    assert [path.name for path in (directory / "data").iterdir()] == ["3"]
    stored = put(blobs, "k", LARGE)
    assert replace(stored, key="k") == blobs.stored(BUCKET, "k")
