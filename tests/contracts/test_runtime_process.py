"""What only real processes can do wrong: identity, output, environment, and who outlives whom."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from inservice.instance_logs import writer
from inservice.instance_logs.lines import FILES
from inservice.runtimes.base import Handle, InstanceState, LaunchFailed
from inservice.runtimes.process import protocol, records
from inservice.runtimes.process.records import Places
from inservice.runtimes.process.runtime import ProcessRuntime
from tests.contracts.runtime_stages import (
    PATIENCE_SECONDS,
    ProcessStage,
    files_of,
    process_stage,
    until,
)
from tests.modelserver.unix_http import call

STARTING, READY, UNHEALTHY, GONE = InstanceState

REPORT = """
import json, os, resource, sys

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines()
                  if ":\\t" in line)
    return json.dumps({
        "environment": dict(os.environ), "cwd": os.getcwd(), "umask": status["Umask"],
        "no_new_privs": status["NoNewPrivs"], "session": os.getsid(0), "pid": os.getpid(),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "files": sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{n}")),
        "oom": open("/proc/self/oom_score_adj").read().strip(), "path": sys.path,
        "interfaces": os.listdir("/sys/class/net"),
    })
"""

SHOUT = """
import sys, time

def model_fn(model_dir):
    return None

def not_waited():
    ran, queued, _ = open("/proc/thread-self/schedstat").read().split()
    return (int(ran) + int(queued)) / 1e9

def transform_fn(model, body, content_type, accept):
    began, busy = time.monotonic(), not_waited()
    for n in range(int(body)):
        print(f"{n:08d} " + "x" * 1014)
    took = time.monotonic() - began
    return f"{took} {took - (not_waited() - busy)}"
"""
"""Tells how long it took and how much of that it waited: was neither on a core nor in the queue for
one. However busy the machine is, that is what somebody kept it waiting."""


@pytest.fixture(scope="module")
def stage() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


@pytest.fixture
def alone() -> Iterator[ProcessStage]:
    """For tests that do things to the fork server."""
    with process_stage() as stage:
        yield stage


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


async def ready(stage: ProcessStage, handle: Handle) -> None:
    sight = await until(stage, handle, lambda s: s.state is not STARTING)
    assert sight.state is READY, sight


async def invoke(handle: Handle, body: bytes | str = b"{}") -> bytes:
    answer = await asyncio.to_thread(call, handle.address, body, content_type="text/plain")
    assert answer.status == 200, answer
    return answer.body


def wait_for(good: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not good():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


def events(handle: Handle) -> list[tuple[int, str]]:
    """Every event in the log's newest file, as its format is documented."""
    assert handle.log_path is not None
    lines = handle.log_path.read_text().splitlines()
    return [(int(stamp), text) for stamp, _, text in (line.partition(" ") for line in lines)]


@contextmanager
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def zygotes_of(stage: ProcessStage) -> list[int]:
    fork_server = psutil.Process(stage.runtime.fork_server_pid())
    return [p.pid for p in fork_server.children() if "zygote" in " ".join(p.cmdline())]


# ── identity ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("differs", ["start_ticks", "boot_id", "cookie"])
def test_a_foreign_process_with_the_pid_is_neither_adopted_nor_signalled(
    alone: ProcessStage, differs: str
) -> None:
    async def test() -> None:
        with bystander() as foreign:
            handle = await alone.runtime.launch(alone.spec())
            await ready(alone, handle)
            await alone.runtime.shut_down(0.0)
            (record,) = records.Places(alone.run_dir).records()
            ticks = records.start_ticks(foreign.pid)
            assert ticks is not None
            forged = replace(record, pid=foreign.pid, start_ticks=ticks)
            if differs == "start_ticks":
                forged = replace(forged, start_ticks=ticks - 1)
            elif differs == "boot_id":
                forged = replace(forged, boot_id="another boot")
            records.write(records.Places(alone.run_dir).record(handle.instance_id), forged)
            alone.again()
            (known,) = await alone.runtime.handles()
            if differs != "cookie":
                assert await alone.runtime.recover(known) is None
                assert (await alone.runtime.look(known)).state is GONE
                await alone.runtime.retire(known, 0.0)
                assert await alone.runtime.handles() == []
            assert foreign.poll() is None

    run(test)


