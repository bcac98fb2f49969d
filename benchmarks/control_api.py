"""DescribeEndpoint at 16 connections: InService with signatures checked, beside moto without.

    python benchmarks/control_api.py [--seconds 5] [--rounds 3]

Both servers run on this machine in the same run, in turns, and are stopped at the end. Each holds
one endpoint that is InService, made through boto3. CPU is that of all processes of the server, read
from the kernel before and after, so `requests/s per core` does not depend on how busy the machine
is; `requests/s` does.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from closed_loop import Request, measure  # type: ignore[import-not-found]  # the file beside it
from inservice.demo import digits
from inservice.demo.hosting import NAME, Hosting
from inservice.demo.server import DemoServer, point_at

CONNECTIONS = 16
WARM_SECONDS = 1.0
BODY = f'{{"EndpointName": "{NAME}"}}'


@dataclass(frozen=True)
class Peer:
    """A server that is ready, and its processes."""

    name: str
    request: Request
    processes: list[psutil.Process]


@dataclass(frozen=True)
class Row:
    """One round of one peer."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float  # per request, all processes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="of each peer, in turns")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="inservice-bench-") as place,
        ours(Path(place)) as us,
        moto(Path(place)) as rival,
    ):
        rows: dict[str, list[Row]] = {us.name: [], rival.name: []}
        for peer in (us, rival):
            measure(peer.request, connections=CONNECTIONS, seconds=WARM_SECONDS)
        for _ in range(options.rounds):
            for peer in (us, rival):
                rows[peer.name].append(round_of(peer, options.seconds))
    show(rows)
    return 0


def round_of(peer: Peer, seconds: float) -> Row:
    before = cpu_seconds(peer)
    result = measure(peer.request, connections=CONNECTIONS, seconds=seconds)
    used = cpu_seconds(peer) - before
    if result.failures or not result.latencies:
        raise SystemExit(f"{peer.name} did not answer as it should: {result.failures}")
    return Row(
        result.per_second,
        result.percentile_ms(0.50),
        result.percentile_ms(0.99),
        used / len(result.latencies) * 1e6,
    )


def cpu_seconds(peer: Peer) -> float:
    times = [process.cpu_times() for process in peer.processes]
    return sum(t.user + t.system for t in times)


def show(rows: Mapping[str, list[Row]]) -> None:
    print(f"DescribeEndpoint, {CONNECTIONS} keep-alive connections, median of the rounds")
    print(f"{'':<28}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}{'req/s per core':>16}")
    medians = []
    for name, rounds in rows.items():
        cpu = statistics.median(row.cpu_us for row in rounds)
        rate = statistics.median(row.per_second for row in rounds)
        medians.append((rate, cpu))
        print(
            f"{name:<28}{rate:>9,.0f}"
            f"{statistics.median(row.p50_ms for row in rounds):>9.2f}"
            f"{statistics.median(row.p99_ms for row in rounds):>9.2f}"
            f"{cpu:>9,.0f}{1e6 / cpu:>16,.0f}"
        )
    (our_rate, our_cpu), (their_rate, their_cpu) = medians
    print(f"ratio: {our_rate / their_rate:.1f} × req/s, {their_cpu / our_cpu:.1f} × less CPU")


@contextmanager
def ours(place: Path) -> Iterator[Peer]:
    """InService with a scikit-learn model deployed."""
    server = DemoServer(place / "data")
    exports = server.up()
    try:
        point_at(exports)
        digits.pack(digits.train().model, place / "model.tar.gz")
        deploy(place)
        key = Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
        request = describe_endpoint(exports["AWS_ENDPOINT_URL"], key)
        instances = {p.pid for p in server.processes()}
        yield Peer("InService, SigV4 checked", request, [psutil.Process(p) for p in instances])
    finally:
        server.down()
        left = server.left_behind()
    if left:
        raise SystemExit(f"left behind: {left}")


@contextmanager
def moto(place: Path) -> Iterator[Peer]:
    """moto's server, which knows the API and runs nothing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (place / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_open(port, process)
        os.environ.update(AWS_ENDPOINT_URL=url)
        deploy(place)
        request = describe_endpoint(url, Credentials("moto", "moto"))
        yield Peer("moto, nothing checked", request, [psutil.Process(process.pid)])
    finally:
        process.terminate()
        process.wait()


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("moto's server did not start: pip install 'moto[server]'")


def deploy(place: Path) -> None:
    """Make the endpoint that is described, and wait until it is InService."""
    hosting = Hosting()
    try:
        hosting.create(place / "model.tar.gz")
        for _ in hosting.statuses():
            pass
    except BotoCoreError as error:
        raise SystemExit(f"the endpoint could not be made: {error}") from error


def describe_endpoint(url: str, key: Credentials) -> Request:
    """One signed request, as boto3 would send it. A signature is good for five minutes."""
    request = AWSRequest(
        "POST",
        f"{url}/",
        data=BODY,
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "SageMaker.DescribeEndpoint",
        },
    )
    SigV4Auth(key, "sagemaker", os.environ.get("AWS_DEFAULT_REGION", "us-east-1")).add_auth(request)
    prepared = request.prepare()
    address = url.removeprefix("http://")
    host, _, port = address.rpartition(":")
    head = [f"POST / HTTP/1.1\r\nHost: {address}"]
    head += [f"{k}: {v if isinstance(v, str) else v.decode()}" for k, v in prepared.headers.items()]
    return Request(host, int(port), ("\r\n".join([*head, "", ""]) + BODY).encode())


if __name__ == "__main__":
    sys.exit(main())
