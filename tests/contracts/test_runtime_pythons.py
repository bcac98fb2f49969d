"""Instances in another Python than the server's: found, forked, layered, and never trusted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inservice.images.base import NotRunnable, Resolved
from inservice.runtimes.base import (
    EnvironmentUnavailable,
    ImageNotRunnable,
    InstanceState,
    Interpreter,
)
from inservice.runtimes.launching import Files
from inservice.runtimes.process import files
from inservice.workload.container import Container
from tests.contracts.pythons_made import (
    WHAT_THE_SERVER_NEEDS,
    Catalogue,
    Made,
    made,
    packages_of,
)
from tests.contracts.runtime_stages import (
    PATIENCE_SECONDS,
    ProcessStage,
    changed,
    process_stage,
    until,
)
from tests.modelserver.unix_http import call

FRAMEWORK = "import os\nVERSION = 1\nIMPORTED_BY = os.getpid()\n"

REPORT = """
import json, os, subprocess, sys

import framework

CHILD = "import framework; print(framework.VERSION)"

def version_of(name):
    try:
        return __import__(name).VERSION
    except ImportError:
        return None

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    child = subprocess.run(["python", "-c", CHILD], capture_output=True, text=True)
    hidden = json.loads(body)
    return json.dumps({
        "executable": sys.executable, "prefix": sys.prefix, "environment": dict(os.environ),
        "version": framework.VERSION, "imported_by": framework.IMPORTED_BY,
        "extra": version_of("extra"), "pid": os.getpid(), "uid": os.getuid(),
        "child": child.stdout.strip() or child.stderr, "sees": os.path.exists(hidden),
        "began_as": getattr(sys, "began_as", None),
    })
