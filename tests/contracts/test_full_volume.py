"""Everybody who writes, on a volume that is really full: what was there stays whole, nothing is
left lying about, and nobody who serves is ended by it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inservice.app import whereabouts
from inservice.channel.table_file import TableFile
from inservice.channel.tables import Delta, encode_table
from inservice.clock import SystemClock
from inservice.controller.endpoints import outcomes
from inservice.controller.endpoints.outcomes import Outcomes
from inservice.controller.keys import Keys
from inservice.controller.kit import following
from inservice.controller.upkeep.scraping import scrape_token
from inservice.controller.upkeep.tidying import cut_log
from inservice.errors import InsufficientStorage
from inservice.instance_logs import writer
from inservice.instance_logs.lines import FILES
from inservice.instance_logs.writer import Collector
from inservice.mark import Mark, Progress
from inservice.operations.own.access_keys import ensure_root_key
from inservice.routing.table import KeyRoute, RoutingTable, SessionRoute
from inservice.runtimes.process import records
from inservice.store.drivers.database import open_store
from inservice.supervision.files import write_private
from inservice.telemetry.database import open_metrics
from inservice.telemetry.recorder import Recorder
from tests.volumes import Volume, mounted

BLOCK = 4096


@pytest.fixture
def volume() -> Iterator[Volume]:
    with mounted(4, inodes=60) as made:
        (made.path / "data").mkdir()
        yield made


@pytest.fixture(params=["bytes", "inodes"])
def full(request: pytest.FixtureRequest, volume: Volume) -> Any:
    """Fills the volume, of either kind."""
    return volume.fill if request.param == "bytes" else volume.fill_inodes


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_small_files_stay_as_they_were_and_no_draft_is_left(volume: Volume, full: Any) -> None:
    data = volume.path / "data"
    writes: dict[str, Callable[[Path, Any], None]] = {
        "private": lambda path, value: write_private(path, value),
        "record": lambda path, value: records.write(path, value),
    }
    for name, write in writes.items():
        write(data / name, ["before"])
    before = {name: (data / name).read_bytes() for name in writes}
    full()
    for name, write in writes.items():
        with pytest.raises(OSError, match="No space left"):
            write(data / name, ["x" * 3 * BLOCK])
    assert {name: (data / name).read_bytes() for name in writes} == before
    assert names(data) == set(writes)


def test_a_routing_table_is_replaced_wholly_or_not_at_all(volume: Volume, full: Any) -> None:
    path = volume.path / "data" / "routes.json"
    file, table = TableFile(path), RoutingTable(1, {}, {})
    file.replace(encode_table(table), 1)
    full()
    keys = {str(n): KeyRoute(str(n), "s" * 100, "0", "arn") for n in range(100)}
    larger = RoutingTable(2, {}, keys)
    with pytest.raises(OSError, match="No space left"):
        file.replace(encode_table(larger), 2)
    assert names(path.parent) == {"routes.json", "routes.journal"}
    assert TableFile(path).read() == table
    path.unlink()  # somebody did: then the snapshot is written anew
    delta = Delta(1, 2, keys=tuple(keys.values()))
    with pytest.raises(OSError, match="No space left"):
        file.append(delta, larger)
    volume.free()
    file.append(delta, larger)
    assert TableFile(path).read() == larger


def test_a_mark_is_there_though_its_place_cannot_be_had_again(volume: Volume) -> None:
    path = volume.path / "data" / "mark"
    path.write_bytes(b"damaged".ljust(512))
    volume.fill()
    mark = Mark(path)
    mark.write(Progress("store", 7))
    mark.close()
    assert Mark(path).read() == Progress("store", 7)


def test_a_token_that_cannot_be_written_is_made_at_the_next_start(
    volume: Volume, full: Any
) -> None:
    path = volume.path / "data" / "metrics.token"
    full()
    assert scrape_token(path)
    assert not path.exists() or not path.read_text()
    volume.free()
    token = scrape_token(path)
    assert scrape_token(path) == token == path.read_text()
    path.write_text("")  # an earlier version left it so
    assert scrape_token(path)


def test_a_log_that_is_too_long_is_kept_where_there_is_no_room_for_a_copy(volume: Volume) -> None:
    log = volume.path / "data" / "server.log"
    log.write_bytes(b"x" * BLOCK * 4)
    log.with_name("server.log.1").write_bytes(b"older")
    volume.fill()
    with pytest.raises(OSError, match="No space left"):
        cut_log(log, 10)
    assert log.stat().st_size == BLOCK * 4
    assert log.with_name("server.log.1").read_bytes() == b"older"
    assert names(log.parent) == {"server.log", "server.log.1"}
    volume.free()
    cut_log(log, 10)
    assert log.stat().st_size == 0


class Printed:
    """An instance's output, on the volume."""

    def __init__(self, directory: Path) -> None:
        os.mkfifo(directory / "fifo")
        self.log = directory / "logs" / "i.log"
        self.collector = Collector(directory / "fifo", self.log)
        self.fd = os.open(directory / "fifo", os.O_WRONLY | os.O_NONBLOCK)

    def say(self, text: bytes) -> None:
        os.write(self.fd, text)
        self.collector.collect()

    def end(self) -> list[bytes]:
        os.close(self.fd)
        self.collector.finish()
        files = sorted(self.log.parent.iterdir(), reverse=True)
        lines = [line for file in files for line in file.read_bytes().splitlines()]
        return [line.partition(b" ")[2] for line in lines]


