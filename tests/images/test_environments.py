"""A framework of gigabytes: PyTorch, from where pip is told to get it, and a layer on top."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inservice.images.base import EnvironmentImage
from inservice.images.environments.built import BuiltEnvironments
from inservice.runtimes.base import Interpreter
from tests.acceptance.server import Server, archive, variant
from tests.images.conftest import share_environments

pytestmark = pytest.mark.images

TORCH = EnvironmentImage("example/torch:2.13", "torch", ("torch==2.13.0",))


def said(python: Interpreter, program: str) -> str:
    return subprocess.run(
        [python.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.strip()


def own_bytes(directory: Path) -> int:
    """The room that the files of a directory take which nothing else has."""
    found = (path.lstat() for path in directory.rglob("*"))
    return sum(status.st_blocks * 512 for status in found if status.st_nlink == 1)


def test_pytorch_and_a_layer_on_top_of_it(environments: BuiltEnvironments, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "requirements.txt").write_text("einops\n")
    heard: list[str] = []

    async def both() -> tuple[Interpreter, Interpreter]:
        try:
            image = await environments.interpreter(TORCH, None, heard.append)
            layer = await environments.interpreter(TORCH, code, heard.append)
        finally:
            await environments.close()
        return image, layer

    image, layer = asyncio.run(both())
    assert said(image, "import torch; print(torch.ones(2).sum().item())") == "2.0"
    program = "import einops, torch; print(einops.reduce(torch.ones(2, 3), 'a b -> a', 'sum'))"
    assert said(layer, program) == "tensor([3., 3.])"
    assert said(layer, "import torch; print(torch.__version__)").startswith("2.13.0")
    directory = Path(layer.executable).parents[1]
    assert own_bytes(directory) < 20e6, "the layer costs what it adds"


def test_a_second_environment_with_pytorch_costs_nearly_nothing(
    environments: BuiltEnvironments,
) -> None:
    """Other than a layer it is built from the packages, whose files it shares."""
    more = EnvironmentImage("example/more:1", "more", ("torch==2.13.0", "einops"))

    async def built() -> tuple[Interpreter, Interpreter]:
        try:
            return (
                await environments.interpreter(TORCH, None),
                await environments.interpreter(more, None),
            )
        finally:
            await environments.close()

    one, other = (Path(python.executable).parents[1] for python in asyncio.run(built()))
    libraries = (next(each.rglob("libtorch_cpu.so")) for each in (one, other))
    assert len({path.stat().st_ino for path in libraries}) == 1
    size = sum(path.lstat().st_blocks * 512 for path in one.rglob("*"))
    assert own_bytes(other) < size / 4, "bytecode is its own"


USES = """
import einops, json, torch
def model_fn(model_dir):
    return torch.nn.Linear(2, 1)
def transform_fn(model, data, content_type, accept):
    rows = torch.tensor(json.loads(data))
    sums = einops.reduce(rows, "a b -> a", "sum").tolist()
    return json.dumps({"sums": sums, "shape": list(model(rows).shape)}), "application/json"
"""


def test_awss_pytorch_image_serves_a_model_that_brings_requirements(
    environments_dir: Path, tmp_path: Path
) -> None:
    """Deployment code that names AWS's image runs as it is."""
    share_environments(tmp_path / "data", environments_dir)
    server = Server.start(tmp_path / "data", "--workers=1")
    try:
        files = {"code/inference.py": USES, "code/requirements.txt": "einops\n"}
        image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
        server.create_model("torch", archive(tmp_path / "model.tar.gz", files), image=image)
        server.create_config("torch", variant("torch"))
        server.client("sagemaker").create_endpoint(EndpointName="torch", EndpointConfigName="torch")

        def ended() -> Any:
            described = server.describe("torch")
            return described if described["EndpointStatus"] != "Creating" else None

        described = wait_for(ended, seconds=1800)
        assert described["EndpointStatus"] == "InService", described.get("FailureReason")
        answer = server.invoke("torch", "[[1.0, 2.0], [3.0, 4.0]]")
        assert answer == {"sums": [3.0, 7.0], "shape": [2, 1]}
    finally:
        server.stop()


def wait_for(question: Callable[[], Any], seconds: float) -> Any:
    """As `wait_until`, with the patience that gigabytes take."""
    until = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < until
        time.sleep(1.0)
    return answer
