"""INSERVICE_LIMITS: what instance types are on a host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inservice.runtimes import host
from inservice.runtimes.process.cgroups import Cgroups, NoCgroups
from inservice.telemetry.gpus import find_gpus
from tests.acceptance.server import Server, archive, run_here, variant
from tests.waiting import wait_until

EATS = """
kept = []
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    while True:
        kept.append(bytearray(b"x" * 2**24))
"""

LARGER = "ml.m5.24xlarge" if host.vcpus() < 96 else "ml.p5.48xlarge"


def header(answer: dict[str, dict[str, dict[str, str]]]) -> str:
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-inservice-warning", "")


def test_off_counts_and_says_nothing(
    start_server: Callable[..., Server], echo: Callable[[str], str]
) -> None:
    server = start_server()
    server.create_model("m", echo("m"))
    server.create_config("c", variant("m", InstanceType=LARGER))
    made = server.client("sagemaker").create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert "vCPUs" not in header(made)
    assert server.settled("e")["EndpointStatus"] == "InService"
    capacity = server.client("inservice").describe_server()["Capacity"]
    assert capacity["Limits"] == "off"
    assert capacity["VcpusHeld"] >= 96 > 0
    assert capacity["VcpuCount"] == host.vcpus()
    assert run_here("status", data_dir=server.data_dir).stdout.count("limits: off") == 1


def test_a_gpu_type_without_a_gpu_runs_on_the_cpu_and_says_so(
    start_server: Callable[..., Server], echo: Callable[[str], str]
) -> None:
    if find_gpus() is not None:
        pytest.skip("this host has a GPU")
    server = start_server()
    server.create_model("m", echo("m"))
    server.create_config("c", variant("m", InstanceType="ml.g5.xlarge"))
    words = "this host has no GPU: its instances run on the CPU"
    made = run_here("endpoint", "create", "e", "--config", "c", data_dir=server.data_dir)
    assert words in made.stderr
    assert server.settled("e")["EndpointStatus"] == "InService"
    assert any(words in line for line in server.history("e"))
    assert words in run_here("endpoint", "show", "e", data_dir=server.data_dir).stdout


def test_soft_warns_whoever_asks_for_more_than_there_is(
    start_server: Callable[..., Server], echo: Callable[[str], str]
) -> None:
    server = start_server("--limits=soft")
    server.create_model("m", echo("m"))
    server.create_config("c", variant("m", InstanceType=LARGER))
    words = "vCPUs by their types, and the host has"
    made = run_here("endpoint", "create", "e", "--config", "c", data_dir=server.data_dir)
    assert f"{words} {host.vcpus()}." in made.stderr
    assert server.settled("e")["EndpointStatus"] == "InService"
    assert any(words in line for line in server.history("e"))
    assert words in header(server.describe("e"))
    assert words in run_here("endpoint", "show", "e", data_dir=server.data_dir).stdout
    grown = server.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
    )
    assert words in header(grown)


def test_enforced_refuses_what_does_not_fit_and_keeps_the_rest_to_it(
    start_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("limits")
    try:
        Cgroups(place).prepare()
    except NoCgroups as why:
        pytest.skip(f"this host lets us limit nobody: {why}")
    server = start_server(INSERVICE_LIMITS="enforced")
    server.create_model("m", archive(place / "m.tar.gz", {"code/inference.py": EATS}))
    server.create_config("large", variant("m", InstanceType=LARGER))
    server.create_config("small", variant("m", InstanceType="ml.t2.medium"))
    sagemaker = server.client("sagemaker")
    sagemaker.create_endpoint(EndpointName="large", EndpointConfigName="large")
    refused = server.settled("large")
    assert refused["EndpointStatus"] == "Failed"
    assert "InsufficientInstanceCapacity error" in refused["FailureReason"]
    assert f"of the {host.vcpus()} of this host 0 are held" in refused["FailureReason"]

    sagemaker.create_endpoint(EndpointName="small", EndpointConfigName="small")
    assert server.settled("small")["EndpointStatus"] == "InService"
    (before,) = server.ready_pids("small")
    with pytest.raises(Exception, match=r"ModelError|closed|424|500|503"):
        server.invoke("small")
    wait_until(lambda: server.ready_pids("small") - {before})
    told = [line for line in server.history("small") if "memory ran out" in line]
    assert "its instance type has 4 GiB (INSERVICE_LIMITS=enforced)" in told[0]


def test_where_nobody_can_be_limited_enforced_does_not_start(tmp_path: Path) -> None:
    """It says what to do, and leaves nothing behind."""
    if os.getuid() != 0:
        pytest.skip("to hide the control groups of this host takes root")
    data_dir = tmp_path / "data"
    up = f"{sys.executable} -m inservice.cli.main up --detach --port=0 --data-dir={data_dir}"
    started = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none /sys/fs/cgroup && exec {up}"],
        env={**os.environ, "INSERVICE_LIMITS": "enforced"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 1, started.stderr
    assert "INSERVICE_LIMITS=enforced cannot be kept" in started.stderr
    assert "Delegate=yes" in started.stderr
    assert "this host cannot do what the settings ask for" in started.stderr
    server = Server(data_dir, "", {})
    wait_until(lambda: not server.pids())
