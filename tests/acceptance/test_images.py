"""What a host can run, told before anything is created; and images of one's own, by the command and
by an endpoint that runs one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.images.environments.server import IMPORTED
from tests.acceptance.server import Server, archive, leave_to_answer, run_here, variant
from tests.contracts import wheelhouse
from tests.waiting import PATIENCE_SECONDS, wait_until

ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
TRAINING = f"{ECR}/pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-sagemaker"


@pytest.fixture(scope="module")
def house() -> Iterator[Path]:
    """A directory of wheels, which is all that the host of the server can fetch; every user can see
    it, since the code of packages is looked at by another one."""
    with tempfile.TemporaryDirectory(prefix="wheels-") as name:
        place = Path(name)
        place.chmod(0o755)
        for package in IMPORTED:
            wheelhouse.packed(place, package)
        wheelhouse.wheel(place, "tiny-parrot", "1.5")
        yield place


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, house: Path) -> Iterator[Server]:
    """A server whose host has no index of packages."""
    place = tmp_path_factory.mktemp("images")
    environment = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(house),
    }
    server = Server.start(place / "data", "--workers=1", environment=environment)
    yield server
    server.stop()


Command = Callable[..., Any]


@pytest.fixture
def image(running: Server) -> Command:
    """`inservice image …`, in this process."""

    def run(*words: str) -> Any:
        return run_here("image", *words, data_dir=running.data_dir)

    return run


def states(image: Command) -> dict[str, str]:
    listed = image("list", "--output=json")
    assert listed.returncode == 0, listed.stderr
    return {each["Name"]: each["State"] for each in json.loads(listed.stdout)["Images"]}


def test_the_list_says_what_can_run_before_anything_is_created(image: Command) -> None:
    told = states(image)
    assert told["scikit-learn"] == "Ready"
    assert told["python"] == "Ready"
    assert told["pytorch"] == "ToBuild"
    assert told["tgi"] == "NeedsEngine"
    assert told["training"] == "NotRunnable"
    lines = image("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "WHAT", "DETAIL"]
    pytorch = next(line for line in lines if line.startswith("pytorch"))
    assert "to be built" in pytorch
    assert "torch" in pytorch
    assert "needs an engine" in next(line for line in lines if line.startswith("tgi"))
    assert "sklearn" in image("list", "--output=name").stdout.split()
    assert image("list", "--environments").returncode == 0


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (f"{ECR}/pytorch-inference:2.6.0-cpu-py312", ["PyTorch", "torch>=", "to be built"]),
        (f"{ECR}/sagemaker-scikit-learn:1.2-1-cpu-py3", ["scikit-learn", "ready"]),
        (f"{ECR}/djl-inference:0.28.0-lmi10.0.0-cu124", ["Java", "needs an engine", "llm"]),
        (TRAINING, ["cannot run: it trains", "-inference"]),
        ("my-registry.example/my-image:3", ["nothing is known", "needs an engine"]),
        ("no//reference", ["no reference to an image"]),
    ],
)
def test_any_image_is_shown_for_what_it_is(image: Command, uri: str, says: list[str]) -> None:
    shown = image("show", uri)
    assert shown.returncode == 0, shown.stderr
    for word in says:
        assert word in shown.stdout


def test_an_image_of_one_s_own_serves_and_is_kept_while_it_does(
    running: Server, image: Command, tmp_path: Path, echo: Callable[[str], str]
) -> None:
    (tmp_path / "more.txt").write_text("httptools  # the parser\n")
    needs = tmp_path / "requirements.txt"
    needs.write_text("msgspec>=0.20,\\\n<1\n\n-r more.txt\n")
    added = image("add", "mine", f"--requirements={needs}", "--preimport", "json", "msgspec")
    assert (added.returncode, added.stderr) == (0, "")
    assert states(image)["mine"] == "Ready"
    shown = json.loads(image("show", "inservice/mine", "--output=json").stdout)
    assert shown["Requirements"] == ["httptools", "msgspec<1,>=0.20"]
    assert shown["Preimports"] == ["json", "msgspec"]
    built = image("build", "mine")
    assert (built.returncode, built.stdout.split(":")[0]) == (0, "Ready")
    again = image("add", "mine", f"--requirements={needs}")
    assert again.returncode == 1
    assert 'already existing image "mine"' in again.stderr

    running.create_model("mine", echo("mine"), image="inservice/mine")
    running.create_config("mine", variant("mine"))
    running.client("sagemaker").create_endpoint(EndpointName="mine", EndpointConfigName="mine")
    assert running.settled("mine")["EndpointStatus"] == "InService"
    assert running.invoke("mine")["model"] == "mine"
    refused = image("remove", "mine")
    assert refused.returncode == 1
    assert 'it is in use by endpoint "mine" of account' in refused.stderr

    running.kill_control()
    assert states(image)["mine"] == "Ready"
    assert running.invoke("mine")["model"] == "mine"
    assert image("remove", "mine").returncode == 1
    running.client("sagemaker").delete_endpoint(EndpointName="mine")
    running.client("sagemaker").get_waiter("endpoint_deleted").wait(
        EndpointName="mine", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert image("remove", "mine").returncode == 0
    assert "mine" not in states(image)


def test_what_was_acknowledged_is_there_after_a_kill_at_once(
    running: Server, image: Command
) -> None:
    own = running.client("inservice")
    for number in range(5):
        own.add_image(Image=f"kept{number}", Requirements=["msgspec"])
        running.kill_control()
    assert {f"kept{number}" for number in range(5)} <= states(image).keys()
    for number in range(5):
        assert image("remove", f"kept{number}").returncode == 0


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("a b\n", "line 1: 'a b' is no requirement"),
        ("a\n\n-e .\n", "line 3: '-e .' is an option of pip"),
        ("--index-url https://packages.example\n", "an option of pip"),
        ("a==1 --hash=sha256:00\n", "has an option of pip in it"),
        ("-r missing.txt\n", "missing.txt"),
        ("-r requirements.txt\n", "names itself"),
        ("\xff\xfe", "no text in UTF-8"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_by_its_line(
    image: Command, tmp_path: Path, lines: str, says: str
) -> None:
    needs = tmp_path / "requirements.txt"
    needs.write_bytes(lines.encode("latin-1"))
    refused = image("add", "never", f"--requirements={needs}")
    assert refused.returncode in (1, 2)
    assert says in refused.stderr
    assert "never" not in states(image)


def test_what_cannot_be_had_is_told_by_the_build_and_by_the_endpoint(
    running: Server, image: Command, echo: Callable[[str], str]
) -> None:
    running.client("inservice").add_image(
        Image="impossible", Requirements=["a-package-that-nobody-has>=1"]
    )
    built = image("build", "impossible")
    assert built.returncode == 5
    assert "a-package-that-nobody-has" in built.stderr
    assert states(image)["impossible"] == "BuildFailed"
    assert image("remove", "impossible").returncode == 0


PARROT = """
import json, os, sys
import tiny_parrot
def model_fn(model_dir):
    return tiny_parrot.version
