"""`inservice backup`, `restore` and `recover` on real data directories, and killed in them."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inservice.operations.own.access_keys import ensure_root_key
from inservice.store.backup import DATABASE, KEY
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.store.drivers.directory import MARK
from inservice.store.listing import ListQuery
from tests.cli.conftest import Run
from tests.contracts.store_records import ACCOUNT, REGION, model
from tests.depth import examples
from tests.stores import lay_out, left_by

ROOT = Path(__file__).parents[2]
KILLS = examples(24)


def process(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command as it is typed, where it matters that another process does it."""
    command = [sys.executable, "-m", "inservice.cli.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def killed(*words: str | Path) -> Iterator[Callable[[str], str]]:
    """Gives a function that runs a command and kills it; see `killed.py`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cli.killed", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None

        def run(line: str) -> str:
            print(line, file=runner.stdin, flush=True)
            return runner.stdout.readline().strip()  # type: ignore[union-attr]

        yield run
        runner.stdin.close()


@contextmanager
def opened(data_dir: Path) -> Iterator[Store]:
    data_dir.mkdir(mode=0o700, exist_ok=True)
    store = open_store(f"sqlite:///{data_dir / DATABASE}", key_file=data_dir / KEY)
    try:
        yield store
    finally:
        store.close()


def names(data_dir: Path) -> set[str]:
    with opened(data_dir) as store, store.reading() as records:
        page = records.models.page(ListQuery(ACCOUNT, REGION, limit=100_000))
        return {line.name for line in page.lines}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    lay_out(left_by(_made), tmp_path / "data")
    return tmp_path / "data"


def _made(place: Path) -> None:
    with opened(place) as store:
        ensure_root_key(store, ACCOUNT)
        with store.transaction() as tx:
            for number in range(20):
                tx.models.add(model(f"m{number}"))


def test_a_backup_restores_the_records_and_the_key(data_dir: Path, tmp_path: Path) -> None:
    made = process("backup", tmp_path / "b.tar.gz", "--data-dir", data_dir)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar.gz", "data"], "nothing is left"
    restored = process("restore", tmp_path / "b.tar.gz", "--data-dir", tmp_path / "again")
    assert restored.returncode == 0, restored.stderr
    assert names(tmp_path / "again") == names(data_dir)
    with opened(data_dir) as one, opened(tmp_path / "again") as other:
        assert ensure_root_key(one, ACCOUNT) == ensure_root_key(other, ACCOUNT)


def test_the_images_that_were_added_are_in_a_backup(
    data_dir: Path, tmp_path: Path, inservice: Run
) -> None:
    (data_dir / "images.json").write_text('{"images": []}')
    assert inservice("backup", tmp_path / "b.gz", "--data-dir", data_dir).code == 0
    assert inservice("restore", tmp_path / "b.gz", "--data-dir", tmp_path / "again").code == 0
    assert (tmp_path / "again" / "images.json").read_text() == '{"images": []}'
    assert oct((tmp_path / "again" / "images.json").stat().st_mode)[-3:] == "600"


def test_a_backup_is_of_one_moment_while_mutations_go_on(
    data_dir: Path, tmp_path: Path, inservice: Run
) -> None:
    """Each transaction writes two models: a backup has both or neither, and all that were told."""
    told: list[int] = []
    stop = threading.Event()

    def mutate() -> None:
        with opened(data_dir) as store:
            number = 0
            while not stop.is_set():
                number += 1
                with store.transaction() as tx:
                    tx.models.add(model(f"left{number}"))
                    tx.models.add(model(f"right{number}"))
                told.append(number)
                stop.wait(0.001)  # so that it is the backup that has the processor

    writer = threading.Thread(target=mutate)
    writer.start()
    try:
        for attempt in range(3):
            before = len(told)
            made = process("backup", tmp_path / f"{attempt}.gz", "--data-dir", data_dir)
            assert made.returncode == 0, made.stderr
            again = tmp_path / f"again{attempt}"
            restored = inservice("restore", tmp_path / f"{attempt}.gz", "--data-dir", again)
            assert restored.code == 0, restored.err
            there = names(again)
            left = {name[4:] for name in there if name.startswith("left")}
            assert left == {name[5:] for name in there if name.startswith("right")}
            assert {str(number) for number in told[:before]} <= left
    finally:
        stop.set()
        writer.join()


def test_killed_in_a_backup_nothing_stands_under_its_name(
    data_dir: Path, tmp_path: Path, inservice: Run
) -> None:
    target, again = tmp_path / "b.tar.gz", tmp_path / "again"
    ends = set()
    with killed("backup", target, "--data-dir", data_dir) as run:
        for moment in moments(7):
            ends.add(run(moment))
            if target.exists():
                restored = inservice("restore", target, "--data-dir", again)
                assert restored.code == 0, restored.err
                assert names(again) == names(data_dir)
                shutil.rmtree(again)
                target.unlink()
    assert ends >= {"0", "killed"}


def test_killed_in_a_restore_it_can_be_done_again(
    data_dir: Path, tmp_path: Path, inservice: Run
) -> None:
    """However far it got, there is no server with half of the records, and a second try ends it."""
    backup, again = tmp_path / "b.gz", tmp_path / "again"
    assert inservice("backup", backup, "--data-dir", data_dir).code == 0
    ends = set()
    with killed("restore", backup, "--data-dir", again) as run:
        for moment in moments(11):
            shutil.rmtree(again, ignore_errors=True)
            ends.add(run(moment))
            if not (again / DATABASE).exists():
                restored = inservice("restore", backup, "--data-dir", again)
                assert restored.code == 0, restored.err
            assert names(again) == names(data_dir)
    assert ends >= {"0", "killed"}


def moments(seed: int) -> list[str]:
    """Twice to the end, to be imported and to be measured; then killed at once, and any time."""
    chance = random.Random(seed)
    return ["whole", "whole", "0", *(f"{chance.uniform(0.0, 1.2):.3f}" for _ in range(KILLS))]


@pytest.mark.parametrize("harm", ["cut", "bits", "other", "empty"])
def test_a_backup_that_is_none_is_refused_and_changes_nothing(
    data_dir: Path, tmp_path: Path, harm: str, inservice: Run
) -> None:
    backup, again = tmp_path / "b.gz", tmp_path / "again"
    assert inservice("backup", backup, "--data-dir", data_dir).code == 0
    content = bytearray(backup.read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "bits":
        content[len(content) // 2] ^= 4
    elif harm == "other":
        content = bytearray(gzip.compress(b"somebody else's"))
    else:
        content = bytearray()
    backup.write_bytes(content)
    refused = inservice("restore", backup, "--data-dir", again)
    assert refused.code == 1
    assert "backup" in refused.err
    assert "Traceback" not in refused.err
    assert not (again / DATABASE).exists()
    assert not (again / KEY).exists()


def test_a_directory_of_backups_keeps_as_many_as_the_setting_says(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inservice: Run
) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    old = [f"inservice-2020010{day}T000000Z.tar.gz" for day in (1, 2, 3)]
    for name in (*old, "mine.tar.gz"):
        (place / name).write_bytes(b"")
    assert inservice("backup", place, "--data-dir", data_dir).code == 0
    assert len(list(place.iterdir())) == 5, "all are kept unless somebody asks"
    monkeypatch.setenv("INSERVICE_BACKUPS_KEPT", "2")
    time.sleep(1.0 - time.time() % 1.0)  # the name is of a second
    assert inservice("backup", place, "--data-dir", data_dir).code == 0
    there = sorted(path.name for path in place.iterdir())
    assert "mine.tar.gz" in there, "what it did not name is not its own"
    assert len(there) == 3
    assert not set(there) & set(old)


def test_neither_overwrites_anything(data_dir: Path, tmp_path: Path, inservice: Run) -> None:
    backup = tmp_path / "b.gz"
    assert inservice("backup", backup, "--data-dir", data_dir).code == 0
    before = backup.read_bytes()
    assert "exists already" in inservice("backup", backup, "--data-dir", data_dir).err
    assert backup.read_bytes() == before
    refused = inservice("restore", backup, "--data-dir", data_dir)
    assert refused.code == 1
    assert "has records already" in refused.err


def test_recover_says_what_is_wrong_and_what_can_be_done(
    data_dir: Path, tmp_path: Path, inservice: Run
) -> None:
    sound = inservice("recover", "--data-dir", data_dir)
    assert sound.code == 0
    assert "can start" in sound.out
    (data_dir / DATABASE).rename(tmp_path / "taken")
    before = sorted(data_dir.rglob("*"))
    gone = inservice("recover", "--data-dir", data_dir)
    assert gone.code == 3
    assert "missing" in gone.out
    assert "inservice restore" in gone.out
    assert [p for p in sorted(data_dir.rglob("*")) if p.name != "lock"] == [
        p for p in before if p.name != "lock"
    ]


def test_a_loss_that_is_accepted_loses_nothing_that_is_there(
    data_dir: Path, tmp_path: Path, inservice: Run
) -> None:
    """The database of before the newest commits is believed from then on; the old mark is kept."""
    shutil.copy(data_dir / DATABASE, tmp_path / "older")
    with opened(data_dir) as store, store.transaction() as tx:
        tx.models.add(model("newest"))
    shutil.copy(tmp_path / "older", data_dir / DATABASE)
    behind = inservice("recover", "--data-dir", data_dir)
    assert behind.code == 3
    assert "acknowledged commits are missing" in behind.out
    accepted = inservice("recover", "--accept-loss", "--data-dir", data_dir)
    assert accepted.code == 0, accepted.err
    assert names(data_dir) == {f"m{number}" for number in range(20)}
    (kept,) = data_dir.glob("lost-*")
    assert (kept / MARK).exists()


def test_a_damaged_database_makes_place_and_what_can_be_read_is_exported(
    data_dir: Path, tmp_path: Path, inservice: Run
) -> None:
    path = data_dir / DATABASE
    content = bytearray(path.read_bytes())
    content[-4096:] = os.urandom(4096)
    path.write_bytes(content)
    exported = inservice("recover", "--export", tmp_path / "rows.jsonl", "--data-dir", data_dir)
    assert exported.code == 0, exported.err
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert "models" in {row["table"] for row in rows}
    assert "access_keys" not in {row["table"] for row in rows}
    damaged = path.read_bytes()
    assert inservice("recover", "--accept-loss", "--data-dir", data_dir).code == 0
    (kept,) = data_dir.glob("lost-*")
    assert (kept / DATABASE).read_bytes() == damaged
    assert (kept / KEY).exists()
    assert names(data_dir) == set()


def test_a_server_that_runs_is_left_alone(data_dir: Path, inservice: Run) -> None:
    from inservice.supervision import files

    lock = files.hold(data_dir)
    try:
        for words in (("recover",), ("restore", "b.gz")):
            refused = inservice(*words, "--data-dir", data_dir)
            assert refused.code == 1
            assert str(os.getpid()) in refused.err
    finally:
        os.close(lock)
