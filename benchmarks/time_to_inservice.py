"""How long CreateEndpoint takes to InService, for a model of an image; first and warm, by phases.

    python -m benchmarks.time_to_inservice [--image IMAGE] [--servers 3] [--endpoints 5]

"first" is the first endpoint of a server that has just started; the framework is still being
imported then. "warm" are the endpoints after it. Seconds are seen by a client: from before the call
of CreateEndpoint until DescribeEndpoint, asked every few milliseconds, says InService. The phases
in between are read from what the process runtime writes about each instance.

Without --image it is AWS's scikit-learn image and a model.joblib. The environment of another image
is built first, if it is not there, by `inservice image build`; that is not measured. The data
directory is kept for all servers, so it is built once. Memory is what the instance of a warm
endpoint adds to all that the fork server started, of what was there for the first: proportional set
sizes, so that a page that many share counts once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import psutil
from benchmarks import models_of_images

from inservice.demo import digits
from inservice.demo.hosting import IMAGE
from inservice.demo.server import DemoServer, point_at
from inservice.images.base import EnvironmentImage
from inservice.images.resolve import Catalogue

POLL_SECONDS = 0.003
PATIENCE_SECONDS = 60.0
BUILD_SECONDS = 1800.0
GOALS = {"first": 3.0, "warm": 0.5}


@dataclass(frozen=True)
class Run:
    """One endpoint."""

    total: float
    pss: int  # bytes of all that the fork server started, once it is InService
    phases: dict[str, float] = field(default_factory=dict)  # seconds, in order; they sum to total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default=IMAGE, help="as a container definition names it")
    parser.add_argument("--servers", type=int, default=3, help="fresh servers to start")
    parser.add_argument("--endpoints", type=int, default=5, help="warm endpoints on each")
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {"first": [], "warm": []}
    added: list[float] = []
    with tempfile.TemporaryDirectory(prefix="inservice-bench-") as place:
        archive = Path(place) / "model.tar.gz"
        pack(options.image, archive)
        server = DemoServer(Path(place) / "data")
        for number in range(options.servers):
            first, *warm = one_server(
                server, options.image, archive, options.endpoints, build=not number
            )
            runs["first"].append(first)
            runs["warm"].extend(warm)
            added += [(b.pss - a.pss) / first.pss for a, b in pairwise((first, *warm))]
    show(options.image, runs)
    print(f"memory: an instance more adds {statistics.median(added):.0%} of the first (goal 25%)")
    return 0


def pack(image: str, archive: Path) -> None:
    """A model for the image."""
    if image == IMAGE:
        digits.pack(digits.train().model, archive)
        return
    found = Catalogue().resolve(image)
    if not isinstance(found, EnvironmentImage):
        raise SystemExit(f"{image} is not run in an environment: {found}")
    models_of_images.pack(found.preimports, archive)


def one_server(
    server: DemoServer, image: str, archive: Path, endpoints: int, *, build: bool
) -> list[Run]:
    try:
        point_at(server.up())
        if build and image != IMAGE:
            build_environment(image)
        # Not boto3.client: its default session would keep the key of the server before.
        sagemaker: Any = boto3.Session().client("sagemaker")
        name = f"model-{time.time_ns()}"
        sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": image, "ModelDataUrl": archive.as_uri()},
        )
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}],
        )
        endpoint_names = [f"{name}-{n}" for n in range(endpoints + 1)]
        seen = [one_endpoint(sagemaker, server.data_dir, each, name) for each in endpoint_names]
        for each in endpoint_names:
            sagemaker.delete_endpoint(EndpointName=each)
        return seen
    finally:
        server.down()
        if left := server.left_behind():
            raise SystemExit(f"left behind: {left}")


def build_environment(image: str) -> None:
    command = [sys.executable, "-m", "inservice.cli.main", "image", "build", image]
    subprocess.run(command, check=True, timeout=BUILD_SECONDS)


def one_endpoint(sagemaker: Any, data_dir: Path, name: str, config: str) -> Run:
    known = set(records(data_dir))
    began_wall, began = time.time(), time.perf_counter()
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    accepted = time.perf_counter() - began
    while time.perf_counter() < began + PATIENCE_SECONDS:
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
        total = time.perf_counter() - began
        if endpoint["EndpointStatus"] == "InService":
            phases = phases_of(data_dir, known, began_wall, accepted, total)
            return Run(total, pss_of_instances(data_dir), phases)
        if endpoint["EndpointStatus"] != "Creating":
            raise SystemExit(f"{endpoint['EndpointStatus']}: {endpoint.get('FailureReason')}")
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"{name} was not InService after {PATIENCE_SECONDS:.0f} s")


def pss_of_instances(data_dir: Path) -> int:
    """Bytes of zygotes and instances together: of all that the fork server has started."""
    fork_server = int((data_dir / "run" / "forkserver.lock").read_text())
    total = 0
    for process in psutil.Process(fork_server).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


def records(data_dir: Path) -> list[Path]:
    """What the process runtime wrote: who each instance is, and when it was ready."""
    return sorted((data_dir / "run" / "instances").glob("*.json"))


def phases_of(
    data_dir: Path, known: set[Path], began_wall: float, accepted: float, total: float
) -> dict[str, float]:
    documents = [json.loads(path.read_bytes()) for path in records(data_dir) if path not in known]
    record = next((d for d in documents if "started_at" in d), None)
    ready = next((d for d in documents if "phases" in d), None)
    if record is None or ready is None:
        return {}
    inside: dict[str, float] = ready["phases"]
    before = record["started_at"] - began_wall - accepted
    after = total - (ready["at"] - began_wall)
    return {
        "accept": accepted,
        "decide+fetch": before - inside.get("fork", 0.0),
        **inside,
        "route+see": after,
    }


def show(image: str, runs: dict[str, list[Run]]) -> None:
    print(f"CreateEndpoint → InService, {image}, seconds (medians)")
    names = list(
        dict.fromkeys(name for kind in runs.values() for run in kind for name in run.phases)
    )
    print(f"{'':<8}{'n':>4}{'median':>9}{'best':>8}{'worst':>8}{'goal':>7}   " + "  ".join(names))
    for kind, measured in runs.items():
        totals = [run.total for run in measured]
        phases = "  ".join(
            f"{statistics.median(run.phases.get(name, 0.0) for run in measured):>{len(name)}.3f}"
            for name in names
        )
        print(
            f"{kind:<8}{len(totals):>4}{statistics.median(totals):>9.3f}{min(totals):>8.3f}"
            f"{max(totals):>8.3f}{GOALS[kind]:>7.1f}   {phases}"
        )


if __name__ == "__main__":
    sys.exit(main())