def test_a_line_that_is_cut_off_by_a_full_disk_is_counted_and_spoils_no_other(
    volume: Volume,
) -> None:
    printed = Printed(volume.path / "data")
    line = b"y" * 99
    said = 0
    volume.fill()
    filler = volume.path / "filler"
    os.truncate(filler, filler.stat().st_size - BLOCK)
    for _ in range(20):
        printed.say((line + b"\n") * 10)
        said += 10
    volume.free()
    printed.say(b"after\n")
    texts = printed.end()
    assert texts[-1] == b"after"
    kept = texts.count(line)
    assert 0 < kept < said
    told = [text for text in texts if text.startswith(b"[inservice] dropped")]
    assert len(texts) == kept + len(told) + 1, "no line is half of one, or of two"
    lost = (said - kept) * (len(line) + 1 + len(b"1767225600123 "))
    assert sum(int(text.split()[2]) for text in told) == lost


def test_no_older_log_is_pushed_out_where_there_is_no_inode_for_a_new_one(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FILE_BYTES_MAX", 1000)
    printed = Printed(volume.path / "data")
    for number in range(8):
        printed.say(b"%d" % number * 400 + b"\n")
    before = names(printed.log.parent)
    assert len(before) == FILES
    volume.fill_inodes()
    contents = {name: (printed.log.parent / name).read_bytes() for name in before}
    for _ in range(5):
        printed.say(b"z" * 800 + b"\n")
    for name, content in contents.items():
        assert (printed.log.parent / name).read_bytes().startswith(content), name
    volume.free()
    printed.say(b"after\n")
    texts = printed.end()
    assert texts[-1] == b"after"
    assert any(b"dropped" in text for text in texts)


def test_an_instance_whose_log_cannot_be_made_is_kept_all_the_same(volume: Volume) -> None:
    data = volume.path / "data"
    os.mkfifo(data / "fifo")
    volume.fill_inodes()
    collector = Collector(data / "fifo", data / "logs" / "i.log")
    writer = os.open(data / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"lost\n")
    collector.collect()
    volume.free()
    os.write(writer, b"kept\n")
    collector.collect()
    os.close(writer)
    collector.finish()
    lost, kept = (data / "logs" / "i.log").read_bytes().splitlines()
    assert b"dropped" in lost
    assert kept.endswith(b" kept")


def test_metrics_say_that_the_disk_is_full_and_lose_nothing_that_was_journalled(
    volume: Volume,
) -> None:
    url = f"sqlite:///{volume.path / 'data' / 'inservice.db'}"
    store = open_store(url, key_file=volume.path / "data" / "secrets.key")
    recorder = Recorder(open_metrics(url), 0.0)
    recorder.record_gateway_rows("before", 1, [], now=0.0)
    volume.fill()

    def report() -> None:
        for seq in range(1, 1000):
            recorder.record_gateway_rows(f"w{seq}" * 500, seq, [], now=0.0)

    with pytest.raises(InsufficientStorage):
        report()
    kept = len(recorder._marks)
    assert kept >= 1
    recorder.close()
    volume.free()
    again = Recorder(open_metrics(url), 0.0)
    assert len(again._marks) == kept
    again.close()
    store.close()


class Gates:
    """Tables that cannot be published while a disk is full."""

    def __init__(self) -> None:
        self.full = False
        self.tries = 0
        self.told: list[set[str]] = []

    def publish_keys(self, keys: Mapping[str, KeyRoute | None]) -> None:
        if self.full:
            self.tries += 1
            raise OSError(28, "No space left on device")
        gone = {key_id for key_id, key in keys.items() if key is None}
        self.told.append((set().union(*self.told[-1:]) | set(keys)) - gone)

    def renew_keys(self, keys: Mapping[str, KeyRoute]) -> None:
        self.publish_keys(dict(keys))

    def renew_sessions(self, sessions: Mapping[str, SessionRoute]) -> None:
        assert not sessions


def test_a_key_that_was_taken_away_is_told_as_soon_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(_tell_of_a_key(tmp_path, monkeypatch))


async def _tell_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.01)
    store = open_store(f"sqlite:///{tmp_path / 's.db'}", key_file=tmp_path / "secrets.key")
    key = ensure_root_key(store, "000000000000")
    gates = Gates()
    keys = Keys(store, gates)  # type: ignore[arg-type]
    retrying = asyncio.create_task(keys.keep_told())
    await keys.follow()
    assert gates.told == [{key.id}]
    gates.full = True
    with store.transaction() as tx:  # raises nothing: whoever commits has nothing to do with it
        tx.access_keys.delete(key.id)
    async with asyncio.timeout(10):
        while gates.tries < 3:
            await asyncio.sleep(0.01)
    assert gates.told == [{key.id}]
    gates.full = False
    async with asyncio.timeout(10):
        while len(gates.told) < 2:
            await asyncio.sleep(0.01)
    assert gates.told == [{key.id}, set()]
    retrying.cancel()
    store.close()


