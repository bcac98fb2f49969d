"""How a framework is installed into a virtual environment of its own, and started."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.wrk import Contestant

INSTALL_SECONDS = 300
PORTS = (20_000, 30_000)
KEEPER = Path(__file__).with_name("keeper.py")


class NotHere(Exception):
    """A framework that cannot take part; the message says why."""


@dataclass(frozen=True)
class Peer:
    """One framework."""

    name: str
    packages: tuple[str, ...]  # the first one's version is shown
    files: Callable[[int], dict[str, str]]  # of a port
    command: Callable[[int], list[str]]  # of a port; programs of the venv come first
    path: str
    body: Callable[[bytes], bytes] = lambda body: body
    needs: tuple[str, ...] = ()  # programs that pip does not install

    @property
    def home(self) -> str:
        """The name of its virtual environment."""
        return self.packages[0].partition("[")[0]

    def start(self, homes: Path, directory: Path, body: bytes) -> Contestant:
        """Install it if it is not there yet, then start it. Raises NotHere."""
        home = homes / self.home
        places = [home / "bin", *map(_place, self.needs), Path("/usr/bin"), Path("/bin")]
        install(home, self.packages)
        directory.mkdir()
        port = free_port()
        for name, text in self.files(port).items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        log = (directory / "log").open("wb")
        process = subprocess.Popen(
            [sys.executable, str(KEEPER), *self.command(port)],
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                "PATH": os.pathsep.join(map(str, places)),
                "HOME": str(directory),
                "BENTOML_DO_NOT_TRACK": "True",
            },
        )
        version = version_of(home, self.home)
        address = f"127.0.0.1:{port}"
        return Contestant(self.name, version, address, [process], self.path, self.body(body))


def free_port() -> int:
    """A port that was free a moment ago; good enough for servers that cannot be handed sockets.

    None that the kernel gives to connections: multi-model-server refuses ports above 32767.
    """
    while True:
        with contextlib.suppress(OSError):
            port = random.randrange(*PORTS)
            socket.create_server(("127.0.0.1", port)).close()
            return port


def _place(program: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise NotHere(f"there is no {program} on this machine")
    return Path(found).parent


def install(home: Path, packages: tuple[str, ...]) -> None:
    done = home / "installed"
    if done.exists():
        return
    venv.create(home, with_pip=True)
    pip = [str(home / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    try:
        subprocess.run(
            [*pip, *packages], check=True, capture_output=True, timeout=INSTALL_SECONDS, text=True
        )
    except subprocess.TimeoutExpired:
        raise NotHere(f"did not install within {INSTALL_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise NotHere(f"did not install: {error.stderr.strip().splitlines()[-1]}") from None
    done.touch()


def version_of(home: Path, package: str) -> str:
    script = f"from importlib.metadata import version; print(version({package!r}))"
    command = [str(home / "bin" / "python"), "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
