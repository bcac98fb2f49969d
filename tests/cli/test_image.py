"""`inservice image …` against canned answers: what it asks, shows and ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

from inservice.cli.aws.failures import CommandLineError
from inservice.cli.image.requirements import read
from tests.cli.conftest import Ran, Run
from tests.cli.recorder import Recorder, Reply
from tests.cli.test_endpoint import asked

pytestmark = pytest.mark.usefixtures("keys")

BUILT = {
    "EnvironmentName": "ab" * 20,
    "Images": ["pytorch"],
    "Requirements": ["torch>=2"],
    "Packages": ["torch==2.13.0"],
    "PythonVersion": "3.11.2",
    "Bytes": 1_204_000_000,
    "BuiltAt": 1767323045.0,
    "UsedAt": 1767323045.0,
    "InUse": True,
}


def picture(state: str, **members: Any) -> dict[str, Any]:
    return {
        "Name": "pytorch",
        "About": "PyTorch",
        "Image": "pytorch",
        "State": state,
        "Names": ["pytorch", "torch"],
        "Repositories": ["pytorch-inference"],
        "Requirements": ["numpy>=2,<3", "torch[x]>=2; python_version > '3'"],
        "Preimports": ["torch"],
        **members,
    }


def building(*told: str, count: int | None = None, **members: Any) -> dict[str, Any]:
    number = len(told) if count is None else count
    build = {"StartedAt": 1.0, "Progress": [*told], "ProgressCount": number, **members}
    return picture("BuildFailed" if "FailureReason" in members else "Building", Build=build)


@pytest.fixture
def image(inservice: Run, server: Recorder) -> Any:
    def run(*words: str, replies: list[Any], stdin: str = "") -> Ran:
        server.play([each if isinstance(each, Reply) else Reply(each) for each in replies])
        return inservice("image", *words, "--endpoint-url", server.url, stdin=stdin)

    return run


def test_the_list_has_first_what_can_run(image: Any) -> None:
    images = [
        picture("NotRunnable", Names=["no"], Reason="The image 'x' cannot run here: it trains."),
        picture(
            "NeedsEngine", Names=[], Name="tgi", ContainerEngine={"Name": "Podman", "Version": "5"}
        ),
        picture("NeedsEngine", Names=[], Name="djl", ContainerEngine={"Note": "There is none."}),
        picture("ToBuild", Names=["z"]),
        building("fetching torch"),
        building(FailureReason="No space left.\nmore", EndedAt=2.0),
        picture("Built", Names=["b"], Environment=BUILT),
        picture("Ready", Names=["a"]),
        picture("FromTheFuture", Names=["f"]),
    ]
    lines = image("list", replies=[{"Images": images}]).out.splitlines()
    told = [" ".join(line.split()) for line in lines]
    assert told == [
        "NAME STATE WHAT DETAIL",
        "a ready PyTorch the server's own Python has all that it needs",
        "b built PyTorch 1,204 MB, since 2026-01-02T03:04:05Z",
        "pytorch being built PyTorch fetching torch",
        "z to be built PyTorch numpy, torch",
        "pytorch build failed PyTorch No space left.",
        "djl needs an engine PyTorch There is none.",
        "tgi needs an engine PyTorch Podman 5 runs it",
        "no cannot run PyTorch it trains.",
        "f FromTheFuture PyTorch -",
    ]
    named = image("list", "--output=name", replies=[{"Images": images[-2:]}])
    assert named.out == "pytorch\npytorch\n"


def test_the_list_of_what_is_built(image: Any, server: Recorder) -> None:
    layer = {**BUILT, "BaseEnvironmentName": "cd" * 20, "InUse": False, "Bytes": 900}
    ran = image("list", "--environments", replies=[{"Environments": [BUILT, layer]}])
    told = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert told[1] == "abababababab pytorch - 3.11.2 1 1,204 MB 2026-01-02T03:04:05Z now"
    assert told[2].startswith("abababababab pytorch cdcdcdcdcdcd 3.11.2 1 900 bytes")
    assert asked(server)[-1][0] == "ListEnvironments"


def test_an_image_is_shown(image: Any) -> None:
    shown = image("show", "pytorch", replies=[picture("Built", Environment=BUILT)]).out
    for line in ("needs      torch[x]>=2; python_version > '3'", "has        torch==2.13.0"):
        assert f"  {line}\n" in shown
    unknown = {
        **picture("NeedsEngine", Names=[], Repositories=[], Requirements=[], Preimports=[]),
        "Image": "x/y:1",
    }
    del unknown["Name"], unknown["About"]
    shown = image("show", "x/y:1", replies=[unknown]).out
    assert shown.startswith("x/y:1\n")
    assert "an OCI image, of which nothing is known here" in shown


def test_an_image_is_added_as_its_files_say(image: Any, server: Recorder, clean: Path) -> None:
    (clean / "more").mkdir()
    (clean / "r.txt").write_text("\ufeffb >=1 # why\r\n\r\n--requirement=more/m.txt\r\nb>=1\r\n")
    (clean / "more" / "m.txt").write_text("a[x] ; \\\n  sys_platform == 'linux'\n-r n.txt\n")
    (clean / "more" / "n.txt").write_text("# nothing\n")
    ran = image(
        *("add", "mine", "--requirements=r.txt", "--python=3.12", "--framework=sklearn"),
        *("--preimport", "a", "b.c", "--preimport", "d"),
        replies=[{}],
    )
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    name, body = asked(server)[0]
    assert name == "AddImage"
    assert (json.loads(body) if isinstance(body, str) else body) == {
        "Image": "mine",
        "Requirements": ["b>=1", 'a[x]; sys_platform == "linux"'],
        "PythonVersion": "3.12",
        "Framework": "sklearn",
        "Preimports": ["a", "b.c", "d"],
    }


def test_requirements_may_come_by_a_pipe(image: Any, server: Recorder) -> None:
    assert image("add", "mine", "--requirements=-", replies=[{}], stdin="a\n\nb\n").code == 0
    assert '"Requirements": ["a", "b"]' in json.dumps(asked(server)[0][1])


def test_a_file_that_is_refused_asks_nothing(image: Any, server: Recorder, clean: Path) -> None:
    (clean / "r.txt").write_text("a\n-c constraints.txt\n")
    ran = image("add", "mine", "--requirements=r.txt", replies=[{}])
    assert (ran.code, asked(server)) == (2, [])
    assert "r.txt, line 2: '-c constraints.txt' is an option of pip" in ran.err


def test_a_build_is_told_line_by_line_and_each_once(image: Any) -> None:
    ran = image(
        "build",
        "pytorch",
        replies=[
            building(),
            building("resolving"),
            building("resolving"),
            building("resolving", "fetching torch"),
            building("compiling", count=200),  # it told more than is kept
            picture("Built", Environment=BUILT, Build=building("compiling", count=200)["Build"]),
        ],
    )
    told = [line.split(maxsplit=1)[1] for line in ran.out.splitlines()]
    assert told == [
        "resolving",
        "fetching torch",
        "compiling",
        "1,204 MB, since 2026-01-02T03:04:05Z.",
    ]
    assert (ran.code, ran.err) == (0, "")


def test_a_build_that_fails_ends_with_its_last_words(image: Any) -> None:
    failed = building("resolving", FailureReason="No such package.\nlast line", EndedAt=2.0)
    ran = image("build", "pytorch", replies=[building("resolving"), failed])
    assert (ran.code, ran.err) == (5, "No such package.\nlast line\n")


def test_what_is_ready_is_not_built(image: Any) -> None:
    ran = image("build", "sklearn", replies=[picture("Ready")])
    assert ran.code == 0
    assert ran.out == "Ready: the server's own Python has all that it needs.\n"


def test_a_server_that_was_started_anew_builds_no_more(image: Any) -> None:
    ran = image("build", "pytorch", replies=[building("resolving"), picture("ToBuild")])
    assert ran.code == 1
    assert "started anew" in ran.err


def test_a_refusal_is_told_as_it_is(image: Any) -> None:
    refusal = Reply({"__type": "ValidationException", "message": "it is in use by x"}, 400)
    ran = image("remove", "mine", replies=[refusal])
    assert (ran.code, "it is in use by x" in ran.err) == (1, True)


def test_what_is_removed_is_told_with_its_size(image: Any, server: Recorder) -> None:
    ran = image("prune", "--unused-for=2h", replies=[{"Environments": [BUILT, BUILT]}])
    assert ran.out.splitlines() == [
        "abababababab  1,204 MB  pytorch",
        "abababababab  1,204 MB  pytorch",
        "Removed 2 environments, 2,408 MB.",
    ]
    assert "7200" in json.dumps(asked(server)[0][1])
    assert image("remove", "mine", replies=[{}]).out == ""
    gone = image("remove", "pytorch", replies=[{"Environments": [BUILT]}])
    assert gone.out.splitlines()[-1] == "Removed 1 environment, 1,204 MB."


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text("ab-r= #\\\n>;[]'1.", max_size=60)))
def test_any_file_is_taken_whole_or_refused(tmp_path: Path, content: bytes | str) -> None:
    """And what is taken is what a server takes."""
    path = tmp_path / "r.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        taken = read(path)
    except (CommandLineError, OSError, ValueError):
        return
    assert [str(Requirement(each)) for each in taken] == taken
