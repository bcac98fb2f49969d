"""A PyTorch model on a GPU: its own card, a second one refused, and how busy the card is.

It needs a GPU with its driver, and PyTorch with CUDA beside the server; else it skips and says so.
By itself, wherever there is a card:  python -m pytest tests/images/test_gpu.py
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inservice.telemetry.gpus import GpusUnseen, find_gpus
from tests.acceptance.server import Server, archive, variant
from tests.waiting import wait_until

pytestmark = pytest.mark.images

CODE = """
import json, os, time, torch
def model_fn(model_dir):
    assert torch.cuda.device_count() == 1, torch.cuda.device_count()
    return torch.nn.Linear(4096, 4096).to("cuda")
def transform_fn(model, data, content_type, accept):
    until = time.monotonic() + float(data)
    batch = torch.ones(4096, 4096, device="cuda")
    with torch.no_grad():
        while time.monotonic() < until:
            model(batch)
    torch.cuda.synchronize()
    return json.dumps({"sees": os.environ["CUDA_VISIBLE_DEVICES"]}), "application/json"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server.start(tmp_path / "data")
    yield started
    started.stop()


def test_a_card_is_an_instances_own_and_seen_to_be_busy(server: Server, tmp_path: Path) -> None:
    gpus = find_gpus()
    if gpus is None:
        pytest.skip("this host has no GPU")
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("the PyTorch that is installed finds no GPU")
    try:
        devices = [device.uuid for device in gpus.devices()]
    except GpusUnseen as why:
        pytest.skip(f"this host's GPUs cannot be given out: {why}")

    server.create_model("m", archive(tmp_path / "m.tar.gz", {"code/inference.py": CODE}))
    server.create_config("one", variant("m", InstanceType="ml.g5.xlarge"))
    server.create_config("all", variant("m", count=len(devices), InstanceType="ml.g5.xlarge"))
    sagemaker = server.client("sagemaker")
    sagemaker.create_endpoint(EndpointName="first", EndpointConfigName="all")
    described = server.settled("first")
    assert described["EndpointStatus"] == "InService", described
    sagemaker.create_endpoint(EndpointName="second", EndpointConfigName="one")
    refused = server.settled("second")
    assert refused["EndpointStatus"] == "Failed"
    assert f"{len(devices)} of {len(devices)}" in refused["FailureReason"]
    assert "first/AllTraffic" in refused["FailureReason"]

    def busy() -> float:
        assert server.invoke("first", "2.0")["sees"] in devices
        now = datetime.now(UTC)
        found = server.client("cloudwatch").get_metric_statistics(
            Namespace="/aws/sagemaker/Endpoints",
            MetricName="GPUUtilization",
            Dimensions=[
                {"Name": "EndpointName", "Value": "first"},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=10),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        return max((each["Maximum"] for each in found), default=0.0)

    wait_until(lambda: busy() > 10)
    assert busy() <= 100.0 * len(devices)
