"""A model that runs in a real server tries to get at what is not its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import PLAIN, Server, archive, run_here, variant
from tests.meeting import meeting_place
from tests.waiting import wait_until

PROBE = """
import json

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    names = {"model_dir": model}
    try:
        exec(body if isinstance(body, str) else body.decode(), names)
    except BaseException as error:
        return json.dumps({"refused": type(error).__name__, "says": str(error)})
    return json.dumps({"got": names.get("got")})
"""

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a server of root is what is attacked")


@pytest.fixture(scope="module")
def attacked() -> Iterator[Server]:
    """Two endpoints with the same content, and one with other content that is a secret. Its data is
    where models could see it, were it not kept from them: they have a `/tmp` of their own."""
    with meeting_place() as root:
        server = Server.start(root / "data")
        for name, secret in (("mallory", "none"), ("alice", "none"), ("bob", "bob's secret")):
            files = {"code/inference.py": PROBE, "weights": secret}
            container = {"Image": PLAIN, "ModelDataUrl": archive(root / f"{name}.tar.gz", files)}
            container |= {"Environment": {"TOKEN": f"token of {name}"}}  # type: ignore[dict-item]
            sagemaker = server.client("sagemaker")
            sagemaker.create_model(ModelName=name, PrimaryContainer=container)
            server.create_config(name, variant(name))
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        for name in ("mallory", "alice", "bob"):
            assert server.settled(name)["EndpointStatus"] == "InService"
        if "models run with all the rights" in server.log():
            server.stop()
            pytest.skip("this host grants no namespaces; the server's log says why")
        yield server
        server.stop()


def test_status_says_as_whom_models_run(attacked: Server) -> None:
    expected = {"level": "OwnUser", "reason": None, "unplaced": None}
    assert attacked.status()["model_isolation"] == expected
    shown = run_here("status", data_dir=attacked.data_dir).stdout
    assert "Each instance runs as a user of its own and sees none of the server's files." in shown
    assert "Each finds its artifact in /opt/ml/model." in shown
    attacked.kill_control()  # the next one has launched nothing itself
    wait_until(lambda: attacked.status()["model_isolation"]["level"] == "OwnUser")


def attempt(server: Server, name: str, code: str) -> dict[str, Any]:
    runtime = server.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName=name, Body=code.encode(), ContentType="application/octet-stream"
    )
    tried: dict[str, Any] = json.loads(answer["Body"].read())
    return tried


def test_what_the_server_keeps_is_out_of_reach(attacked: Server) -> None:
    everything = attacked.data_dir.rglob("*")
    kept = [path for path in everything if path.is_file() and "trees" not in path.parts]
    assert {"credentials.json", "secrets.key", "inservice.db"} <= {path.name for path in kept}
    for path in kept:
        tried = attempt(attacked, "mallory", f"got = open({str(path)!r}, 'rb').read(1)")
        assert "refused" in tried, (path, tried)
    for directory in (attacked.data_dir, attacked.data_dir / "artifacts/trees"):
        tried = attempt(attacked, "mallory", f"import os; got = os.listdir({str(directory)!r})")
        assert "refused" in tried or len(tried["got"]) <= 2, tried  # its own, and the way there
        assert not {"credentials.json", "secrets.key"} & set(tried.get("got", ()))


def test_others_models_are_out_of_reach_and_ones_own_is_not_to_be_changed(
    attacked: Server,
) -> None:
    trees = {
        (path / "model/weights").read_text(): path / "model"
        for path in (attacked.data_dir / "artifacts/trees").iterdir()
    }
    of_bob = trees["bob's secret"] / "weights"
    assert "refused" in attempt(attacked, "mallory", f"got = open({str(of_bob)!r}).read()")
    for mode in ("w", "a", "r+"):
        code = f"open(model_dir + '/weights', {mode!r}).write('evil')"
        assert "refused" in attempt(attacked, "mallory", code)
    read = "got = open(model_dir + '/weights').read()"
    assert attempt(attacked, "alice", read) == {"got": "none"}
    assert Path(trees["none"] / "weights").read_text() == "none"


def test_no_process_of_the_server_can_be_looked_into_or_killed(attacked: Server) -> None:
    me = attempt(attacked, "mallory", "import os; got = os.getpid()")["got"]
    bob = attempt(attacked, "bob", "import os; got = os.getpid()")["got"]
    others = [pid for pid in {*attacked.pids(), bob} if pid != me]
    assert len(others) >= 5
    for pid in others:
        for code in (
            f"got = open('/proc/{pid}/environ').read()",
            f"import os; got = os.listdir('/proc/{pid}/root/')",
            f"import os; got = os.listdir('/proc/{pid}/fd')",
            f"import os; os.kill({pid}, 0)",
        ):
            assert "refused" in attempt(attacked, "mallory", code), code
    code = "import os; got = os.environ['TOKEN']"
    assert attempt(attacked, "bob", code) == {"got": "token of bob"}


def test_every_socket_of_the_server_is_out_of_reach(attacked: Server) -> None:
    sockets = [path for path in attacked.data_dir.rglob("*") if path.is_socket()]
    run_dirs = [path for path in Path("/tmp").glob("inservice-0-*") if path.is_dir()]
    sockets += [path for place in run_dirs for path in place.rglob("*") if path.is_socket()]
    assert sockets
    me = attempt(attacked, "mallory", "import os; got = os.getcwd()")["got"]
    for path in sockets:
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        tried = attempt(attacked, "mallory", code)
        assert "refused" in tried, (path, me)


def test_instances_are_adopted_and_ended_as_ever(attacked: Server) -> None:
    """By the control that comes after one that was killed."""
    before = attempt(attacked, "alice", "import os; got = os.getpid()")["got"]
    attacked.kill_control()
    assert attempt(attacked, "alice", "import os; got = os.getpid()")["got"] == before
    wait_until(lambda: attacked.client("sagemaker").describe_endpoint(EndpointName="alice"))
    attacked.client("sagemaker").delete_endpoint(EndpointName="alice")
    wait_until(lambda: not Path(f"/proc/{before}/exe").exists())