class Tried(Outcomes):
    """Counts how often it tried to write."""

    tries = 0

    def _keep(self) -> bool:
        self.tries += 1
        return super()._keep()


def test_outcomes_that_cannot_be_written_down_are_when_there_is_room(
    volume: Volume, full: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(_keep_outcomes(volume, full, monkeypatch))


async def _keep_outcomes(volume: Volume, full: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "KEEP_AGAIN_SECONDS", 0.01)
    data = volume.path / "data"
    told = Tried(None, None, None, SystemClock(), "https://receiver.example", data)  # type: ignore[arg-type]
    told._known = {"0/r/e": "d"}
    full()
    running = asyncio.create_task(told.run())
    async with asyncio.timeout(10):
        while told.tries < 2:
            await asyncio.sleep(0.01)
    assert not running.done(), "it would have ended every other watch with it"
    assert not names(data)
    volume.free()
    async with asyncio.timeout(10):
        while not (data / outcomes.FILE).exists():
            await asyncio.sleep(0.01)
    running.cancel()


def test_where_a_server_answers_is_written_when_there_is_room(volume: Volume, full: Any) -> None:
    data = volume.path / "data"
    settings: Any = SimpleNamespace(
        account_id="0" * 12,
        host="127.0.0.1",
        port=1,
        region="us-east-1",
        credentials_file=data / "credentials.json",
        endpoint_file=data / "endpoint.json",
    )
    store = open_store(f"sqlite:///{data / 's.db'}", key_file=data / "secrets.key")
    there = whereabouts.Whereabouts(store, settings)
    full()
    there.tell_the_key()
    there.say_where()
    assert not settings.credentials_file.exists()
    volume.free()
    there._write_what_is_wrong()
    assert settings.credentials_file.exists()
    assert settings.endpoint_file.exists()
    store.close()
