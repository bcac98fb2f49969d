"""A model that brings a requirements.txt, by boto3 alone, on a host with a directory of wheels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inservice.images.environments import strays
from inservice.images.environments.places import Places
from inservice.images.environments.server import IMPORTED
from tests.acceptance.server import Server, archive, run_here, variant
from tests.contracts import wheelhouse
from tests.waiting import wait_until

USES = """
import json, os
import extra
def model_fn(model_dir):
    return extra.version
def transform_fn(model, data, content_type, accept):
    return json.dumps({"extra": model, "pid": os.getpid()}), "application/json"
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wheels")
    made.chmod(0o755)  # packages are built from source by another user than root
    for name in IMPORTED:
        wheelhouse.packed(made, name)
    for version in ("1.0", "2.0"):
        wheelhouse.wheel(made, "extra", version)
    wheelhouse.sdist(made, "slow", at_build="time.sleep(2)")
    return made


@pytest.fixture(scope="module")
def host(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pip = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house)}
    place = tmp_path_factory.mktemp("host") / "data"
    server = Server.start(place, "--workers=1", environment=pip)
    yield server
    server.stop()
    assert run_here("down", "--purge", "--yes", data_dir=place).returncode == 0


def deploy(server: Server, place: Path, name: str, requirements: str, count: int = 1) -> None:
    url = archive(
        place / f"{name}.tar.gz",
        {"code/inference.py": USES, "code/requirements.txt": requirements},
    )
    server.create_model(name, url)
    server.create_config(name, variant(name, count=count))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_each_model_gets_its_own_and_all_instances_the_same(host: Server, tmp_path: Path) -> None:
    deploy(host, tmp_path, "old", "extra<2\n", count=2)
    deploy(host, tmp_path, "new", "extra\n")
    for name in ("old", "new"):
        described = host.settled(name)
        assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    answers = [host.invoke("old") for _ in range(20)]
    assert {answer["extra"] for answer in answers} == {"1.0"}
    assert len({answer["pid"] for answer in answers}) == 2
    assert host.invoke("new")["extra"] == "2.0"
    # Seen in their own views of the file system too, so that nobody prunes what they run on.
    store = Places(host.data_dir / "environments")
    layers = {name for name in store.names() if (record := store.record(name)) and record.base}
    assert len(layers) == 2
    assert layers <= strays.users(store.root, store.names())


def test_what_cannot_be_installed_fails_the_endpoint_with_why(host: Server, tmp_path: Path) -> None:
    deploy(host, tmp_path, "bad", "extra>=7\n")
    described = host.settled("bad")
    assert described["EndpointStatus"] == "Failed"
    reason = described["FailureReason"]
    assert "requirements.txt" in reason
    assert "extra" in reason
    assert "pip config list" in reason, "what to do"
    assert len(reason) <= 1024


def test_a_control_that_is_killed_in_the_middle_of_a_build_has_it_built(
    host: Server, tmp_path: Path
) -> None:
    deploy(host, tmp_path, "slow", "slow\nextra\n")
    building = host.data_dir / "environments" / "building"
    wait_until(lambda: building.is_dir() and list(building.glob("*/apart")))
    host.kill_control()
    described = host.settled("slow")
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert host.invoke("slow")["extra"] == "2.0"
    assert not list(building.iterdir())