"""

WITNESS = (
    "import os, sys; sys.began_as = [*getattr(sys, 'began_as', []), os.getuid()]; "
    "os.access({place!r}, os.W_OK) and open({place!r} + '/' + str(os.getpid()), 'w').close()"
)
"""A line of a .pth file, which Python executes when it starts."""


@pytest.fixture
def stage() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


def given(stage: ProcessStage, environments: Made, **image: Any) -> Made:
    stage.images, stage.environments = Catalogue(**image), environments
    stage.again()
    return environments


def of_image(stage: ProcessStage) -> Interpreter:
    """An environment below a directory that models do not see, as those of a server are."""
    data = stage.root / "data"
    prefix = data / "environments" / "one"
    executable = made(prefix, {"framework.py": FRAMEWORK})
    (data / "secret").write_text("s")
    stage.hide(data)
    return Interpreter(str(executable), ("framework",), roots=(str(prefix),))


async def report(stage: ProcessStage, **environment: Any) -> dict[str, Any]:
    """What an instance finds, once it is ready."""
    handle = await stage.runtime.launch(stage.spec(code=REPORT, **environment))
    sight = await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)
    assert sight.state is InstanceState.READY, sight
    body = json.dumps(str(stage.root / "data" / "secret"))
    answer = await asyncio.to_thread(call, handle.address, body, content_type="text/plain")
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_instances_of_an_environment_are_forks_of_one_process_of_its_python(
    stage: ProcessStage,
) -> None:
    interpreter = of_image(stage)
    given(stage, Made(interpreter))

    async def test() -> None:
        one, other = await report(stage), await report(stage)
        for seen in (one, other):
            assert seen["executable"] == interpreter.executable
            assert seen["environment"]["VIRTUAL_ENV"] == seen["prefix"]
            assert seen["child"] == "1"  # `python` in its code is its own
            assert seen["imported_by"] != seen["pid"]
            if os.getuid() == 0:
                assert seen["uid"] != 0
                assert not seen["sees"]
        assert one["imported_by"] == other["imported_by"]
        assert one["pid"] != other["pid"]

    asyncio.run(test())


def test_the_server_s_own_python_is_what_python_means_in_the_code_of_its_models(
    stage: ProcessStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("VIRTUAL_ENV", "/of/somebody/else")
    code = REPORT.replace("import framework", "import msgspec as framework")
    code = code.replace("framework.VERSION", "framework.__version__").replace(
        "framework.IMPORTED_BY", "None"
    )

    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(code=code))
        await until(stage, handle, lambda s: s.state is InstanceState.READY)
        answer = await asyncio.to_thread(call, handle.address, '"/x"', content_type="text/plain")
        seen = json.loads(answer.body)
        assert seen["child"] == seen["version"]
        assert seen["environment"].get("VIRTUAL_ENV", sys.prefix) == sys.prefix

    asyncio.run(test())


def layered(
    stage: ProcessStage, files: dict[str, str], *, whole: bool
) -> tuple[Interpreter, Interpreter, Path]:
    """An image's Python and a layer on top of it, whose packages do something at their start, and
    where it is seen who did that."""
    beneath = of_image(stage)
    witness = stage.root / "witness"
    witness.mkdir(mode=0o700)
    prefix = stage.root / "data" / "environments" / "layer"
    pth = {"a_package.pth": WITNESS.format(place=str(witness)) + "\n"}
    above = made(prefix, {**files, **pth}, Path(beneath.executable).parents[1])
    if whole:  # what is beneath is in it as well, as the same files
        for package in packages_of(Path(beneath.executable).parents[1]).glob("*.py"):
            if not (packages_of(prefix) / package.name).exists():
                os.link(package, packages_of(prefix) / package.name)
        lines = "".join(f"{line}\n" for line in WHAT_THE_SERVER_NEEDS)
        (packages_of(prefix) / "zz_beneath.pth").write_text(lines)
    roots = (str(prefix), *beneath.roots)
    interpreter = replace(beneath, executable=str(above), roots=roots, beneath=beneath)
    return beneath, interpreter, witness


@pytest.mark.parametrize("in_the_way", [False, True])
@pytest.mark.parametrize(("whole", "fresh"), [(False, False), (True, False), (False, True)])
def test_what_code_asks_for_is_there_and_nobody_with_more_rights_ever_starts_it(
    stage: ProcessStage, in_the_way: bool, whole: bool, fresh: bool
) -> None:
    """The packages of a requirements.txt are strangers: what they do when a Python starts that has
    them on its path is done as the model and never as the server."""
    files = {"extra.py": "VERSION = 7\n"}
    if in_the_way:
        files["framework.py"] = FRAMEWORK.replace("VERSION = 1", "VERSION = 2")
    beneath, above, witness = layered(stage, files, whole=whole)
    asked = given(stage, Made(beneath, above)).asked

    async def test() -> None:
        more = {"OMP_NUM_THREADS": "1"} if fresh else {}
        one, other = await report(stage, **more), await report(stage, **more)
        for seen in (one, other):
            assert seen["extra"] == 7
            assert seen["version"] == (2 if in_the_way else 1)
            assert seen["child"] == str(seen["version"])
            assert seen["executable"] == above.executable
            assert (seen["imported_by"] == seen["pid"]) is (in_the_way or fresh)
            assert set(seen["began_as"]) == {seen["uid"]}
        if not (in_the_way or fresh):
            assert one["imported_by"] == other["imported_by"]
        assert None in asked
        assert [each.name for each in asked if each] == ["code", "code"]
        if os.getuid() == 0:
            assert not list(witness.iterdir())

    asyncio.run(test())


def test_what_an_image_sets_is_set_unless_the_model_sets_it(stage: ProcessStage) -> None:
    beneath = of_image(stage)
    variables = {"OF_IMAGE": "a", "FOR_BOTH": "a", "AWS_REGION": "mars"}
    given(stage, Made(replace(beneath, variables=variables)), framework="python")

    async def test() -> None:
        seen = (await report(stage, FOR_BOTH="b"))["environment"]
        assert (seen["OF_IMAGE"], seen["FOR_BOTH"]) == ("a", "b")
        assert seen["AWS_REGION"] == "us-east-1"
        assert seen["INSERVICE_FRAMEWORK"] == "python"
        seen = (await report(stage, INSERVICE_FRAMEWORK="sklearn"))["environment"]
        assert seen["INSERVICE_FRAMEWORK"] == "sklearn"

    asyncio.run(test())


def test_threads_that_an_image_wants_are_had_by_a_new_interpreter(stage: ProcessStage) -> None:
    beneath = of_image(stage)
    given(stage, Made(replace(beneath, variables={"OMP_NUM_THREADS": "2"})))

    async def test() -> None:
        seen = await report(stage)
        assert seen["environment"]["OMP_NUM_THREADS"] == "2"
        assert seen["imported_by"] == seen["pid"]

    asyncio.run(test())


def test_a_framework_that_starts_threads_is_served_all_the_same(stage: ProcessStage) -> None:
    beneath = of_image(stage)
    begins = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True)"
    prefix = stage.root / "data" / "environments" / "threads"
    executable = made(prefix, {"framework.py": f"{FRAMEWORK}{begins}.start()\n"})
    given(stage, Made(replace(beneath, executable=str(executable), roots=(str(prefix),))))

    async def test() -> None:
        for _ in range(2):
            seen = await report(stage)
            assert seen["imported_by"] == seen["pid"]
        log = (stage.run_dir / "forkserver.log").read_text()
        assert log.count("framework cannot be imported ahead of time") == 1

    asyncio.run(test())


class Refusing:
    def resolve(self, uri: str) -> Resolved:
        return NotRunnable(uri, "Triton is not here.", "Use ONNX Runtime.")


def test_what_no_process_can_stand_in_for_is_refused_in_its_own_words(stage: ProcessStage) -> None:
    async def test() -> None:
        stage.images = Refusing()
        stage.again()
        with pytest.raises(ImageNotRunnable, match=r"^Triton is not here\. Use ONNX Runtime\.$"):
            await stage.runtime.launch(stage.spec())
        with pytest.raises(ImageNotRunnable, match=r"^Triton is not here\. Use ONNX Runtime\.$"):
            await stage.runtime.prepare("triton")
        stage.images = Catalogue()
        stage.again()
        with pytest.raises(ImageNotRunnable, match=f"'{Catalogue.OCI}' is a container image"):
            await stage.runtime.launch(changed(stage.spec(), image=Catalogue.OCI))
        assert not await stage.runtime.handles()

    asyncio.run(test())


def test_an_environment_that_cannot_be_had_fails_the_launch_as_it_says(stage: ProcessStage) -> None:
    environments = given(stage, Made(Interpreter()))

    async def test() -> None:
        environments.fails = EnvironmentUnavailable("No matching distribution found for nothing.")
        with pytest.raises(EnvironmentUnavailable, match="No matching distribution"):
            await stage.runtime.launch(stage.spec())
        with pytest.raises(EnvironmentUnavailable, match="No matching distribution"):
            await stage.runtime.prepare("mine")
        assert not await stage.runtime.handles()
        environments.fails = None
        handle = await stage.runtime.launch(stage.spec())
        await until(stage, handle, lambda sight: sight.state is InstanceState.READY)

    asyncio.run(test())


@pytest.mark.parametrize("preparing", [False, True])
def test_whoever_does_not_want_an_environment_any_more_ends_its_build(
    stage: ProcessStage, preparing: bool
) -> None:
    environments = given(stage, Made(Interpreter()))
    told: list[str] = []

    async def test() -> None:
        environments.open.clear()
        spec = replace(stage.spec(), tell=told.append)
        wanted = stage.runtime.prepare("mine") if preparing else stage.runtime.launch(spec)
        task = asyncio.ensure_future(wanted)
        await environments.begun.wait()
        if not preparing:
            assert told == ["building the environment of mine: installing 3 packages"]
        task.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert environments.given_up == 1
        assert not await stage.runtime.handles()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("submitted", "found"),
    [
        (None, "code"),
        ("", "code"),
        ("code", "code"),
        ("/opt/ml/model/code", "code"),
        ("/opt/ml/model/src", "src"),
        ("src", "src"),
        (".", "."),
        ("missing", None),
        ("../elsewhere", None),  # what is not in the artifact is the model's own to read
        ("link", None),
        ("/etc", None),
        ("/opt/ml/model/../../../etc", None),
        ("s3://bucket/sourcedir.tar.gz", None),  # nothing has brought it
    ],
)
def test_the_code_whose_requirements_are_installed_came_with_the_model(
    tmp_path: Path, submitted: str | None, found: str | None
) -> None:
    model = tmp_path / "model"
    for name in ("code", "src"):
        (model / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (model / "link").symlink_to("../elsewhere")
    environment = {} if submitted is None else {"SAGEMAKER_SUBMIT_DIRECTORY": submitted}
    container = Container("primary", "python", environment)
    expected = None if found is None else (model / found).resolve()
    assert files.code_directory(container, Files(model=model)) == expected
    fetched = tmp_path / "elsewhere"
    assert files.code_directory(container, Files(model=model, code=fetched)) == fetched
    assert files.code_directory(container, Files()) is None


def test_a_model_s_own_pythonpath_does_not_take_away_the_image_s() -> None:
    container = Container("primary", "python", {"PYTHONPATH": "/mine", "A": "1"})
    made = files.environment(container, Files(), "us-east-1", {"PYTHONPATH": "/image"}, {})
    assert made["PYTHONPATH"] == "/mine:/image"
    container = Container("primary", "python", {"PYTHONPATH": "/mine"})
    assert files.environment(container, Files(), "r", {}, {})["PYTHONPATH"] == "/mine"
    assert "PYTHONPATH" not in files.environment(Container("p", "python", {}), Files(), "r", {}, {})