def test_a_process_that_shows_another_cookie_is_not_ours(stage: ProcessStage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        await ready(stage, handle)
        record = records.read(
            records.Places(stage.run_dir).record(handle.instance_id), records.Record
        )
        assert record is not None
        assert records.is_alive(record)
        assert not records.is_alive(replace(record, cookie="0" * 16))
        await stage.runtime.retire(handle, 5)

    run(test)


def test_a_model_that_renames_itself_is_still_known(stage: ProcessStage) -> None:
    async def test() -> None:
        code = "import setproctitle\nsetproctitle.setproctitle('my model')\n" + REPORT
        handle = await stage.runtime.launch(stage.spec(code=code))
        await ready(stage, handle)
        stage.again()
        assert await stage.runtime.recover(handle) == handle
        await stage.runtime.retire(handle, 5)
        assert not Path(f"/proc/{handle.pid}/exe").exists()

    run(test)


def test_a_run_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long by"):
        ProcessRuntime(tmp_path / ("x" * 80), tmp_path)


@pytest.mark.parametrize(
    "evil", ["../../etc/passwd", "a/../../b", ".", "x" * 1000, "a\nb", "é/%2F"]
)
def test_an_id_is_a_name_and_never_a_path(tmp_path: Path, evil: str) -> None:
    places = records.Places(Path("/run/x"))
    for path in (places.record(evil), places.socket(evil), places.scratch(evil)):
        assert path.parent == places.instances
        assert len(path.name.encode()) <= 255
        assert path.name not in (".", "..")
    assert places.record(evil) != places.record(evil + "x")


# ── who outlives whom ─────────────────────────────────────────────────────────────────────────────


def test_instances_outlive_the_fork_server_and_are_adopted_by_the_next(alone: ProcessStage) -> None:
    async def test() -> None:
        handle = await alone.runtime.launch(alone.spec(code=SHOUT))
        await ready(alone, handle)
        first = alone.runtime.fork_server_pid()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: records.start_ticks(first) is None, "its end")
        await invoke(handle, "2")
        alone.again()
        assert (await alone.runtime.look(handle)).state is READY
        assert alone.runtime.fork_server_pid() != first
        wait_for(lambda: len(events(handle)) == 2, "what was printed while nobody listened")
        await invoke(handle, "1")
        wait_for(lambda: len(events(handle)) == 3, "what was printed since")
        await alone.runtime.retire(handle, 5)
        assert (await alone.runtime.look(handle)).state is GONE
        assert records.start_ticks(handle.pid) is None

    run(test)


def test_a_launch_outlives_the_fork_server_that_was_started_for_it(alone: ProcessStage) -> None:
    """Nothing is wrong with the model; a deployment must not be rolled back for that."""

    async def test() -> None:
        launching = asyncio.create_task(alone.runtime.launch(alone.spec()))
        first = await _listening(alone)
        os.kill(first, signal.SIGKILL)
        handle = await launching
        await ready(alone, handle)
        assert alone.runtime.fork_server_pid() != first
        await alone.runtime.retire(handle, 5)

    run(test)


async def _listening(stage: ProcessStage) -> int:
    """The pid of a fork server, as soon as it could be asked for something."""
    path = str(records.Places(stage.run_dir).fork_server_socket)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with socket.socket(socket.AF_UNIX) as asking:
                if asking.connect_ex(path) == 0 and (pid := stage.runtime.fork_server_pid()):
                    return pid
            await asyncio.sleep(0.001)


