"""Where an instance finds what AWS's containers have: /opt/ml/model and a /tmp of its own, on hosts
of many shapes, and that no way leads to writing what endpoints share."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inservice.runtimes.base import Handle, InstanceState
from inservice.runtimes.process import container_paths, mounting
from inservice.runtimes.process.confinement import Confinement, enclose
from inservice.runtimes.process.protocol import Launch, Python
from tests.contracts import hosts
from tests.contracts.runtime_stages import (
    ProcessStage,
    asset_of,
    changed,
    files_of,
    process_stage,
    until,
)
from tests.contracts.test_runtime_isolation import PROBE, attempt

WHY_NOT = hosts.why_not()
on_other_hosts = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")

LOOK = """
import json, os
def seen(path):
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        return type(error).__name__
got = {
    "model_dir": model_dir,
    "SM_MODEL_DIR": os.environ["SM_MODEL_DIR"],
    "model": seen("/opt/ml/model"),
    "input": seen("/opt/ml/input"),
    "ml": seen("/opt/ml"),
    "opt": seen("/opt"),
    "tmp": seen("/tmp"),
    "root": seen("/"),
}
"""


async def started(stage: ProcessStage, **more: Any) -> Handle:
    handle = await stage.runtime.launch(stage.spec(code=PROBE, **more))
    sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
    assert sight.state is InstanceState.READY, sight
    return handle


def looked(_: object) -> dict[str, Any]:
    """What a forked instance and one of a new interpreter see."""
    with process_stage() as stage:

        async def both() -> list[Handle]:
            return [await started(stage), await started(stage, PYTHONHASHSEED="1")]

        seen = [attempt(handle, LOOK)["got"] for handle in asyncio.run(both())]
        assert seen[0] == seen[1]
        assert isinstance(seen[0], dict)
        return {**seen[0], "isolation": stage.runtime.isolation, "why": stage.runtime.unplaced}


TOOLS = {"tool", "current", "nowhere", "a file.txt", "private"}

HOSTS = {
    "as it is": set[str](),
    "without opt": set[str](),
    "opt": TOOLS,
    "opt linked": {"tool"},
    "opt closed": set[str](),
    "opt ml": TOOLS,
    "opt ml loop": TOOLS,
    "opt ml dangling": TOOLS,
    "opt ml file": TOOLS,
    "python in opt": {*TOOLS, "python"},
}
"""What of /opt has to be there still."""


@on_other_hosts
@pytest.mark.parametrize(
    ("shape", "user"),
    [
        ("as it is", ""),
        ("as it is", ",ordinary"),
        pytest.param("opt ml", "", marks=pytest.mark.long),
        pytest.param("opt closed", "", marks=pytest.mark.long),
    ],
)
def test_the_artifact_is_where_a_container_has_it(shape: str, user: str) -> None:
    seen = hosts.on(shape + user, looked)
    if seen["isolation"] == "None":
        pytest.skip(seen["why"])
    assert seen["why"] == ""
    assert seen["isolation"] == ("Namespace" if user else "OwnUser")
    assert (seen["model_dir"], seen["SM_MODEL_DIR"]) == ("/opt/ml/model", "/opt/ml/model")
    assert (seen["model"], seen["input"]) == (["code"], [])
    assert set(seen["opt"]) >= {"ml", *HOSTS[shape]}
    of_the_host = {"data"} if shape == "opt ml" else set()
    assert set(seen["ml"]) == {"model", "input", *of_the_host}
    assert {"etc", "proc", "usr", "tmp", "opt"} <= set(seen["root"])
    assert not Path("/opt/ml/model/code").exists(), "nothing of it is seen by anybody else"


def seen_in_a_view(_: object) -> dict[str, list[str]]:
    """Of a view alone, with no instance in it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as model:
        Path(model, "weights").touch()
        placed = (("model", model), ("input", ""))
        uid = os.getuid() or 12345
        enclose(bare(uid=uid, gid=uid, read_only=(), room="/opt/ml", placed=placed))
        paths = ("/opt", "/opt/ml", "/opt/ml/model", "/opt/ml/input", "/")
        return {path: [each.name for each in Path(path).iterdir()] for path in paths}


