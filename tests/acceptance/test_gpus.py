"""GPU instance types by boto3 alone, on a host whose driver says that it has two GPUs."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server, archive, run_here, variant
from tests.waiting import wait_until

NVML = Path(__file__).parent / "fake_nvml"

SEES = """
import os
def model_fn(model_dir):
    return os.environ.get("CUDA_VISIBLE_DEVICES")
def transform_fn(model, data, content_type, accept):
    import json
    return json.dumps({"sees": model, "pid": os.getpid()}), "application/json"
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("gpus")
    started = Server.start(place / "data", environment={"PYTHONPATH": str(NVML)})
    started.create_model("m", archive(place / "m.tar.gz", {"code/inference.py": SEES}))
    for name, instance_type, count in (
        ("one", "ml.g5.xlarge", 1),
        ("another", "ml.g4dn.xlarge", 1),
        ("both", "ml.g5.xlarge", 2),
        ("four", "ml.g5.12xlarge", 1),
        ("none", "ml.m5.large", 1),
    ):
        started.create_config(name, variant("m", count=count, InstanceType=instance_type))
    yield started
    started.stop()


@pytest.fixture
def create(host: Server) -> Iterator[Callable[[str, str], dict[str, Any]]]:
    made: list[str] = []

    def create(name: str, config: str) -> dict[str, Any]:
        host.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config)
        made.append(name)
        return host.settled(name)

    yield create
    for name in made:
        host.client("sagemaker").delete_endpoint(EndpointName=name)
    wait_until(lambda: not host.instances())


def holders(host: Server) -> list[str | None]:
    seen = host.client("inservice").describe_server()["Capacity"]["Gpus"]
    return [gpu.get("EndpointName") for gpu in seen]


def test_each_has_its_own_and_who_finds_none_is_told_who_has_them(
    host: Server, create: Callable[[str, str], dict[str, Any]]
) -> None:
    assert create("digits", "one")["EndpointStatus"] == "InService"
    assert create("words", "another")["EndpointStatus"] == "InService"
    sees = {host.invoke(name)["sees"] for name in ("digits", "words")}
    assert sees == {"GPU-00000000", "GPU-00000001"}
    assert holders(host) == ["digits", "words"]
    late = create("late", "one")
    assert late["EndpointStatus"] == "Failed"
    assert "InsufficientInstanceCapacity" in late["FailureReason"]
    assert "2 of 2 GPUs are held by digits/AllTraffic, words/AllTraffic" in late["FailureReason"]
    assert create("cpu", "none")["EndpointStatus"] == "InService"
    assert host.invoke("cpu")["sees"] == ""
    shown = run_here("endpoint", "show", "words", data_dir=host.data_dir).stdout
    assert "AllTraffic  ml.g4dn.xlarge  GPU-00000001" in shown
    assert "GPU-00000000" not in shown
    shown = run_here("status", data_dir=host.data_dir).stdout
    assert "GPU-00000001" in shown
    assert "words/AllTraffic" in shown
    assert "Instances have 10 vCPUs" in shown  # 4 + 4 + 2 by their types


def test_killed_control_knows_again_who_has_which(
    host: Server, create: Callable[[str, str], dict[str, Any]]
) -> None:
    create("digits", "one")
    before = host.invoke("digits")
    host.kill_control()
    create("words", "one")
    assert host.invoke("digits") == before
    assert host.invoke("words")["sees"] != before["sees"]
    used = host.client("inservice").describe_server()["Instances"]
    assert {tuple(one["GpuUuids"]) for one in used} == {("GPU-00000000",), ("GPU-00000001",)}
    assert create("late", "one")["EndpointStatus"] == "Failed"


def test_an_update_that_finds_none_leaves_the_old_fleet_serving(
    host: Server, create: Callable[[str, str], dict[str, Any]]
) -> None:
    """Blue/green needs the GPUs of both fleets, and that is known before any traffic moves."""
    create("digits", "both")
    before = {host.invoke("digits")["pid"] for _ in range(20)}
    answer = host.client("sagemaker").update_endpoint(
        EndpointName="digits", EndpointConfigName="one"
    )
    assert "GPUs" in answer["ResponseMetadata"]["HTTPHeaders"]["x-inservice-warning"]
    after = host.settled("digits")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "both")
    assert "InsufficientInstanceCapacity" in after["FailureReason"]
    assert {host.invoke("digits")["pid"] for _ in range(20)} <= before
    assert holders(host) == ["digits", "digits"]
    host.client("sagemaker").update_endpoint(EndpointName="digits", EndpointConfigName="none")
    assert host.settled("digits")["EndpointConfigName"] == "none"
    wait_until(lambda: holders(host) == [None, None])


def test_more_than_the_host_has_never_starts(
    host: Server, create: Callable[[str, str], dict[str, Any]]
) -> None:
    failed = create("digits", "four")
    assert failed["EndpointStatus"] == "Failed"
    assert "4 GPUs for itself, and this host has 2." in failed["FailureReason"]
    assert any("4 GPUs" in line for line in host.history("digits"))


def test_prometheus_and_cloudwatch_know_whose_gpu_is_how_busy(
    host: Server, create: Callable[[str, str], dict[str, Any]]
) -> None:
    create("digits", "one")
    token = (host.data_dir / "metrics.token").read_text().strip()
    request = urllib.request.Request(
        f"{host.url}/metrics", headers={"Authorization": f"Bearer {token}"}
    )

    def page() -> str:
        with urllib.request.urlopen(request) as answer:
            text: bytes = answer.read()
            return text.decode()

    wait_until(
        lambda: 'inservice_gpu_held{name="NVIDIA Nothing",uuid="GPU-00000000"} 1.0' in page()
    )
    assert 'uuid="GPU-00000001"} 0.0' in page()
    assert "\ninservice_host_vcpus_held 4.0" in page()

    def utilisation() -> list[float]:
        now = datetime.now(UTC)
        found = host.client("cloudwatch").get_metric_statistics(
            Namespace="/aws/sagemaker/Endpoints",
            MetricName="GPUUtilization",
            Dimensions=[
                {"Name": "EndpointName", "Value": "digits"},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        return [each["Maximum"] for each in found]

    assert set(wait_until(utilisation)) == {10.0}, "of its own GPU alone: the other has 20"