def test_the_end_of_an_adopted_instance_is_seen(alone: ProcessStage) -> None:
    async def test() -> None:
        handle = await alone.runtime.launch(alone.spec())
        await ready(alone, handle)
        first = alone.runtime.fork_server_pid()
        assert first is not None
        os.kill(first, signal.SIGTERM)
        wait_for(lambda: records.start_ticks(first) is None, "its end")
        assert (await alone.runtime.recover(handle)) == handle, "SIGTERM ends no instance"
        alone.again()
        await alone.runtime.prepare()
        alone.kill(handle)
        sight = await until(alone, handle, lambda s: s.state is GONE)
        assert (sight.exit_code, sight.signal) == (None, None), "only the parent could know"

    run(test)


def test_nothing_stays_where_the_run_directory_was_deleted(alone: ProcessStage) -> None:
    """Nobody could ever find it again: neither with its fork server, nor an instance alone."""

    async def test() -> None:
        with tempfile.TemporaryDirectory(prefix="is-") as root:
            orphaned = ProcessStage(Path(root))
            pids = []
            for stage in (alone, orphaned):
                handle = await stage.runtime.launch(stage.spec())
                await ready(stage, handle)
                pids += [handle.pid, stage.runtime.fork_server_pid() or 0]
            os.kill(pids[-1], signal.SIGKILL)
            for stage in (alone, orphaned):
                shutil.rmtree(stage.run_dir)
            wait_for(lambda: not any(map(records.start_ticks, pids)), "the end of all")

    run(test)


def test_many_at_once_from_nothing(alone: ProcessStage) -> None:
    async def test() -> None:
        specs = [alone.spec() for _ in range(8)]
        other = ProcessRuntime(
            alone.run_dir, alone.log_dir, images=alone.images, assets=alone.assets
        )
        launches = [r.launch(spec) for spec in specs for r in (alone.runtime, other)]
        handles = await asyncio.gather(*launches)
        assert len({handle.pid for handle in handles}) == len(specs)
        assert handles[::2] == handles[1::2]
        await asyncio.gather(*(ready(alone, handle) for handle in handles[::2]))
        pid = alone.runtime.fork_server_pid()
        await alone.runtime.shut_down(5)
        assert all(records.start_ticks(p) is None for p in [pid, *(h.pid for h in handles)] if p)

    run(test)


def test_the_children_of_a_model_end_with_it(stage: ProcessStage) -> None:
    async def test() -> None:
        code = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\n" + REPORT.replace(
            "json.dumps({", "json.dumps({'child': child.pid, "
        )
        handle = await stage.runtime.launch(stage.spec(code=code))
        await ready(stage, handle)
        child = json.loads(await invoke(handle))["child"]
        stage.kill(handle)
        await until(stage, handle, lambda s: s.state is GONE)
        wait_for(lambda: records.start_ticks(child) is None, "the child's end")
        await stage.runtime.retire(handle, 5)

    run(test)


def test_sigterm_lets_an_invocation_finish(stage: ProcessStage) -> None:
    async def test() -> None:
        code = REPORT.replace("status = ", "import time; time.sleep(0.5); status = ")
        handle = await stage.runtime.launch(stage.spec(code=code))
        await ready(stage, handle)
        busy = asyncio.create_task(invoke(handle))
        await asyncio.sleep(0.2)
        await stage.runtime.retire(handle, 10)
        assert json.loads(await busy)["pid"] == handle.pid

    run(test)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os\nos.kill(os.getpid(), 40)", "signal 40"),
    ],
)
def test_any_signal_is_told(stage: ProcessStage, code: str, name: str) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(code=code))
        sight = await until(stage, handle, lambda s: s.state is GONE)
        assert (sight.exit_code, sight.signal) == (None, name)
        if name == "SIGSEGV":
            assert "Fatal Python error: Segmentation fault" in sight.last_lines
        await stage.runtime.retire(handle, 5)

    run(test)