def transform_fn(model, data, content_type, accept):
    said = [model, sys.prefix, os.environ.get("INSERVICE_FRAMEWORK")]
    return json.dumps(said), "application/json"
"""


def test_what_is_built_serves_and_is_not_pruned_from_under_it(
    running: Server, image: Command, tmp_path: Path
) -> None:
    running.client("inservice").add_image(Image="parrot", Requirements=["tiny-parrot>=1,<2"])
    built = image("build", "parrot")
    assert built.returncode == 0, built.stderr
    assert len(built.stdout.splitlines()) > 1, "how far it was, and that it is done"
    assert built.stdout.splitlines()[-1].startswith("Built: ")
    assert states(image)["parrot"] == "Built"
    shown = json.loads(image("show", "parrot", "--output=json").stdout)["Environment"]
    assert "tiny-parrot==1.5" in shown["Packages"]
    url = archive(tmp_path / "parrot.tar.gz", {"code/inference.py": PARROT})
    running.create_model("parrot", url, image="inservice/parrot:latest")
    running.create_config("parrot", variant("parrot"))
    running.client("sagemaker").create_endpoint(EndpointName="parrot", EndpointConfigName="parrot")
    settled = running.settled("parrot")
    assert settled["EndpointStatus"] == "InService", settled.get("FailureReason")
    version, prefix, framework = running.invoke("parrot")
    assert (version, framework) == ("1.5", None)
    assert prefix.endswith(shown["EnvironmentName"])
    pruned = json.loads(image("prune", "--output=json").stdout)["Environments"]
    assert shown["EnvironmentName"] not in [each["EnvironmentName"] for each in pruned]
    running.kill_control()
    assert running.invoke("parrot")[0] == "1.5"
    assert states(image)["parrot"] == "Built"

    running.client("sagemaker").delete_endpoint(EndpointName="parrot")
    wait_until(lambda: not running.instances("parrot"))
    running.client("sagemaker").get_waiter("endpoint_deleted").wait(
        EndpointName="parrot", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert image("remove", "parrot").returncode == 0
    assert "parrot" not in states(image)


@contextmanager
def begun_to_build(running: Server, name: str) -> Iterator[subprocess.Popen[str]]:
    """`inservice image build`, which has told that it is at it."""
    command = [sys.executable, "-m", "inservice.cli.main", "image", "build", name]
    with subprocess.Popen(
        [*command, f"--data-dir={running.data_dir}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as begun:
        try:
            assert begun.stdout is not None
            assert begun.stdout.readline()
            yield begun
        finally:
            begun.kill()


def test_a_build_goes_on_when_nobody_follows_it_and_ends_with_a_killed_control(
    running: Server, image: Command, house: Path
) -> None:
    own = running.client("inservice")
    with leave_to_answer() as leave:
        there, go_on = (f"os.path.exists({str(each)!r})" for each in (leave.parent, leave))
        wait = f"while {there} and not {go_on}: time.sleep(0.05)"
        wheelhouse.sdist(house, "slow", at_build=wait)
        own.add_image(Image="slow", Requirements=["slow"])
        with begun_to_build(running, "slow") as begun:
            assert states(image)["slow"] == "Building"
            begun.send_signal(signal.SIGINT)
            _, said = begun.communicate(timeout=PATIENCE_SECONDS)
            assert (begun.returncode, "goes on" in said) == (130, True)
        assert states(image)["slow"] == "Building"
        with begun_to_build(running, "slow") as begun:  # follows the same one
            running.kill_control()
            _, said = begun.communicate(timeout=PATIENCE_SECONDS)
            assert begun.returncode == 1, said
        assert states(image)["slow"] == "ToBuild"
    built = image("build", "slow")  # nothing of what was begun is used, or in the way
    assert (built.returncode, built.stderr) == (0, "")
    assert states(image)["slow"] == "Built"
    assert image("remove", "slow").returncode == 0


def test_an_image_that_runs_nowhere_is_taken_and_fails_with_what_would_help(
    running: Server, image: Command, echo: Callable[[str], str]
) -> None:
    refused = image("build", TRAINING)
    assert refused.returncode == 1
    assert "cannot run here: it trains" in refused.stderr
    running.create_model("trains", echo("trains"), image=TRAINING)
    running.create_config("trains", variant("trains"))
    running.client("sagemaker").create_endpoint(EndpointName="trains", EndpointConfigName="trains")
    failed = running.settled("trains")
    assert failed["EndpointStatus"] == "Failed"
    assert f"The image '{TRAINING}' cannot run here: it trains" in failed["FailureReason"]
    assert "its name ends in -inference" in failed["FailureReason"]


def test_only_who_may_changes_what_the_host_has(running: Server) -> None:
    made = running.client("inservice").create_account(AccountId="777788889999")
    key = {
        "access_key_id": made["AccessKeyId"],
        "secret_access_key": made["SecretAccessKey"],
    }
    other = Server(running.data_dir, running.url, key).client("inservice")
    assert "python" in [each["Name"] for each in other.list_images()["Images"]]
    with pytest.raises(ClientError, match="AccessDenied"):
        other.add_image(Image="theirs", Requirements=[])
    audited = [
        json.loads(line)
        for file in (running.data_dir / "audit").glob("changes-*.jsonl")
        for line in file.read_text().splitlines()
    ]
    told = {(each["action"], *each["resources"]) for each in audited}
    assert ("inservice:AddImage", "arn:aws:inservice:us-east-1:000000000000:image/kept0") in told
