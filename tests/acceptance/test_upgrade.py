"""A server of an earlier version becomes this one, under load: code, records and fork server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inservice.config import load
from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, variant
from tests.waiting import wait_until

Echo = Callable[[str], str]

ROOT = Path(__file__).parents[2]
EARLIER = "e7a217a7a109ad002087b53ed0a159ce93d2c616"
"""Before records had a lease, before hosts pinged, and before most modules went where they are."""

pytestmark = pytest.mark.long


def installed(place: Path) -> Path:
    """An environment of its own with the earlier version in it; its python. The packages are those
    of this environment, which is on its path, and so read without what is installed editable."""
    source = place / "lib"
    archive = place / "earlier.tar"
    taken = subprocess.run(
        ["git", "-C", ROOT, "archive", f"--output={archive}", EARLIER, "src/inservice"],
        capture_output=True,
        check=False,
    )
    if taken.returncode:
        pytest.skip("this is no clone with the history that the earlier version is in")
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")
    shutil.move(place / "src", source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    python = place / "venv" / "bin" / "python"
    (packages,) = (place / "venv" / "lib").glob("python*/site-packages")
    path = f"{source}\n{sysconfig.get_path('purelib')}\n"
    (packages / "inservice.pth").write_text(path)
    return python


def install_this_one(place: Path) -> None:
    """As pip does: other files in the same place."""
    shutil.rmtree(place / "lib" / "inservice")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "inservice", place / "lib" / "inservice", ignore=ignored)


def test_a_server_of_an_earlier_version_becomes_this_one_under_load(
    tmp_path: Path, echo: Echo
) -> None:
    python, data_dir = installed(tmp_path), tmp_path / "data"
    environment = {**os.environ, "HOME": str(tmp_path)}

    def cli(*words: str) -> None:
        done = subprocess.run(
            [python, "-m", "inservice.cli.main", *words, f"--data-dir={data_dir}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    cli("up", "--detach", "--port=0")
    try:
        url = json.loads((data_dir / "endpoint.json").read_text())["url"]
        server = Server(data_dir, url, json.loads((data_dir / "credentials.json").read_text()))
        server.create_model("m", echo("kept"))
        for name in ("c", "larger"):
            server.create_config(name, variant("m", count=1 if name == "c" else 2))
        server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
        assert server.settled("ep")["EndpointStatus"] == "InService"
        before, described = server.invoke("ep")["pid"], server.describe("ep")
        run_dir = load(data_dir=data_dir).run_dir
        fork_server = int((run_dir / "forkserver.lock").read_text())
        with Crowd(server, "ep") as crowd:
            crowd.wait(50)
            install_this_one(tmp_path)
            cli("restart")
            crowd.wait(len(crowd.answers) + 50)
            assert server.invoke("ep")["pid"] == before, "the instance served on"
            again = server.describe("ep")
            for member in ("EndpointArn", "CreationTime", "EndpointStatus", "EndpointConfigName"):
                assert again[member] == described[member]
            lock = run_dir / "forkserver.lock"
            wait_until(lambda: int(lock.read_text() or fork_server) != fork_server)
            server.client("sagemaker").update_endpoint(
                EndpointName="ep", EndpointConfigName="larger"
            )
            assert server.settled("ep")["EndpointConfigName"] == "larger"
            crowd.wait(len(crowd.answers) + 50)
        assert crowd.failures == []
    finally:
        cli("down")
