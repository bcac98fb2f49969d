"""What a model can reach of its server and of its neighbours: nothing, tried from inside.

Each probe is run by the model itself. As root it has a user id of its own; otherwise a namespace
where the host grants one, and the suite skips, saying why, where it does not.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inservice.runtimes.base import Handle, InstanceState, LaunchFailed
from inservice.runtimes.process import isolation, protocol, records
from tests.contracts.runtime_stages import (
    ProcessStage,
    changed,
    files_of,
    process_stage,
    until,
)
from tests.modelserver.unix_http import call

PROBE = """
import json, traceback

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    names = {"model_dir": model}
    try:
        exec(body.decode() if isinstance(body, bytes) else body, names)
    except BaseException as error:
        return json.dumps({"refused": type(error).__name__, "says": str(error)})
    return json.dumps({"got": names.get("got")})
"""

REMOUNT = """
import ctypes
if ctypes.CDLL(None).mount(b"none", model_dir.encode(), None, 0x1020, None):
    raise PermissionError
"""

REFUSED = {"PermissionError", "FileNotFoundError", "ProcessLookupError", "NotADirectoryError"}
AS_ROOT = os.getuid() == 0
only_as_root = pytest.mark.skipif(
    not AS_ROOT, reason="only root can give models users of their own"
)


@pytest.fixture(scope="module")
def stage() -> Iterator[ProcessStage]:
    """A server's directories with what is in them, two models and the fork server between them."""
    with process_stage() as stage:
        data_dir = stage.root / "data"
        data_dir.mkdir(0o755)  # as a careless hand may have left it
        for name in ("credentials.json", "secrets.key", "inservice.db", "metrics.token"):
            (data_dir / name).write_text("secret")
            (data_dir / name).chmod(0o644)
        stage.root.chmod(0o755)
        stage.hide(data_dir)
        yield stage


@pytest.fixture(scope="module")
def models(stage: ProcessStage) -> tuple[Handle, Handle]:
    """Two, of different fleets."""

    async def start() -> tuple[Handle, Handle]:
        handles = [await stage.runtime.launch(stage.spec(code=PROBE)) for _ in range(2)]
        for handle in handles:
            sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
            assert sight.state is InstanceState.READY, sight
        return handles[0], handles[1]

    pair = asyncio.run(start())
    if stage.runtime.unprotected:
        pytest.skip(stage.runtime.unprotected)
    return pair


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


def attempt(handle: Handle, code: str) -> dict[str, object]:
    answer = call(handle.address, code, content_type="application/octet-stream")
    assert answer.status == 200, answer
    tried: dict[str, object] = json.loads(answer.body)
    return tried


def refused(handle: Handle, code: str) -> None:
    tried = attempt(handle, code)
    assert tried.get("refused") in REFUSED, tried


def scratch_of(stage: ProcessStage, handle: Handle) -> Path:
    return records.Places(stage.run_dir).scratch(handle.instance_id)


# ── its own model ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "code",
    [
        "open(model_dir + '/code/inference.py', 'a').write('evil')",
        "open(model_dir + '/new', 'w')",
        "import os; os.chmod(model_dir + '/code/inference.py', 0o666)",
        "import os; os.unlink(model_dir + '/code/inference.py')",
        "import os; os.rename(model_dir + '/code', model_dir + '/other')",
        "import os; os.symlink('/etc', model_dir + '/link')",
        "import os; os.utime(model_dir + '/code/inference.py', (1, 1))",
        "import os; os.truncate(model_dir + '/code/inference.py', 0)",
        # Around the mount: again, and by another way to the same files.
        REMOUNT,
        "import ctypes\nif ctypes.CDLL(None).umount2(model_dir.encode(), 2): raise PermissionError",
        "open('/proc/self/root' + model_dir + '/code/inference.py', 'a')",
        "import os; open(f'/proc/{os.getppid()}/root' + model_dir + '/code/inference.py', 'a')",
    ],
)
def test_a_model_cannot_change_its_artifact(
    models: tuple[Handle, Handle], stage: ProcessStage, code: str
) -> None:
    tried = attempt(models[0], code)
    says = str(tried.get("says"))
    assert tried.get("refused") in {"PermissionError", "FileNotFoundError", "OSError"}, tried
    assert tried["refused"] != "OSError" or "Read-only file system" in says, tried
    program = attempt(models[1], "got = open(model_dir + '/code/inference.py').read()")
    assert "evil" not in str(program["got"])


