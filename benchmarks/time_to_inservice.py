"""How long CreateEndpoint takes to InService, for a scikit-learn model; first and warm, by phases.

    python benchmarks/time_to_inservice.py [--servers 3] [--endpoints 5]

"first" is the first endpoint of a server that has just started; scikit-learn is still being
imported then. "warm" are the endpoints after it. Seconds are seen by a client: from before the call
of CreateEndpoint until DescribeEndpoint, asked every few milliseconds, says InService. The phases
in between are read from what the process runtime writes about each instance.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from inservice.demo import digits
from inservice.demo.hosting import IMAGE
from inservice.demo.server import DemoServer, point_at

POLL_SECONDS = 0.003
PATIENCE_SECONDS = 60.0
GOALS = {"first": 3.0, "warm": 0.5}


@dataclass(frozen=True)
class Run:
    """One endpoint."""

    total: float
    phases: dict[str, float] = field(default_factory=dict)  # seconds, in order; they sum to total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=3, help="fresh servers to start")
    parser.add_argument("--endpoints", type=int, default=5, help="warm endpoints on each")
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {"first": [], "warm": []}
    with tempfile.TemporaryDirectory(prefix="inservice-bench-") as place:
        archive = Path(place) / "model.tar.gz"
        digits.pack(digits.train().model, archive)
        for number in range(options.servers):
            first, *warm = one_server(Path(place) / f"data{number}", archive, options.endpoints)
            runs["first"].append(first)
            runs["warm"].extend(warm)
    show(runs)
    return 0


def one_server(data_dir: Path, archive: Path, endpoints: int) -> list[Run]:
    server = DemoServer(data_dir)
    try:
        point_at(server.up())
        # Not boto3.client: its default session would keep the key of the server before.
        sagemaker: Any = boto3.Session().client("sagemaker")
        sagemaker.create_model(
            ModelName="digits",
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": archive.as_uri()},
        )
        variant = {"VariantName": "AllTraffic", "ModelName": "digits", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName="digits",
            ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}],
        )
        return [one_endpoint(sagemaker, data_dir, f"run-{n}") for n in range(endpoints + 1)]
    finally:
        server.down()
        if left := server.left_behind():
            raise SystemExit(f"left behind: {left}")


def one_endpoint(sagemaker: Any, data_dir: Path, name: str) -> Run:
    known = set(records(data_dir))
    began_wall, began = time.time(), time.perf_counter()
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="digits")
    accepted = time.perf_counter() - began
    while time.perf_counter() < began + PATIENCE_SECONDS:
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
        total = time.perf_counter() - began
        if endpoint["EndpointStatus"] == "InService":
            return Run(total, phases_of(data_dir, known, began_wall, accepted, total))
        if endpoint["EndpointStatus"] != "Creating":
            raise SystemExit(f"{endpoint['EndpointStatus']}: {endpoint.get('FailureReason')}")
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"{name} was not InService after {PATIENCE_SECONDS:.0f} s")


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


def show(runs: dict[str, list[Run]]) -> None:
    print("CreateEndpoint → InService, scikit-learn model.joblib, seconds (medians)")
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
