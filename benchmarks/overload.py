"""Ten times more than a model can take, and what is left of it when that is over.

    python -m benchmarks.overload [--seconds 60] [--factor 10] [--latency-ms 20]

A gateway worker and one instance whose model waits, so that its capacity is known and the machine
is not what is overloaded. Three open-loop loads: `capacity` at 95 % of what the model can take,
`overload` at ten times that, `after` at half of it, from the moment the overload ends.
Goodput is answers of 200 per second; capacity is what the model can do at most. What is refused
should be refused at once: `refused p99` is how late that was.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop
from benchmarks import wrk
from benchmarks.gateway import contestants
from benchmarks.gateway.contestants import KEY_ID, PATH, REGION, SECRET
from benchmarks.load import Entry, Load
from botocore.credentials import Credentials

PROGRAM = """
import time


def model_fn(model_dir):
    return None


def transform_fn(model, body, content_type, accept):
    time.sleep({seconds})
    return b"{{}}", "application/json"
"""

BODY = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
CALM_SECONDS = 10.0


def main() -> int:
    """Run the three loads and print how each fared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--factor", type=float, default=10.0)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        program = PROGRAM.format(seconds=options.latency_ms / 1000)
        environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": str(options.threads)}
        model, process = contestants.start_model(directory / "model", program, environment)
        gateway = contestants.start_ours(directory, BODY, model=model)
        started += [process, *gateway.processes]
        wrk.wait_until(gateway, whole=False)
        return uvloop.run(_measure(gateway.address, options))
    finally:
        wrk.end(started)
        shutil.rmtree(directory)


async def _measure(address: str, options: argparse.Namespace) -> int:
    rate = 0.95 * options.threads / (options.latency_ms / 1000)
    print(wrk.machine())
    print(f"one model, {options.threads} at a time, {options.latency_ms:g} ms each")
    print()
    print(
        "| load | due/s | goodput/s | 200 | refused | no answer | p50 ms | p99 ms | refused p99 |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    host, port = address.split(":")

    def load() -> Load:
        credentials = Credentials(KEY_ID, SECRET)
        place: dict[str, Any] = {
            "path": PATH,
            "body": BODY,
            "credentials": credentials,
            "region": REGION,
        }
        return Load(host, int(port), connections_max=4_000, **place)

    _show("capacity", rate, CALM_SECONDS, (await load().run(rate, CALM_SECONDS)).entries)
    # What comes after does not wait for what the overload has left in the queue.
    overload = asyncio.create_task(load().run(rate * options.factor, options.seconds))
    await asyncio.sleep(options.seconds)
    after = (await load().run(rate / 2, CALM_SECONDS)).entries
    busy = (await overload).entries
    goodput = _show("overload", rate * options.factor, options.seconds, busy) / (rate / 0.95)
    _show("after", rate / 2, CALM_SECONDS, after)
    recovered = _recovered(after, limit_seconds=10 * options.latency_ms / 1000)
    print()
    print(f"goodput under overload: {goodput:.1%} of capacity (goal 90 %)")
    print(f"recovered {recovered:.2f} s after it (goal 2 s): from then on all get 200 ", end="")
    print(f"within {10 * options.latency_ms:g} ms")
    return 0 if goodput >= 0.9 and recovered <= 2.0 else 1


def _show(name: str, rate: float, seconds: float, entries: list[Entry]) -> float:
    """Print how a load fared; its goodput per second."""
    good = [e for e in entries if e.status == 200]
    refused = [e for e in entries if e.status and e.status != 200]
    silent = len(entries) - len(good) - len(refused)
    # Only what was answered while the load lasted is its goodput; the rest was queued.
    goodput = sum((e.answered_at or 0.0) <= seconds for e in good) / seconds
    print(
        f"| {name} | {rate:,.0f} | {goodput:,.1f} | {len(good):,} | {len(refused):,} | {silent} "
        f"| {_late(good, 0.5):,.0f} | {_late(good, 0.99):,.0f} | {_late(refused, 0.99):,.0f} |",
        flush=True,
    )
    return goodput


def _late(entries: list[Entry], share: float) -> float:
    late = sorted(1000 * (e.late_seconds or 0.0) for e in entries)
    return late[min(int(len(late) * share), len(late) - 1)] if late else 0.0


def _recovered(entries: list[Entry], *, limit_seconds: float) -> float:
    """When the last request that was refused or as late as in the overload had been due."""
    bad = [e.due_at for e in entries if e.status != 200 or (e.late_seconds or 0.0) > limit_seconds]
    return max(bad, default=0.0)


if __name__ == "__main__":
    sys.exit(main())
