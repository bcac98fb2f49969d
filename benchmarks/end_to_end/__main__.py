"""The whole way to a model: InService beside serving frameworks.

    python -m benchmarks.end_to_end [--rounds 3] [--seconds 3] [--connections 16] [--only NAME]…
                                    [--no-compiled]

Ours is a gateway worker that verifies SigV4 and one instance of the model server behind it, from
the compiled wheel, which is built first, and from the source; the others check nothing and have no
gateway. Each framework is installed into a virtual environment of
its own, kept for the next run; one that does not install within five minutes is left out, and
said so. Rounds take turns. CPU is user and system time of all processes of each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import wrk
from benchmarks.end_to_end.peer import NotHere
from benchmarks.end_to_end.peers import PEERS
from benchmarks.gateway import contestants
from benchmarks.gateway.__main__ import json_body
from benchmarks.gateway.contestants import KEY_ID, REGION, SECRET
from benchmarks.wrk import Contestant, Round

BODY_BYTES = 512
START_SECONDS = 120.0

PROGRAM = """
def model_fn(model_dir):
    return None


def predict_fn(value, model):
    return value.sum(axis=1)
"""

IN_THE_LOOP = {"INSERVICE_INLINE": "1"}
"""Models run in a thread; those of microseconds may run in the event loop instead."""


def main() -> int:
    """Start everybody, run the rounds, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    names = [peer.name for peer in PEERS]
    parser.add_argument(
        "--only", action="append", choices=names, help="of the frameworks, this one"
    )
    parser.add_argument("--no-compiled", action="store_true", help="leave the wheel's rows out")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        field, absent = _start(directory, started, options)
        results: dict[str, list[Round]] = {contestant.name: [] for contestant in field}
        for contestant in field:
            _round(directory, contestant, options)  # warm
        for _ in range(options.rounds):
            for contestant in field:
                results[contestant.name].append(_round(directory, contestant, options))
        _print(field, results, absent, options)
    finally:
        wrk.end(started)
        shutil.rmtree(directory)
    return 0


def _ours(directory: Path, started: list[subprocess.Popen[bytes]], python: str) -> list[Contestant]:
    """Our two ways to run a model, with a gateway in front of each."""
    field: list[Contestant] = []
    for name, environment in (("InService", {}), ("InService, model in the loop", IN_THE_LOOP)):
        home = directory / str(len(field))
        model, process = contestants.start_model(home, PROGRAM, environment, python=python)
        gateway = contestants.start_ours(home, json_body(BODY_BYTES), model=model, python=python)
        started += [process, *gateway.processes]
        wrk.wait_until(gateway, whole=False)
        gateway.name = name
        gateway.processes = [*gateway.processes, process]
        field.append(gateway)
    return field


def _start(
    directory: Path, started: list[subprocess.Popen[bytes]], options: argparse.Namespace
) -> tuple[list[Contestant], dict[str, str]]:
    """Everybody who answers, and why the others do not."""
    body = json_body(BODY_BYTES)
    field: list[Contestant] = []
    if not options.no_compiled:
        field = _ours(directory / "compiled", started, contestants.compiled_python())
        for contestant in field:
            contestant.name += ", compiled"
    field += _ours(directory / "source", started, sys.executable)
    absent: dict[str, str] = {}
    homes = Path(tempfile.gettempdir()) / f"inservice-peers-{os.getuid()}"
    for number, peer in enumerate(PEERS):
        if options.only and peer.name not in options.only:
            continue
        try:
            contestant = peer.start(homes, directory / str(number), body)
        except NotHere as reason:
            absent[peer.name] = str(reason)
            continue
        started += contestant.processes
        try:
            wrk.wait_until(contestant, whole=True, seconds=START_SECONDS)
        except RuntimeError as error:
            log = (directory / str(number) / "log").read_text(errors="replace")
            absent[peer.name] = f"{error}: {log[-300:]}"
            wrk.end(contestant.processes)
        else:
            field.append(contestant)
    return field, absent


def _round(directory: Path, contestant: Contestant, options: argparse.Namespace) -> Round:
    return wrk.run(
        directory,
        contestant,
        wrk.signed_request(contestant, KEY_ID, SECRET, REGION),
        connections=options.connections,
        seconds=options.seconds,
    )


def _print(
    field: list[Contestant],
    results: dict[str, list[Round]],
    absent: dict[str, str],
    options: argparse.Namespace,
) -> None:
    print(
        f"{wrk.machine()}; {BODY_BYTES} bytes of JSON, {options.connections} connections, "
        f"median of {options.rounds} rounds"
    )
    print()
    print("| server | CPU µs/request | requests/CPU-second | ours | requests/s | p50 µs | p99 µs |")
    print("|---|---|---|---|---|---|---|")
    ours = wrk.median(results[field[0].name])
    for contestant in field:
        middle = wrk.median(results[contestant.name])
        print(
            f"| {contestant.name} {contestant.version} | {middle.cpu_us:,.0f} "
            f"| {1e6 / middle.cpu_us:,.0f} | {middle.cpu_us / ours.cpu_us:.1f} × "
            f"| {middle.requests_per_second:,.0f} "
            f"| {middle.p50_us:,.0f} | {middle.p99_us:,.0f} |"
        )
    for name, reason in absent.items():
        print(f"\n{name} is not in it: {reason}")


if __name__ == "__main__":
    sys.exit(main())