def test_memory_that_ends_is_told(stage: ProcessStage) -> None:
    async def test() -> None:
        code = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\n"
        handle = await stage.runtime.launch(stage.spec(code=code + "x = bytearray(2**29)"))
        sight = await until(stage, handle, lambda s: s.state is GONE)
        assert sight.out_of_memory, sight
        await stage.runtime.retire(handle, 5)

    run(test)


def test_what_a_model_puts_in_the_place_of_its_files_is_removed(stage: ProcessStage) -> None:
    """Of a model that may, as on a host that grants no namespace; elsewhere, whoever else may."""

    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        await ready(stage, handle)
        places = records.Places(stage.run_dir)
        scratch = places.scratch(handle.instance_id)
        for path in (places.socket(handle.instance_id), places.output(handle.instance_id)):
            path.unlink()
            (path / "a").mkdir(parents=True)
        stage.kill(handle)
        await until(stage, handle, lambda s: s.state is GONE)
        await stage.runtime.retire(handle, 5)
        assert not list(places.instances.glob(f"{scratch.name}*"))
        assert handle not in await stage.runtime.handles()

    run(test)


def test_a_zygote_that_cannot_import_is_not_needed(stage: ProcessStage) -> None:
    """A broken framework fails in the model's own process and log, where it can be read."""

    async def test() -> None:
        await stage.runtime.prepare()
        spec = stage.spec()
        launch = protocol.Launch(
            instance_id=spec.instance_id,
            entry="inservice.modelserver.main:run",
            python=protocol.Python(preimports=("a_module_that_nobody_has",)),
            log_path=str(stage.runtime.log_path(spec)),
            model_dir=str(files_of(spec)),
            environment={},
            network_isolation=False,
            fresh=False,
        )
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE_SECONDS)
            control.connect(str(records.Places(stage.run_dir).fork_server_socket))
            control.sendall(msgspec.json.encode(launch) + b"\n")
            reply = msgspec.json.decode(control.recv(65536), type=protocol.Reply)
        assert reply.record is not None, reply
        handle = records.handle_of(reply.record)
        await ready(stage, handle)
        await stage.runtime.retire(handle, 5)

    run(test)


def test_a_zygote_that_is_killed_is_replaced(alone: ProcessStage) -> None:
    async def test() -> None:
        first = await alone.runtime.launch(alone.spec())
        await ready(alone, first)  # until then it has the zygote's title
        (zygote,) = zygotes_of(alone)
        os.kill(zygote, signal.SIGKILL)
        handles = await asyncio.gather(*(alone.runtime.launch(alone.spec()) for _ in range(3)))
        for handle in handles:
            await ready(alone, handle)
        await alone.runtime.prepare("python")
        (other,) = zygotes_of(alone)
        assert other != zygote

    run(test)


def test_a_host_that_cannot_start_a_process_says_so(alone: ProcessStage) -> None:
    async def test() -> None:
        spec = alone.spec()
        await alone.runtime.prepare()
        # Where its record belongs there is something else, so nobody could find it again.
        (Places(alone.run_dir).record(spec.instance_id) / "x").mkdir(parents=True)
        with pytest.raises(LaunchFailed, match="IsADirectoryError"):
            await alone.runtime.launch(spec)

    run(test)


def test_a_host_without_descriptors_is_short_of_something_and_can_do_it_later(
    alone: ProcessStage,
) -> None:
    async def test() -> None:
        await alone.runtime.prepare("python")
        pid = alone.runtime.fork_server_pid()
        assert pid is not None
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        open_now = max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir())
        # One more, for the command itself: all that a launch needs is beyond.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + 2, most))
        with pytest.raises(LaunchFailed) as short:
            await alone.runtime.launch(alone.spec())
        assert isinstance(short.value.__cause__, OSError)
        assert short.value.__cause__.errno == errno.EMFILE
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
        await ready(alone, await alone.runtime.launch(alone.spec()))

    run(test)


# ── output ────────────────────────────────────────────────────────────────────────────────────────


