"""How the host watches its instances: counted in pings and in what is told, not in seconds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import inservice
from inservice.runtimes.base import InstanceState
from inservice.runtimes.process import code, following, ping, pulses, records
from inservice.runtimes.process.following import Following
from inservice.runtimes.process.ping import Answer, Ping
from inservice.runtimes.process.protocol import News, Pulse, Reply
from inservice.runtimes.process.pulses import Pulses
from inservice.runtimes.process.records import Places, Record
from inservice.runtimes.process.watch import Watch
from tests.contracts.runtime_stages import PATIENCE_SECONDS, ProcessStage, process_stage

READY = InstanceState.READY


class Model(threading.Thread):
    """Listens where an instance would, and answers every ping as it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # whoever asked may be gone by now
                connection.recv(4096)
                connection.sendall(self.answer)

    def end(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()


class Host:
    """The pinging half of a fork server, in a thread, and one follower of it."""

    def __init__(self, place: Path, count: int) -> None:
        places = Places(place)
        places.instances.mkdir()
        self.watch = Watch()
        self.pulses = Pulses(self.watch, places)
        self.heard: list[News] = []
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self._lines = ours.makefile("rb")
        self.models = [Model(places.socket(f"f/{n}")) for n in range(count)]
        self._records = [record(places, f"f/{n}") for n in range(count)]
        for one in self._records:
            self.pulses.begin(one, adopted=False)
        self.pulses.follow(theirs, b"")
        self._wake, wakes = socket.socketpair()
        self.watch.readable(wakes.fileno(), self.watch.stop)
        self._ours, self._theirs, self._wakes = ours, theirs, wakes
        self._thread = threading.Thread(target=self.watch.run, daemon=True)
        self._thread.start()

    def hear_until(self, good: Callable[[], bool]) -> None:
        self._ours.settimeout(PATIENCE_SECONDS)
        while not good():
            self.heard.append(msgspec.json.decode(self._lines.readline(), type=News))

    def newest(self) -> dict[str, Pulse]:
        return {pulse.instance_id: pulse for news in self.heard for pulse in news.pulses}

    def end(self) -> None:
        self._wake.send(b"!")
        self._thread.join()
        for one in self._records:
            self.pulses.end(one)
        for model in self.models:
            model.end()
        for used in (self._ours, self._theirs, self._wake, self._wakes):
            used.close()
        self._lines.close()


def record(places: Places, instance_id: str) -> Record:
    return Record(
        instance_id=instance_id,
        pid=os.getpid(),
        start_ticks=0,
        boot_id="b",
        cookie=f"{int(instance_id.rpartition('/')[2]):016x}",
        started_at=0.0,
        fork_seconds=0.0,
        address=f"unix:{places.socket(instance_id)}",
        log_path="/dev/null",
    )


@contextmanager
def host(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(pulses, "STEADY_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(pulses, "SLOT_SECONDS", 0.01)
    monkeypatch.setattr(pulses, "ILL_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(pulses, "BEAT_SECONDS", 0.05)
    # The models are threads of this process, and may get no turn for longer than a model may take.
    monkeypatch.setattr(ping, "PING_SECONDS", PATIENCE_SECONDS)
    with tempfile.TemporaryDirectory(prefix="is-") as place:
        stage = Host(Path(place), count)
        try:
            yield stage
        finally:
            stage.end()


def test_that_one_is_still_well_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with host(10, monkeypatch) as stage:
        stage.hear_until(lambda: sum(one.well for one in stage.newest().values()) == 10)
        told = sum(len(news.pulses) for news in stage.heard)
        sent = stage.pulses.sent
        stage.hear_until(lambda: stage.pulses.sent >= sent + 200)
        assert sum(len(news.pulses) for news in stage.heard) == told


@pytest.mark.parametrize("slices", [0.3, 1.2], ids=["one slice", "several"])
def test_a_host_that_was_held_up_blames_nobody_for_silence(
    monkeypatch: pytest.MonkeyPatch, slices: float
) -> None:
    """It got no turn, as on a starved machine: the answer was there before the time was up."""
    monkeypatch.setattr(ping, "PING_SECONDS", slices)
    watch, answers = Watch(), list[Answer]()
    with tempfile.TemporaryDirectory(prefix="is-") as place:
        model = Model(Path(place) / "socket")

        def hear(answer: Answer) -> None:
            answers.append(answer)
            watch.stop()

        watch.after(0.0, lambda: time.sleep(slices + 0.5))
        Ping(watch, f"{place}/socket", hear)
        watch.run()
        model.end()
    assert [answer.probe.outcome for answer in answers] == ["200"]


def test_whoever_does_not_answer_has_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the host is held up meanwhile."""
    monkeypatch.setattr(ping, "PING_SECONDS", 0.6)
    watch, answers = Watch(), list[Answer]()
    with tempfile.TemporaryDirectory(prefix="is-") as place, socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(f"{place}/socket")
        deaf.listen(1)

        def hear(answer: Answer) -> None:
            answers.append(answer)
            watch.stop()

        for moment in (0.0, 0.1, 0.2):
            watch.after(moment, lambda: time.sleep(0.4))
        Ping(watch, f"{place}/socket", hear)
        watch.run()
    assert [answer.probe.outcome for answer in answers] == ["timed out"]


def test_what_changes_is_told_once_and_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    with host(3, monkeypatch) as stage:
        stage.hear_until(lambda: sum(one.well for one in stage.newest().values()) == 3)
        before = len(stage.heard)
        stage.models[1].answer = b"HTTP/1.1 503 Busy\r\n\r\n"
        stage.hear_until(lambda: not stage.newest()["f/1"].well)
        assert stage.newest()["f/1"].state is InstanceState.UNHEALTHY
        assert stage.newest()["f/1"].probes[-1].outcome == "503"
        stage.models[1].answer = b"HTTP/1.1 200 OK\r\n\r\n"
        stage.hear_until(lambda: stage.newest()["f/1"].well)
        since = [pulse.instance_id for news in stage.heard[before:] for pulse in news.pulses]
        assert set(since) == {"f/1"}


def test_a_follower_that_does_not_read_is_owed_no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the host held up: what it owes is the newest of each instance."""
    monkeypatch.setattr(pulses, "_CROWDED_SECONDS", 0.01)
    watch = Watch()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    follower = pulses._Follower(watch, theirs, b"", lambda _: None)
    for number in range(10_000):
        follower.owe([Pulse(instance_id=f"f/{number % 5}", cookie=str(number), well=False)])
    assert len(follower._owed) <= 5
    newest: dict[str, str] = {}
    watch.after(PATIENCE_SECONDS, watch.stop)  # whatever happens
    reading = threading.Thread(target=watch.run, daemon=True)
    reading.start()
    with ours.makefile("rb") as lines:
        while newest != {f"f/{n}": str(9_995 + n) for n in range(5)}:
            for pulse in msgspec.json.decode(lines.readline(), type=News).pulses:
                newest[pulse.instance_id] = pulse.cookie
    ours.close()  # which ends the follower
    stop, stops = socket.socketpair()
    watch.readable(stops.fileno(), watch.stop)
    stop.send(b"!")
    reading.join()
    for one in (stop, stops, theirs):
        one.close()


# ── who does not ping is replaced ─────────────────────────────────────────────────────────────────

OLD = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(8)
print("there", flush=True)
while True:
    client, _ = listener.accept()
    said = client.recv(4096)
    error = "" if b"Hello" in said else ', "error": "ValidationError: Invalid value"'
    client.sendall(('{"pid": %d%s}\\n' % (os.getpid(), error)).encode())
    client.close()
"""
"""A fork server of the version before, as far as it goes: it knows nothing of following."""


def test_a_fork_server_of_older_code_makes_room_for_one_that_pings() -> None:
    with process_stage() as stage:
        stage.run_dir.mkdir()
        path = Places(stage.run_dir).fork_server_socket
        old = subprocess.Popen([sys.executable, "-c", OLD, path], stdout=subprocess.PIPE)
        assert old.stdout is not None
        assert old.stdout.readline() == b"there\n"

        async def test() -> None:
            follows = Following(path, stage.runtime.prepare)
            with follows.listening("f/0") as told:
                follows.begin()
                await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
            assert follows.is_told
            await follows.end()

        asyncio.run(test())
        assert old.wait(PATIENCE_SECONDS) == 0
        old.stdout.close()
        assert stage.runtime.fork_server_pid() != old.pid


def test_a_fork_server_that_is_stuck_is_replaced_and_its_instances_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "SILENT_SECONDS", 6.0)
    with process_stage() as stage:
        asyncio.run(_stuck(stage))


async def _stuck(stage: ProcessStage) -> None:
    handle = await stage.runtime.launch(stage.spec())
    sight = await stage.runtime.next_sight(handle, None)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while sight.state is not READY:
            sight = await stage.runtime.next_sight(handle, sight)
    first = stage.runtime.fork_server_pid()
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        while records.start_ticks(first) is not None:
            await stage.pass_time()
        while stage.runtime.fork_server_pid() in (None, first):
            await stage.pass_time()
    assert (await stage.runtime.look(handle)).state is READY
    await stage.runtime.close()
    await stage.runtime.retire(handle, 5)


def test_a_fork_server_of_other_code_is_replaced_once_and_its_instances_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after newer code was installed: what is started from now on is the newer code's."""
    with process_stage() as stage:
        asyncio.run(_of_other_code(stage, monkeypatch))


async def _of_other_code(stage: ProcessStage, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await stage.runtime.launch(stage.spec())
    old = stage.runtime.fork_server_pid()
    await stage.runtime.close()
    monkeypatch.setattr(code, "identity", lambda: "newer")
    stage.again()
    newer = stage.runtime
    sight = await newer.next_sight(handle, None)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while newer.fork_server_pid() == old or sight.state is not READY:
            sight = await newer.next_sight(handle, None)
            await asyncio.sleep(0.05)
    replacement = newer.fork_server_pid()
    # It is of the code that is installed, which is not "newer" either, and stays all the same.
    other = await newer.launch(stage.spec())
    assert (await newer.next_sight(other, None)).state in (READY, InstanceState.STARTING)
    assert newer.fork_server_pid() == replacement
    assert (await newer.recover(handle)) == handle
    await newer.close()
    for one in (handle, other):
        await newer.retire(one, 5)


def test_which_code_it_is_does_not_hang_on_what_was_compiled_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever imports a module first compiles it, and may keep the result to themselves."""
    package = tmp_path / "inservice"
    (package / "inner").mkdir(parents=True)
    for path in (package / "__init__.py", package / "inner" / "a.py"):
        path.touch()
    monkeypatch.setattr(inservice, "__file__", str(package / "__init__.py"))
    before = code.identity.__wrapped__()
    compiled = package / "inner" / "__pycache__"
    compiled.mkdir()
    (compiled / "a.so").touch()
    compiled.chmod(0)  # which binds whoever is not root
    assert code.identity.__wrapped__() == before
    (package / "inner" / "b.py").touch()
    assert code.identity.__wrapped__() != before


def test_an_answer_without_a_pulse_is_one_of_the_version_before() -> None:
    """And the other way round: what is new is left out where it says nothing."""
    assert msgspec.json.decode(b'{"pid": 7}', type=Reply) == Reply(pid=7)
    assert msgspec.json.encode(Reply(pid=7)) == b'{"pid":7}'
