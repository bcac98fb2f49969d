"""Rounds of `wrk` against a server whose processes' CPU time is counted."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

USER_AGENT = (
    "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.18 md/arch#x86_64 lang/python#3.11.7 "
    "md/pyimpl#CPython m/D,Z,b cfg/retry-mode#standard Botocore/1.44.5"
)

_UNITS = {"us": 1.0, "ms": 1_000.0, "s": 1_000_000.0}


@dataclass
class Contestant:
    """A server that runs: where it listens, and whose CPU time counts."""

    name: str
    version: str
    address: str  # host:port
    processes: Sequence[subprocess.Popen[bytes]]
    path: str
    body: bytes


@dataclass(frozen=True)
class Round:
    """What one run of wrk against one contestant showed."""

    requests_per_second: float
    cpu_us: float
    p50_us: float
    p99_us: float


def signed_request(contestant: Contestant, key_id: str, secret: str, region: str) -> bytes:
    """The bytes that boto3 would send. A signature holds for five minutes."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "amz-sdk-invocation-id": "0f0e0d0c-1111-2222-3333-444455556666",
        "amz-sdk-request": "attempt=1",
    }
    body, path = contestant.body, contestant.path
    url = f"http://{contestant.address}{path}"
    request = AWSRequest("POST", url, data=body, headers=headers)
    SigV4Auth(Credentials(key_id, secret), "sagemaker", region).add_auth(request)
    lines = [f"POST {path} HTTP/1.1", f"Host: {contestant.address}"]
    lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def wait_until(contestant: Contestant, *, whole: bool, seconds: float = 15.0) -> None:
    """Until it accepts connections; if `whole`, until it answers its own request with 200."""
    deadline = time.monotonic() + seconds
    while True:
        status = 0
        try:
            client = HTTPConnection(contestant.address, timeout=5)
            headers = {"Content-Type": "application/json"}
            client.request("POST", contestant.path, contestant.body, headers)
            status = client.getresponse().status
            client.close()
        except OSError:
            pass
        if status == 200 or (status and not whole):
            return
        ended = any(process.poll() is not None for process in contestant.processes)
        if ended or time.monotonic() > deadline:
            raise RuntimeError(f"{contestant.name} did not start (it says {status})")
        time.sleep(0.05)


def run(
    directory: Path, contestant: Contestant, request: bytes, *, connections: int, seconds: int
) -> Round:
    """One round: the same bytes again and again on each connection."""
    (directory / "request").write_bytes(request)
    script = directory / "request.lua"
    script.write_text(
        f'local file = io.open("{directory}/request", "rb")\n'
        'local bytes = file:read("*a")\nfile:close()\nrequest = function() return bytes end\n'
    )
    before = cpu_seconds(contestant.processes)
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout=10s"),
            *("-s", str(script), f"http://{contestant.address}{contestant.path}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    cpu = cpu_seconds(contestant.processes) - before
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{contestant.name} did not answer 200: {done.stdout}")
    requests = int(_find(r"(\d+) requests in", done.stdout))
    return Round(
        requests_per_second=float(_find(r"Requests/sec:\s+([\d.]+)", done.stdout)),
        cpu_us=cpu / requests * 1e6,
        p50_us=_latency(done.stdout, "50%"),
        p99_us=_latency(done.stdout, "99%"),
    )


def median(rounds: Sequence[Round]) -> Round:
    """The median of each figure."""
    return Round(
        statistics.median(r.requests_per_second for r in rounds),
        statistics.median(r.cpu_us for r in rounds),
        statistics.median(r.p50_us for r in rounds),
        statistics.median(r.p99_us for r in rounds),
    )


def cpu_seconds(processes: Sequence[subprocess.Popen[bytes]]) -> float:
    """User and system time of these processes and all below them, living or waited for."""
    total = 0.0
    for process in processes:
        root = psutil.Process(process.pid)
        for one in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:4])  # its own, then that of children it waited for
    return total


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Terminate them and what they started; kill what has not ended after ten seconds."""
    everybody: list[psutil.Process] = []
    for process in processes:
        if process.poll() is None:
            root = psutil.Process(process.pid)
            everybody += [root, *root.children(recursive=True)]
            process.terminate()
    _, alive = psutil.wait_procs(everybody, timeout=10)
    for one in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    for process in processes:
        process.wait()


def machine() -> str:
    """What a figure was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((n.split(":")[1].strip() for n in lines if n.startswith("model name")), "")
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}"
    )


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said: {text}")
    return match[1]


def _latency(text: str, percentile: str) -> float:
    match = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text)
    if match is None:
        raise RuntimeError(f"wrk said: {text}")
    return float(match[1]) * _UNITS[match[2]]