def test_a_model_reads_its_artifact_and_writes_where_it_may(models: tuple[Handle, Handle]) -> None:
    code = """
import os, tempfile
assert "transform_fn" in open(model_dir + "/code/inference.py").read()
with tempfile.NamedTemporaryFile(dir=os.environ["TMPDIR"]) as file:
    file.write(b"x")
open(os.path.expanduser("~/cache"), "w").close()
with open("/dev/stdout", "w") as out:
    out.write("by name\\n")
import sqlite3, multiprocessing.shared_memory as shm
sqlite3.connect("here.db").execute("create table t (x)")
memory = shm.SharedMemory(create=True, size=16); memory.unlink()
import email.mime.audio, sklearn.manifold  # nothing that was imported before the fork
got = os.getcwd() == os.environ["HOME"]
"""
    assert attempt(models[0], code) == {"got": True}


# ── its server ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["credentials.json", "secrets.key", "inservice.db", "metrics.token", ""]
)
def test_a_model_cannot_read_what_its_server_keeps(
    models: tuple[Handle, Handle], stage: ProcessStage, name: str
) -> None:
    """Although the modes of the files would let it."""
    path = stage.root / "data" / name
    code = f"import os; got = open('{path}').read() if {bool(name)} else os.listdir('{path}')"
    tried = attempt(models[0], code)
    assert tried.get("refused") in REFUSED or tried == {"got": []}, tried


@pytest.mark.parametrize("what", ["environ", "mem", "root", "cwd", "fd", "maps", "exe"])
def test_a_model_cannot_look_into_the_processes_of_its_server(
    models: tuple[Handle, Handle], stage: ProcessStage, what: str
) -> None:
    for pid in (os.getpid(), stage.runtime.fork_server_pid(), models[1].pid):
        place = f"/proc/{pid}/{what}"
        code = {
            "root": f"import os; os.listdir('{place}')",
            "cwd": f"import os; os.listdir('{place}')",
            "fd": f"import os; os.readlink('{place}/0')",
            "exe": f"import os; os.readlink('{place}')",
        }.get(what, f"open('{place}', 'rb').read(1)")
        refused(models[0], code)


def test_a_model_cannot_trace_its_server_nor_its_neighbour(
    models: tuple[Handle, Handle], stage: ProcessStage
) -> None:
    for pid in (os.getpid(), stage.runtime.fork_server_pid(), models[1].pid):
        refused(
            models[0],
            "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
            f"if c.ptrace(16, {pid}, 0, 0): raise PermissionError(ctypes.get_errno())",
        )


@only_as_root
def test_a_model_cannot_signal_its_server_nor_its_neighbour(
    models: tuple[Handle, Handle], stage: ProcessStage
) -> None:
    for pid in (os.getpid(), stage.runtime.fork_server_pid(), models[1].pid):
        refused(models[0], f"import os; os.kill({pid}, 0)")
        refused(models[0], f"import os; os.setpriority(os.PRIO_PROCESS, {pid}, 5)")
        refused(
            models[0],
            f"import resource; resource.prlimit({pid}, resource.RLIMIT_NOFILE, (16, 16))",
        )


def test_a_model_cannot_reach_the_sockets_beside_it(
    models: tuple[Handle, Handle], stage: ProcessStage
) -> None:
    places = records.Places(stage.run_dir)
    control = socket.socket(socket.AF_UNIX)
    control.bind(str(stage.run_dir / "control.sock"))
    control.listen()
    (stage.run_dir / "control.sock").chmod(0o777)
    try:
        others = [places.fork_server_socket, stage.run_dir / "control.sock"]
        for path in (*others, places.socket(models[1].instance_id)):
            refused(models[0], f"import socket; socket.socket(socket.AF_UNIX).connect('{path}')")
    finally:
        control.close()


def test_a_model_sees_of_the_run_directory_only_what_is_its_own(
    models: tuple[Handle, Handle], stage: ProcessStage
) -> None:
    places = records.Places(stage.run_dir)
    scratch = scratch_of(stage, models[0])
    tried = attempt(models[0], f"import os; got = sorted(os.listdir('{places.instances}'))")
    assert tried["got"] == [scratch.name, f"{scratch.name}.sock"]
    for path in (scratch_of(stage, models[1]), places.record(models[1].instance_id)):
        refused(models[0], f"import os; os.listdir('{path}')")
    for path in (places.socket(models[0].instance_id), places.record("forged/0")):
        tried = attempt(models[0], f"import os; os.path.lexists('{path}') and os.unlink('{path}')")
        tried = attempt(models[0], f"import os; os.symlink('/etc', '{path}')")
        assert tried.get("refused") in {"PermissionError", "OSError", "FileExistsError"}, tried
    assert places.socket(models[0].instance_id).is_socket()
    assert attempt(models[0], "got = 1") == {"got": 1}, "and it is still reached"