@on_other_hosts
@pytest.mark.parametrize(
    "shapes",
    [
        *(
            "without opt",
            "opt linked",
            "opt ml",
            "opt,ordinary",
        ),  # made, followed, kept, not root's
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in (*HOSTS, "without opt,ordinary")
            if each not in ("without opt", "opt linked", "opt ml")
        ),
    ],
)
def test_on_any_host_there_is_room_for_it(shapes: str) -> None:
    seen = hosts.on(shapes, seen_in_a_view)
    shape = shapes.partition(",")[0]
    assert (seen["/opt/ml/model"], seen["/opt/ml/input"]) == (["weights"], [])
    assert set(seen["/opt"]) >= {"ml", *HOSTS[shape]}
    assert set(seen["/opt/ml"]) == {"model", "input", *({"data"} if shape == "opt ml" else ())}
    assert {"etc", "proc", "usr", "tmp", "opt"} <= set(seen["/"])


def read_in_opt(_: object) -> list[Any]:
    with process_stage() as stage:
        handle = asyncio.run(started(stage))
        return [
            attempt(handle, f"import os; got = {code}")
            for code in (
                "open('/opt/current/bin/run').read()",
                "open('/opt/a file.txt').read()",
                "os.readlink('/opt/nowhere')",
                "os.listdir('/opt/private')",
                "open('/opt/ml/data/of the host').read()",
                "os.stat('/opt/tool').st_mode & 0o777",
            )
        ]


@on_other_hosts
def test_what_else_is_in_opt_is_as_it_was() -> None:
    run, file, link, private, data, mode = hosts.on("opt ml", read_in_opt)
    assert (run, file, link) == ({"got": "a tool"}, {"got": "a file"}, {"got": "/no/such/place"})
    assert private["refused"] == "PermissionError"
    assert (data, mode) == ({"got": "host"}, {"got": 0o755})


def other_ways(user: str) -> list[Any]:
    """What a handler that is the user of its server, or root, comes to that wants to write."""
    with process_stage(user=user) as stage:
        stage.hide(stage.root / "models")
        (stage.root / "models").mkdir()
        spec = stage.spec(code=PROBE)
        shared = stage.root / "models" / "shared"
        files_of(spec).rename(shared)
        (shared / "weights").write_text("good")
        (shared / "weights").chmod(0o666)
        # The same directory by another name, as where a volume is mounted twice.
        alias = Path("/mnt/alias")
        if os.getuid() == 0:
            mounting.cover("/mnt")
            alias.mkdir()
            held = mounting.hold(str(stage.root / "models"))
            mounting.mount(f"/proc/self/fd/{held}", str(alias), flags=mounting.MS_BIND)
            os.close(held)
        container = {"model": asset_of(shared, "fleet")}
        pids = [os.getpid(), os.getppid(), 1]

        async def both() -> list[Handle]:
            found = []
            for number in range(2):
                own = changed(spec, **container)
                own = replace(own, instance_id=f"ways/{number}")
                handle = await stage.runtime.launch(own)
                sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
                assert sight.state is InstanceState.READY, sight
                found.append(handle)
            return found

        first, second = asyncio.run(both())
        if stage.runtime.unprotected:
            return ["skip", stage.runtime.unprotected]
        assert attempt(first, "import os; got = os.getuid()") == {"got": os.getuid()}
        server = stage.runtime.fork_server_pid()
        tries = ways([*pids, server, second.pid], str(shared), str(alias))
        told = [[code, attempt(first, code)] for code in tries]
        assert (shared / "weights").read_text() == "good", told
        assert attempt(second, "got = open('/opt/ml/model/weights').read()") == {"got": "good"}
        return ["done", told]


SYSCALLS = """
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def write(path):
    open(path, "r+").write("evil")
"""