def test_output_is_kept_line_by_line_with_its_time(stage: ProcessStage) -> None:
    async def test() -> None:
        code = "import os, sys\n" + REPORT.replace(
            "status = ",
            "print('one\\ntwo'); sys.stderr.write('three\\n'); os.write(1, b'f\\xffur\\x1b[1m\\n');"
            " print('no end', end='', flush=True); status = ",
        )
        began = time.time() * 1000
        handle = await stage.runtime.launch(stage.spec(code=code))
        await ready(stage, handle)
        await invoke(handle)
        await stage.runtime.retire(handle, 5)
        assert handle.log_path is not None
        raw = handle.log_path.read_bytes()
        assert b" f\xffur\x1b[1m\n" in raw, "kept as it was written"
        stamps, texts = zip(*(line.split(b" ", 1) for line in raw.splitlines()), strict=True)
        assert [t.decode("latin-1") for t in texts] == [
            "one",
            "two",
            "three",
            "fÿur\x1b[1m",
            "no end",
        ]
        assert all(began <= float(stamp) <= time.time() * 1000 for stamp in stamps)
        shown = writer.tail(handle.log_path, 2)
        assert shown == ("f\ufffdur", "no end"), "shown without control characters"
        assert oct(handle.log_path.stat().st_mode)[-3:] == "600"

    run(test)


def test_a_flood_is_cut_counted_and_bounded_and_does_not_slow_the_model(
    stage: ProcessStage,
) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(code=SHOUT))
        await ready(stage, handle)
        seconds, waited = map(float, (await invoke(handle, str(64 * 1024))).split())  # 64 MiB
        assert waited < seconds / 4 + 0.5
        await stage.runtime.retire(handle, 5)
        assert handle.log_path is not None
        files = sorted(handle.log_path.parent.glob(f"{handle.log_path.name}*"))
        kept = sum(file.stat().st_size for file in files)
        assert kept <= writer.FILE_BYTES_MAX * FILES
        assert kept <= writer.KEPT_BURST_BYTES * 1.1 + seconds * 2**20 + 2**20
        dropped = [
            int(line.split(b"dropped ")[1].split()[0])
            for file in files
            for line in file.read_bytes().splitlines()
            if b"[inservice] dropped" in line
        ]
        assert dropped
        assert sum(dropped) + kept >= 0.9 * 64 * 2**20

    run(test)


def test_a_reader_that_stopped_does_not_stop_the_model(alone: ProcessStage) -> None:
    async def test() -> None:
        handle = await alone.runtime.launch(alone.spec(code=SHOUT))
        await ready(alone, handle)
        pid = alone.runtime.fork_server_pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            seconds, waited = map(float, (await invoke(handle, "4096")).split())
        finally:
            os.kill(pid, signal.SIGCONT)
        assert waited < seconds / 4 + 0.5
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any("[inservice] dropped" in text for _, text in events(handle)):
                await invoke(handle, "1")  # the count comes with the first line that fits again
                await alone.pass_time()
        await alone.runtime.retire(handle, 5)

    run(test)


def test_an_end_is_seen_though_the_fork_server_is_stuck(alone: ProcessStage) -> None:
    """Traffic must be taken from it; that another cannot be launched now is another matter."""

    async def test() -> None:
        handle = await alone.runtime.launch(alone.spec())
        await ready(alone, handle)
        pid = alone.runtime.fork_server_pid()
        assert pid is not None
        alone.again()
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):  # half of what a fork server that starts may take
                assert (await alone.runtime.look(handle)).state is READY
                alone.kill(handle)
                sight = await alone.runtime.next_sight(handle, None)
                assert sight.state is GONE
                assert (await alone.runtime.look(handle)).state is GONE
        finally:
            os.kill(pid, signal.SIGCONT)
        await alone.runtime.retire(handle, 5)

    run(test)