def test_a_model_inherits_nothing_that_is_open(models: tuple[Handle, Handle]) -> None:
    code = (
        "import os, stat\n"
        "got = sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')\n"
        "             if os.path.lexists(f'/proc/self/fd/{n}'))"
    )
    for name in attempt(models[0], code)["got"]:  # type: ignore[attr-defined]
        own = name.startswith(("socket:", "anon_inode:", "pipe:", "/proc/")) or name == "/dev/null"
        assert own or name.endswith(".out"), name


@only_as_root
@pytest.mark.parametrize("fresh", [False, True], ids=["forked", "new interpreter"])
def test_each_model_is_somebody_else_for_good(stage: ProcessStage, fresh: bool) -> None:
    async def test() -> None:
        extra: dict[str, Any] = {"PYTHONHASHSEED": "1"} if fresh else {}
        handles = [await stage.runtime.launch(stage.spec(code=PROBE, **extra)) for _ in range(2)]
        seen = set()
        for handle in handles:
            sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
            assert sight.state is InstanceState.READY, sight
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{handle.pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            uids = set(status["Uid"].split())
            assert len(uids) == 1
            assert uids == set(status["Gid"].split())
            assert int(uids.pop()) in isolation.PRIVATE_IDS
            assert status["Groups"].strip() == ""
            assert status["NoNewPrivs"] == "1"
            for kind in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
                assert int(status[kind], 16) == 0, kind
            seen.add(status["Uid"])
            assert attempt(handle, "import getpass; got = getpass.getuser()") == {"got": "model"}
            for back in ("os.setuid(0)", "os.setgid(0)", "os.setgroups([0])"):
                refused(handle, f"import os; {back}")
            assert stat.S_IMODE(scratch_of(stage, handle).stat().st_mode) == 0o700
        assert len(seen) == 2
        for handle in handles:
            await stage.runtime.retire(handle, 5)

    run(test)


@only_as_root
def test_nothing_of_the_models_environment_is_obeyed_by_root(
    stage: ProcessStage,
) -> None:
    """PYTHONPATH of the model names a place where our own modules are shadowed."""

    async def test() -> None:
        spec = stage.spec(code=PROBE)
        evil = files_of(spec) / "evil"
        evil.mkdir()
        (evil / "sitecustomize.py").write_text(
            "import os, sys\nsys.stderr.write(f'ran as {os.getuid()}\\n')\n"
        )
        environment = {"PYTHONPATH": "/opt/ml/model/evil"}
        handle = await stage.runtime.launch(changed(spec, environment=environment))
        sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
        assert sight.state is InstanceState.READY, sight
        assert handle.log_path is not None
        said = [line for line in handle.log_path.read_text().splitlines() if "ran as" in line]
        assert said
        assert not [line for line in said if line.endswith("ran as 0")]
        await stage.runtime.retire(handle, 5)

    run(test)


@pytest.mark.parametrize(
    "named", ["{data}", "file://{data}/", "{run}/instances", "/proc/1/root{data}", "{link}", "{up}"]
)
def test_a_model_gets_at_nothing_by_naming_it(stage: ProcessStage, named: str) -> None:
    """What SAGEMAKER_SUBMIT_DIRECTORY names is shown, and the server's own is not."""
    import joblib
    from sklearn.dummy import DummyClassifier

    async def test() -> None:
        data, link = stage.root / "data", stage.root / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(data)
        place = named.format(data=data, run=stage.run_dir, link=link, up=stage.root)
        spec = stage.spec(image="sklearn")
        model = DummyClassifier().fit([[0.0]], [1])  # served without the code that is named
        joblib.dump(model, files_of(spec) / "model.joblib")
        environment = {"SAGEMAKER_SUBMIT_DIRECTORY": place}
        handle = await stage.runtime.launch(changed(spec, environment=environment))
        sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
        # Of /proc it may not even ask whether there is something.
        refused = named.startswith("/proc") and "Permission denied" in "".join(sight.last_lines)
        assert refused or sight.state is InstanceState.READY, sight
        seen = Path(f"/proc/{handle.pid}/root")
        for kept in (data / "credentials.json", stage.run_dir / "forkserver.sock"):
            assert kept.exists()
            assert not (seen / kept.relative_to("/")).exists(), kept
        await stage.runtime.retire(handle, 5)

    run(test)


# ── who decides ───────────────────────────────────────────────────────────────────────────────────


@only_as_root
@pytest.mark.parametrize(("user", "uid"), [("nobody", 65534), ("12345:54321", 12345), ("77", 77)])
def test_a_user_can_be_chosen(user: str, uid: int) -> None:
    async def test(stage: ProcessStage) -> None:
        handle = await stage.runtime.launch(stage.spec(code=PROBE))
        await until(stage, handle, lambda s: s.state is InstanceState.READY)
        assert attempt(handle, "import os; got = os.getuid()") == {"got": uid}
        if ":" in user:
            assert attempt(handle, "import os; got = os.getgid()") == {"got": 54321}

    with process_stage(user=user) as stage:
        run(lambda: test(stage))


def test_a_user_who_cannot_be_had_launches_nothing() -> None:
    async def test(stage: ProcessStage) -> None:
        with pytest.raises(LaunchFailed, match="INSERVICE_MODEL_USER is 'no-such-user'"):
            await stage.runtime.launch(stage.spec())
        assert await stage.runtime.handles() == []

    with process_stage(user="no-such-user") as stage:
        run(lambda: test(stage))


def test_a_server_may_run_models_as_itself() -> None:
    async def test(stage: ProcessStage) -> None:
        handle = await stage.runtime.launch(stage.spec(code=PROBE))
        await until(stage, handle, lambda s: s.state is InstanceState.READY)
        assert attempt(handle, "import os; got = os.getuid()") == {"got": os.getuid()}
        assert stage.runtime.isolation == "Namespace"

    with process_stage(user=str(os.getuid())) as stage:
        run(lambda: test(stage))


def test_private_ids_are_apart() -> None:
    ids, taken = range(100, 110), set[int]()
    for number in range(10):
        taken.add(isolation.private_id(str(number), ids, taken))
    assert taken == set(ids)
    with pytest.raises(isolation.Unavailable):
        isolation.private_id("one more", ids, taken)


def test_a_host_that_grants_nothing_runs_models_as_before_and_says_so() -> None:
    """In a process without the right to make namespaces, as in most containers."""
    if (setpriv := shutil.which("setpriv")) is None or not AS_ROOT:
        pytest.skip("setpriv, and root to start it, take the right away")
    finished = subprocess.run(
        [
            *(setpriv, "--bounding-set", "-sys_admin", "--inh-caps", "-all"),
            *(sys.executable, "-c", UNGRANTED),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert finished.returncode == 0, finished.stderr
    assert "None: a mount namespace cannot be had" in finished.stdout
    assert "models run with all the rights of this server, because" in finished.stderr


UNGRANTED = """
import asyncio
from tests.contracts.runtime_stages import process_stage, until
from tests.contracts.test_runtime_isolation import PROBE, attempt
from inservice.runtimes.base import InstanceState

async def test(stage):
    handle = await stage.runtime.launch(stage.spec(code=PROBE))
    await until(stage, handle, lambda s: s.state is InstanceState.READY)
    assert attempt(handle, "import os; got = os.getuid()") == {"got": 0}
    print(f"{stage.runtime.isolation}: {stage.runtime.unprotected}")

with process_stage() as stage:
    asyncio.run(test(stage))
"""


def test_a_runtime_of_before_is_understood() -> None:
    """A fork server that outlives an upgrade sends a Life without what came since, and control a
    Launch; neither is an error."""
    launch: dict[str, object] = {
        "type": "Launch",
        "instance_id": "f/0",
        "entry": "a:b",
        "preimports": [],
        "log_path": "/log",
        "model_dir": None,
        "environment": {},
        "network_isolation": False,
        "fresh": False,
    }
    decoded = msgspec.json.decode(msgspec.json.encode(launch), type=protocol.Command)
    assert isinstance(decoded, protocol.Launch)
    assert (decoded.user, decoded.hidden, decoded.code_dir) == ("", (), None)
    assert decoded.python.path == sys.executable
    prepare = {"type": "Prepare", "preimports": ["json"]}
    assert msgspec.json.decode(msgspec.json.encode(prepare), type=protocol.Command) == (
        protocol.Prepare()
    )
    life: dict[str, object] = {
        "title": "t",
        "entry": "a:b",
        "socket_path": "/s",
        "scratch_dir": "/d",
        "model_dir": None,
        "environment": {},
        "network_isolation": False,
    }
    assert msgspec.json.decode(msgspec.json.encode(life), type=protocol.Life).confinement is None
