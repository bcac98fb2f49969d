"""Who decides: of two processes that both believe so, one is right and the other keeps nothing."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from inservice.errors import ValidationException
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.store.errors import StoreInUse

from .store_records import ACCOUNT, REGION, model
from .test_store import engine_of, server, url  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60

pytestmark = pytest.mark.usefixtures("url")


@dataclass
class Holder:
    """A process that has the store open; see `lease_holder`."""

    process: subprocess.Popen[str]

    def told(self) -> str:
        assert self.process.stdout is not None
        ready = select.select([self.process.stdout], [], [], DEADLINE_SECONDS)[0]
        assert ready, "the holder is stuck"
        return self.process.stdout.readline().strip()

    def tell(self, command: str) -> str:
        self.say(command)
        return self.told()

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """Have it stand still, and wait until it does."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def holder(url: str, key_file: Path) -> Iterator[Holder]:  # noqa: F811
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contracts.lease_holder", url, key_file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield Holder(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "store.key"


@pytest.fixture
def first(url: str, key_file: Path) -> Iterator[Holder]:  # noqa: F811
    with holder(url, key_file) as first:
        yield first


@pytest.fixture
def take_its_lock(url: str) -> Callable[[], None]:  # noqa: F811
    """What lets somebody else in although the holder is there: its session is cut, as by a network
    that fails or a proxy that gives up; or a careless hand sweeps lock files away."""

    def take() -> None:
        if url.startswith("sqlite"):
            path = Path(url.removeprefix("sqlite:///"))
            path.with_name(f"{path.name}.lock").unlink()
            return
        engine = engine_of(url)
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND usename = current_user"
            )
        engine.dispose()

    return take


def successor(url: str, key_file: Path) -> Store:  # noqa: F811
    """A session that was cut is gone a moment later."""
    for _ in range(DEADLINE_SECONDS * 20):
        try:
            return open_store(url, key_file=key_file)
        except StoreInUse:
            select.select([], [], [], 0.05)
    raise AssertionError("the lock was never free")


def has(store: Store, name: str) -> bool:
    with store.reading() as records:
        try:
            records.models.get(ACCOUNT, REGION, name)
        except ValidationException:
            return False
    return True


def epoch(told: str) -> int:
    return int(told.removeprefix("epoch "))


def add(store: Store, name: str) -> None:
    with store.transaction() as tx:
        tx.models.add(model(name))


def test_each_lease_has_a_higher_number_however_the_last_one_ended(
    url: str,  # noqa: F811
    key_file: Path,
) -> None:
    with holder(url, key_file) as killed:
        seen = [epoch(killed.told())]
        assert killed.tell("write m") == "kept"
        with pytest.raises(StoreInUse, match=f"open in another process .*{killed.process.pid}"):
            open_store(url, key_file=key_file)
    for _ in range(2):
        store = successor(url, key_file)
        seen.append(store.holding.lease.epoch)
        assert has(store, "m")
        store.close()
    assert seen == list(range(seen[0], seen[0] + 3))


def test_a_holder_that_stood_still_keeps_nothing_once_another_has_decided(
    url: str,  # noqa: F811
    key_file: Path,
    first: Holder,
    take_its_lock: Callable[[], None],
) -> None:
    before = epoch(first.told())
    assert first.tell("write before") == "kept"
    first.stop()
    with pytest.raises(StoreInUse):
        open_store(url, key_file=key_file)
    take_its_lock()
    second = successor(url, key_file)
    assert second.holding.lease.epoch == before + 1
    add(second, "second")
    first.go_on()
    assert first.tell("write late") == "StaleLease lost"
    assert first.tell("read before") == "StaleLease lost", "memory is from before, too"
    add(second, "goes-on")
    second.close()
    assert first.tell("write later") == "StaleLease lost", "nobody has it now, least of all it"
    third = successor(url, key_file)
    assert [has(third, name) for name in ("before", "second", "goes-on")] == [True] * 3
    assert [has(third, name) for name in ("late", "later")] == [False] * 2
    third.close()


def test_what_was_under_way_when_the_lease_was_lost_did_not_happen(
    url: str,  # noqa: F811
    key_file: Path,
    first: Holder,
    take_its_lock: Callable[[], None],
) -> None:
    """On SQLite it cannot be: a transaction under way locks the file itself."""
    first.told()
    assert first.tell("begin half") == "begun"
    first.stop()
    if url.startswith("sqlite"):
        first.go_on()
        assert first.tell("commit") == "kept"
        return
    take_its_lock()
    second = successor(url, key_file)
    first.go_on()
    first.say("commit")
    assert first.told() in ("ServiceUnavailable", "StaleLease lost")
    assert not has(second, "half")
    assert first.tell("write next") == "StaleLease lost"
    assert not has(second, "next")
    second.close()


def test_a_holder_that_only_reads_finds_out_by_asking(
    url: str,  # noqa: F811
    key_file: Path,
    first: Holder,
    take_its_lock: Callable[[], None],
) -> None:
    first.told()
    assert first.tell("confirm") == "kept"
    take_its_lock()
    second = successor(url, key_file)
    assert first.tell("confirm") == "StaleLease lost"
    second.close()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_one_who_is_locked_out_by_its_own_ghost_waits_and_goes_on(
    url: str,  # noqa: F811
    key_file: Path,
    first: Holder,
    take_its_lock: Callable[[], None],
) -> None:
    """The server may know later than we do that our session is cut, and hold its lock until then:
    nobody else has decided anything, so nothing is lost."""
    from inservice.store.drivers.postgresql import LOCK

    first.told()
    take_its_lock()
    engine = engine_of(url)
    with engine.connect() as ghost:
        for _ in range(DEADLINE_SECONDS * 20):
            if ghost.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar():
                break
            select.select([], [], [], 0.05)
        assert first.tell("write m") == "ServiceUnavailable"
    engine.dispose()
    assert first.tell("write m") == "kept"