# ── environment ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fresh", [False, True], ids=["forked", "new interpreter"])
def test_a_model_sees_its_own_environment_and_nothing_of_controls(
    monkeypatch: pytest.MonkeyPatch,
    fresh: bool,
    alone: ProcessStage,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-control")
    monkeypatch.setenv("INSERVICE_DATA_DIR", "/secret-of-control")

    async def test() -> None:
        extra: dict[str, Any] = {"PYTHONPATH": "/only/mine"} if fresh else {}
        spec = alone.spec(code=REPORT, MY_SETTING="a\nb", PATH="/mine", **extra)
        handle = await alone.runtime.launch(spec)
        await ready(alone, handle)
        seen = json.loads(await invoke(handle))
        environment = seen["environment"]
        assert "secret-of-control" not in json.dumps(environment)
        assert environment["MY_SETTING"] == "a\nb"
        assert environment["PATH"] == "/mine"
        assert environment["AWS_REGION"] == "us-east-1"
        here = str(files_of(spec)) if alone.runtime.unplaced else "/opt/ml/model"
        assert environment["SM_MODEL_DIR"] == here
        assert environment["HOME"] == environment["TMPDIR"] == seen["cwd"]
        assert seen["cwd"].startswith(str(alone.run_dir / "instances"))
        assert ("/only/mine" in seen["path"]) == fresh
        assert seen["session"] == seen["pid"] == handle.pid
        assert seen["umask"] == "0077"
        assert seen["no_new_privs"] == "1"
        assert seen["core"] == 0
        assert seen["oom"] == "500"
        files = [f for f in seen["files"] if not f.startswith(("socket:", "anon_inode:"))]
        assert all(f == "/dev/null" or f.endswith(".out") or "pipe:" in f for f in files), files
        await alone.runtime.retire(handle, 5)
        assert not Path(seen["cwd"]).exists()

    run(test)


def test_what_only_a_new_interpreter_obeys_is_obeyed(stage: ProcessStage) -> None:
    async def test() -> None:
        code = REPORT.replace("json.dumps({", "json.dumps({'hash': hash('x'), ")
        spec = stage.spec(code=code, PYTHONHASHSEED="7")
        handle = await stage.runtime.launch(spec)
        await ready(stage, handle)
        seen = json.loads(await invoke(handle))["hash"]
        expected = subprocess.check_output(
            [sys.executable, "-c", "print(hash('x'))"], env={"PYTHONHASHSEED": "7"}
        )
        assert seen == int(expected)
        await stage.runtime.retire(handle, 5)

    run(test)


def test_how_long_one_lived_does_not_depend_on_what_the_clock_is_set_to(
    stage: ProcessStage,
) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        await ready(stage, handle)
        path = Places(stage.run_dir).record(handle.instance_id)
        record = records.read(path, records.Record)
        assert record is not None
        records.write(path, replace(record, started_at=record.started_at + 3600.0))
        living = await stage.runtime.look(handle)
        stage.kill(handle)
        gone = await until(stage, handle, lambda s: s.state is GONE)
        assert gone.age_seconds >= living.age_seconds > 0.0
        await stage.runtime.retire(handle, 5)

    run(test)


def test_network_isolation_leaves_a_model_no_network_but_its_invocations(
    stage: ProcessStage,
) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(code=REPORT, isolated=True))
        sight = await until(stage, handle, lambda s: s.state is not STARTING)
        if sight.state is GONE:
            assert "EnableNetworkIsolation cannot be kept on this host" in sight.last_lines[-1]
            pytest.skip(sight.last_lines[-1])
        namespace, ours = (Path(f"/proc/{p}/ns/net").readlink() for p in (handle.pid, "self"))
        assert namespace != ours
        assert await invoke(handle)
        await stage.runtime.retire(handle, 5)

    run(test)


def test_the_fork_server_imports_only_what_it_runs_by() -> None:
    """It is there for as long as InService is. The seam that it shares with control speaks of
    workloads; it and its instances do without the core that those are made of, and asyncio."""
    program = "import sys, inservice.runtimes.process.forkserver; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("inservice.")}
    assert ours == {"runtimes", "instance_logs", "disk", "contract", "linux"}
    assert "asyncio" not in loaded
