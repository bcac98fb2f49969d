"""What the gateway adds to calling the model server directly, and what a second worker brings.

    python -m benchmarks.gateway.ours [--rounds 5] [--seconds 2] [--no-compiled]

The same model server is called directly, on a port, and through the gateway, which reaches another
of its kind on a UNIX socket, as it does an instance. The two take turns: at one connection (latency
that the gateway adds), and as a stream (time to the first byte of 64 parts, bytes per second of
64 MB). Two workers are compared with one at 32 connections: with all of the machine, which takes
two cores beside those that the load and the stub use, and with a quarter of a core for each worker,
which two cores have. Gateway and model server are those of the compiled wheel, which is built
first, unless `--no-compiled` is given.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import quota, wrk
from benchmarks.gateway import contestants
from benchmarks.gateway.__main__ import json_body
from benchmarks.gateway.contestants import KEY_ID, REGION, SECRET
from benchmarks.wrk import Contestant, Round

PROGRAM = """
import json


def model_fn(model_dir):
    return None


def transform_fn(model, body, content_type, accept):
    if isinstance(body, str) and body.startswith('{"stream"'):
        asked = json.loads(body)["stream"]
        part = b"x" * asked["bytes"]
        return (part for _ in range(asked["parts"])), "application/octet-stream"
    return b'{"predictions": [1.0]}', "application/json"
"""

STREAM_PATH = "/endpoints/bench/invocations-response-stream"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.ours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--no-compiled", action="store_true")
    options = parser.parse_args()
    python = sys.executable if options.no_compiled else contestants.compiled_python()
    directory = Path(tempfile.mkdtemp(prefix="bench"))
    directory.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(contestants.start_stub(directory))
        port = contestants.free_port()
        inline = {"INSERVICE_INLINE": "1"}
        _, process = contestants.start_model(
            directory / "direct", PROGRAM, inline, port=port, python=python
        )
        model, behind = contestants.start_model(directory / "model", PROGRAM, inline, python=python)
        started += [process, behind]
        direct = Contestant(
            "model server, directly",
            "",
            f"127.0.0.1:{port}",
            [process],
            "/invocations",
            json_body(512),
        )
        stub = f"unix:{directory}/stub.sock"
        through = _gateway("through the gateway", directory / "through", model, 1, python)
        one = _gateway("one worker", directory / "one", stub, 1, python)
        two = _gateway("two workers", directory / "two", stub, 2, python)
        for contestant in (through, one, two):
            started += contestant.processes
            wrk.wait_until(contestant, whole=False)
        wrk.wait_until(direct, whole=True)
        print(wrk.machine())
        _pair(directory, direct, through, options, connections=1)
        _pair(directory, one, two, options, connections=32)
        try:
            with quota.limited([*one.processes, *two.processes], 0.25):
                print("\nThe same with a quarter of a core for each worker:")
                _pair(directory, one, two, options, connections=32)
        except OSError as error:
            print(f"\nNot with a quarter of a core for each worker: {error}")
        _streams(direct, through, options.rounds)
    finally:
        wrk.end(started)
        shutil.rmtree(directory)
    return 0


def _gateway(name: str, directory: Path, model: str, workers: int, python: str) -> Contestant:
    directory.mkdir()
    contestant = contestants.start_ours(
        directory, json_body(512), model=model, workers=workers, python=python
    )
    contestant.name = name
    return contestant


def _pair(
    directory: Path,
    first: Contestant,
    second: Contestant,
    options: argparse.Namespace,
    *,
    connections: int,
) -> None:
    results: dict[str, list[Round]] = {first.name: [], second.name: []}
    for _ in range(options.rounds):
        for contestant in (first, second):
            request = wrk.signed_request(contestant, KEY_ID, SECRET, REGION)
            seconds = options.seconds
            results[contestant.name].append(
                wrk.run(directory, contestant, request, connections=connections, seconds=seconds)
            )
    print(f"\n| {connections} connection(s) | CPU µs/request | requests/s | p50 µs | p99 µs |")
    print("|---|---|---|---|---|")
    for name, rounds in results.items():
        middle = wrk.median(rounds)
        print(
            f"| {name} | {middle.cpu_us:.1f} | {middle.requests_per_second:,.0f} "
            f"| {middle.p50_us:,.0f} | {middle.p99_us:,.0f} |"
        )
    a, b = (wrk.median(rounds) for rounds in results.values())
    print(
        f"\nsecond − first: p50 {b.p50_us - a.p50_us:+.0f} µs; second ÷ first: requests/s ", end=""
    )
    print(f"{b.requests_per_second / a.requests_per_second:.2f}")


def _streams(direct: Contestant, through: Contestant, rounds: int) -> None:
    print("\n| stream | first byte µs | MB/s |")
    print("|---|---|---|")
    through.path = STREAM_PATH
    firsts: dict[str, list[float]] = {direct.name: [], through.name: []}
    rates: dict[str, list[float]] = {direct.name: [], through.name: []}
    for _ in range(rounds):
        for contestant in (direct, through):
            asked = [_stream(contestant, parts=64, size=100) for _ in range(20)]
            firsts[contestant.name].append(statistics.median(first for first, _ in asked))
            rates[contestant.name].append(_stream(contestant, parts=1_000, size=64_000)[1])
    for name in firsts:
        first, rate = statistics.median(firsts[name]), statistics.median(rates[name])
        print(f"| {name} | {first:,.0f} | {rate:,.0f} |")


def _stream(contestant: Contestant, *, parts: int, size: int) -> tuple[float, float]:
    """µs to the first byte of the first part, and MB/s of the whole answer."""
    contestant.body = b'{"stream": {"parts": %d, "bytes": %d}}' % (parts, size)
    request = wrk.signed_request(contestant, KEY_ID, SECRET, REGION)
    host, port = contestant.address.split(":")
    received, first = 0, 0.0
    with socket.create_connection((host, int(port))) as connection:
        began = time.perf_counter()
        connection.sendall(request)
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            data = connection.recv(256 * 1024)
            if not data:
                raise RuntimeError(f"{contestant.name} broke off after {received} bytes")
            received += len(data)
            if not first and b"xxxx" in data:
                first = time.perf_counter() - began
            tail = (tail + data[-5:])[-5:]
        took = time.perf_counter() - began
    return first * 1e6, received / took / 1e6


if __name__ == "__main__":
    sys.exit(main())