IN_A_NAMESPACE = """
pid = os.fork()
if pid == 0:
    try:
        checked(c.unshare({flags}))
        {then}
        os._exit(7)
    except OSError:
        os._exit(3)
got = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
"""A child that has made itself root of something of its own. It ends with 7 where it has got what
it wanted, with 3 where not."""

_USER_AND_MOUNTS = 0x10000000 | 0x00020000
_W = "write('/opt/ml/model/weights')"
WITHIN = [
    "checked(c.mount(b'none', b'/opt/ml/model', None, 0x1020, None)); " + _W,
    "checked(c.umount2(b'/opt/ml/model', 2)); open('/opt/ml/model/weights', 'r+').write('evil')",
    "checked(c.mount(b'/opt/ml/model', b'/tmp', None, 0x1000, None)); write('/tmp/weights')",
    (
        "checked(c.mount(b'/opt/ml/model', b'/tmp', None, 0x1000, None)); "
        "checked(c.mount(b'none', b'/tmp', None, 0x1020, None)); write('/tmp/weights')"
    ),
    "checked(c.mount(b'/', b'/tmp', None, 0x1000, None)); write('/tmp{shared}/weights')",
    "checked(c.mount(b'/', b'/tmp', None, 0x5000, None)); write('/tmp{shared}/weights')",
    "checked(c.umount2(b'{models}', 2)); write('{shared}/weights')",
    "checked(c.umount2(b'/tmp', 2)); write('{shared}/weights')",
    "os.chroot('/opt'); os.chdir('..'); write('.{shared}/weights')",
]


def ways(pids: list[int | None], shared: str, alias: str) -> list[str]:
    """Each is Python that would write to the artifact."""
    models = str(Path(shared).parent)
    plain = [
        _W,
        "os.chmod('/opt/ml/model/weights', 0o777)",
        "os.rename('/opt/ml/model/code', '/opt/ml/model/x')",
        "os.unlink('/opt/ml/model/weights')",
        "os.symlink('/opt/ml/model/weights', '/tmp/link'); write('/tmp/link')",
        "os.link('/opt/ml/model/weights', '/tmp/hard'); write('/tmp/hard')",
        f"write('{shared}/weights')",
        f"write('{alias}/shared/weights')",
        "fd = os.open('/opt/ml/model/weights', os.O_RDONLY); write(f'/proc/self/fd/{fd}')",
        "fd = os.open('/opt/ml/model/weights', os.O_PATH); write(f'/proc/self/fd/{fd}')",
        (
            "import mmap; f = open('/opt/ml/model/weights', 'rb'); "
            "mmap.mmap(f.fileno(), 0)[0:4] = b'evil'"
        ),
        *(f"write('/proc/{pid}/root{shared}/weights')" for pid in pids),
        *(f"write('/proc/{pid}/root/opt/ml/model/weights')" for pid in pids),
        *(f"write('/proc/{pid}/cwd/../models/shared/weights')" for pid in pids),
        f"checked(c.ptrace(16, {pids[-1]}, 0, 0))" if os.getuid() else _W,  # it is a neighbour's
        *(f"checked(c.setns(os.open('/proc/{pid}/ns/mnt', 0), 0)); {_W}" for pid in pids),
        "checked(c.mount(b'none', b'/opt/ml/model', None, 0x1020, None)); " + _W,
        "checked(c.umount2(b'/opt/ml/model', 2))",
        f"checked(c.umount2(b'{models}', 2)); write('{shared}/weights')",
        "checked(c.open_by_handle_at(-100, ctypes.create_string_buffer(64), 2))",
        "os.mknod('/tmp/disk', 0o060600, os.makedev(254, 0))",
        (
            "import glob, stat\n"
            "disks = [d for d in glob.glob('/dev/**', recursive=True)"
            " if os.path.exists(d) and stat.S_ISBLK(os.stat(d).st_mode)]\n"
            "got = disks\n"
            "if not disks: raise PermissionError('no disk is seen')"
        ),
    ]
    nested = [
        IN_A_NAMESPACE.format(
            flags=_USER_AND_MOUNTS, then=code.format(shared=shared, models=models)
        )
        for code in WITHIN
    ]
    return [SYSCALLS + code for code in (*plain, *nested)]


@on_other_hosts
@pytest.mark.parametrize("shape", ["as it is", "ordinary"], ids=["root", "ordinary user"])
def test_a_handler_of_the_servers_own_user_cannot_write_what_is_shared(shape: str) -> None:
    """Nor can it reach it by another path, nor make one."""
    user = "root" if shape != "ordinary" else ""
    how, told = hosts.on(shape, other_ways, user)
    if how == "skip":
        pytest.skip(told)
    assert len(told) > 40
    for code, outcome in told:
        assert "refused" in outcome or outcome == {"got": 3}, (code, outcome)
        assert outcome.get("refused") not in ("SyntaxError", "NameError", "AttributeError"), code


# ── what is shared, and what is not ──────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def stage() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def pair(stage: ProcessStage) -> tuple[Handle, Handle]:
    """Two instances of one artifact, a forked one and one of a new interpreter."""
    spec = stage.spec(code=PROBE)
    (files_of(spec) / "weights").write_bytes(b"w" * 100_000)

    async def both() -> tuple[Handle, Handle]:
        fresh = changed(spec, environment={"PYTHONHASHSEED": "1"})
        fresh = replace(fresh, instance_id="pair/1")
        handles = [await stage.runtime.launch(each) for each in (spec, fresh)]
        for handle in handles:
            sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
            assert sight.state is InstanceState.READY, sight
        return handles[0], handles[1]

    handles = asyncio.run(both())
    if stage.runtime.unplaced:
        pytest.skip(stage.runtime.unplaced)
    return handles


def test_instances_share_the_pages_of_an_artifact(pair: tuple[Handle, Handle]) -> None:
    """They are one file to the kernel, so what is mapped is in memory once."""
    code = "import os; s = os.stat('/opt/ml/model/weights'); got = [s.st_dev, s.st_ino]"
    assert attempt(pair[0], code) == attempt(pair[1], code)


def test_nothing_says_where_on_the_host_an_artifact_is(
    pair: tuple[Handle, Handle], stage: ProcessStage
) -> None:
    code = "import os, sys; got = repr([dict(os.environ), sys.path, transform_where])"
    code = code.replace("transform_where", "__import__('inference').__file__")
    for handle in pair:
        told = str(attempt(handle, code)["got"])
        assert "/opt/ml/model/code/inference.py" in told
        assert str(stage.root / "model") not in told


def test_each_instance_has_a_tmp_of_its_own(pair: tuple[Handle, Handle]) -> None:
    assert attempt(pair[0], "open('/tmp/mine', 'w').write('x'); got = 1") == {"got": 1}
    assert attempt(pair[1], "import os; got = os.path.exists('/tmp/mine')") == {"got": False}
    assert not Path("/tmp/mine").exists()
    code = "import os; got = [os.stat('/tmp').st_mode & 0o7777, os.environ['TMPDIR'] == '/tmp']"
    assert attempt(pair[0], code) == {"got": [0o1777, False]}


def test_a_tmp_holds_what_it_may_and_no_more() -> None:
    async def test(stage: ProcessStage) -> None:
        handle = await started(stage)
        if stage.runtime.unplaced:
            pytest.skip(stage.runtime.unplaced)
        tried = attempt(handle, "open('/tmp/large', 'wb').write(b'x' * (3 << 20))")
        assert "No space left on device" in str(tried["says"])
        code = "import os\nfor n in range(2000): open(f'/tmp/{n}', 'w').close()"
        assert "No space left on device" in str(attempt(handle, code)["says"])
        attempt(
            handle,
            "import os\nfor n in os.listdir('/tmp'): os.path.isfile('/tmp/' + n) and "
            "os.unlink('/tmp/' + n)",
        )
        # What is large has another place.
        code = "import os; got = open(os.environ['TMPDIR'] + '/x', 'wb').write(b'x' * (3 << 20))"
        assert attempt(handle, code) == {"got": 3 << 20}

    with process_stage(tmp_bytes=2 << 20) as stage:
        asyncio.run(test(stage))


def test_code_of_its_own_archive_is_where_aws_unpacks_it(stage: ProcessStage) -> None:
    with tempfile.TemporaryDirectory(dir=stage.root) as directory:
        code = Path(directory, "0123456789abcdef" * 4)
        code.mkdir()
        (code / "inference.py").write_text(PROBE)
        Path(directory).chmod(0o755)

        async def test() -> None:
            spec = changed(stage.spec(), code=asset_of(code, "fleet"))
            handle = await stage.runtime.launch(spec)
            sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
            assert sight.state is InstanceState.READY, sight
            if stage.runtime.unplaced:
                pytest.skip(stage.runtime.unplaced)
            told = attempt(handle, "import os; got = os.environ['SAGEMAKER_SUBMIT_DIRECTORY']")
            assert told == {"got": "file:///opt/ml/code"}
            refused = attempt(handle, "open('/opt/ml/code/inference.py', 'a')")
            assert "refused" in refused
            await stage.runtime.retire(handle, 5)

        asyncio.run(test())


@pytest.mark.parametrize("named", ["/opt/ml/model/code", "file:///opt/ml/model/code", ""])
def test_the_variable_of_the_code_means_what_it_says(stage: ProcessStage, named: str) -> None:
    async def test() -> None:
        handle = await started(stage, SAGEMAKER_SUBMIT_DIRECTORY=named)
        await stage.runtime.retire(handle, 5)

    asyncio.run(test())


def test_what_a_model_says_itself_of_the_variable_wins(stage: ProcessStage) -> None:
    async def test() -> None:
        handle = await started(stage, SM_MODEL_DIR="/somewhere")
        code = "import os; got = os.environ['SM_MODEL_DIR']"
        assert attempt(handle, code) == {"got": "/somewhere"}
        await stage.runtime.retire(handle, 5)

    asyncio.run(test())


# ── what is in the way ───────────────────────────────────────────────────────────────────────────


def launch_of(model_dir: str | None, **more: Any) -> Launch:
    return Launch(
        instance_id="f/0",
        entry="a:b",
        python=Python(),
        log_path="/log",
        model_dir=model_dir,
        environment=more.pop("environment", {}),
        network_isolation=False,
        fresh=False,
        **more,
    )


def bare(**more: Any) -> Confinement:
    given = {"hidden": (), "shown": (), "read_only": ("/shelf/x",), "named": (), "own": ()}
    return Confinement(**{"uid": 1, "gid": 1, **given, **more})


@pytest.mark.parametrize(
    ("host", "stands"),
    [
        ({"own": ("/opt/ml/model/data/run/x",)}, "/opt/ml/model/data/run/x"),
        ({"shown": ("/opt/ml/input",)}, "/opt/ml/input"),
        ({"shown": ("/opt/ml/code/venv",)}, ""),  # there is no code but in the artifact
        ({"shown": ("/opt/ml/venv", "/opt/ml/models", "/opt")}, ""),
    ],
)
def test_where_the_host_needs_the_place_itself_it_is_left_to_it(
    host: dict[str, Any], stands: str
) -> None:
    made = container_paths.with_places(bare(**host), launch_of("/shelf/x"))
    assert container_paths.in_the_way(made) == (f"{stands} has to be seen there" if stands else "")


def test_only_what_names_files_of_the_instance_is_told_otherwise() -> None:
    environment = {"SM_MODEL_DIR": "/shelf/x", "OTHER": "/shelf/x", "A": "b"}
    launch = launch_of("/shelf/x", environment=environment)
    made = container_paths.with_places(bare(), launch)
    told = container_paths.variables(launch, made)
    assert told == {"SM_MODEL_DIR": "/opt/ml/model", "OTHER": "/shelf/x", "A": "b"}
    for host_paths in (None, bare()):
        assert container_paths.variables(launch, host_paths) == environment
        assert container_paths.model_dir(launch, host_paths) == "/shelf/x"


def test_a_model_without_an_artifact_has_an_empty_directory() -> None:
    launch = launch_of(None)
    made = container_paths.with_places(bare(read_only=()), launch)
    assert ("model", "") in made.placed
    assert container_paths.model_dir(launch, made) == "/opt/ml/model"
