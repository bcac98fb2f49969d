"""InService as a user runs it: `up --detach`, `env`, `down`, each a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

COMMAND_SECONDS = 120.0
"""`up` waits up to a minute for an answer, `down` up to a minute and a half for the drain."""

GONE_SECONDS = 10.0

DATA_DIR = "INSERVICE_DATA_DIR"

_CHOOSING = ("AWS_", "INSERVICE_")
"""Variables with these beginnings are the caller's own set-up and must not change the demo."""


class ServerFailed(Exception):
    """InService did not do as told; the message says what it said."""


class DemoServer:
    """One InService on a data directory of its own, on a free port."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def up(self) -> dict[str, str]:
        """Start it; the variables that point boto3 at it. Raises ServerFailed."""
        self._run("up", "--detach", "--port", "0")
        return exports(self._run("env"))

    def down(self) -> None:
        """Stop it. Raises ServerFailed."""
        self._run("down")

    def processes(self) -> list[psutil.Process]:
        """Every process that was started with this data directory in its environment, or by one
        that was: found without asking InService."""
        return [p for p in psutil.process_iter() if p.pid != os.getpid() and self._is_ours(p)]

    def left_behind(self) -> list[psutil.Process]:
        """What still runs although it was stopped, after `GONE_SECONDS` of patience."""
        deadline = time.monotonic() + GONE_SECONDS
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def last_log_lines(self, count: int = 15) -> str:
        """The end of the server's log, for when something failed."""
        try:
            lines = (self.data_dir / "logs" / "server.log").read_text().splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-count:])

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(DATA_DIR) == str(self.data_dir)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _run(self, *words: str) -> str:
        """One command of InService's. In a session of its own: Ctrl-C is for the demo, which then
        stops the server in order."""
        try:
            finished = subprocess.run(  # noqa: S603 - our own command, no shell
                [sys.executable, "-m", "inservice.cli.main", *words],
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                env={**_clean(os.environ), DATA_DIR: str(self.data_dir)},
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise ServerFailed(
                f"`inservice {words[0]}` was not done after {COMMAND_SECONDS:.0f} s."
            ) from late
        if finished.returncode:
            said = (finished.stderr or finished.stdout).strip()
            raise ServerFailed(f"`inservice {words[0]}` ended with {finished.returncode}: {said}")
        return finished.stdout


def exports(script: str) -> dict[str, str]:
    """The variables that the output of `inservice env` would set in a shell."""
    words = (shlex.split(line) for line in script.splitlines())
    pairs = (line[1].partition("=") for line in words if line[:1] == ["export"])
    return {name: value for name, _, value in pairs}


def point_at(server: Mapping[str, str]) -> None:
    """Do to this process what `eval "$(inservice env)"` does to a shell, and ignore any proxy."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(server)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if not k.startswith(_CHOOSING)}
