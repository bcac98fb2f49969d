"""What a process imports before it has anything to do: most of what starting a server costs.

Held by names, not by time. Whoever adds one of these to a start has found a reason to pay for it at
each start, or imports it where it is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inservice import starting
from inservice.config import load

NEVER = {
    "alembic",  # for tables that are older than the code
    "boto3",
    "botocore",  # 200 modules with what it brings along: for models in S3
    "email",
    "hypothesis",
    "jsonschema",
    "numpy",
    "prometheus_client",  # brings a web server along
    "prompt_toolkit",
    "psutil",
    "pytest",
    "rich",
    "ruamel",
    "sklearn",
    "urllib3",
    "xml",
}
"""No process of a server has these by the time that it answers."""

RECORDS = {"cbor2", "cryptography", "sqlalchemy", "structlog"}
"""Control's alone."""

LOOPS = {"asyncio", "httptools", "ssl", "uvloop"}
"""Of what has no event loop nobody has these."""

SLOW = {"argparse", "ctypes", "dataclasses", "inspect", "json", "pathlib", "subprocess"}
"""Of the standard library: each is a few milliseconds, which a bare `--version` does not have."""

_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +([\w.]+)", re.MULTILINE)


def imported(*arguments: str) -> set[str]:
    """The packages that an interpreter with these arguments imports until its end."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True
    )
    return packages(done.stderr)


def packages(said: str) -> set[str]:
    """What an interpreter says that it imported; it also names what was tried and kept out."""
    names = set(_IMPORTED.findall(said)) - set(starting.UNWANTED)
    found = {name.partition(".")[0] for name in names}
    assert "inservice" in found, said
    return found


@pytest.mark.parametrize(
    ("module", "avoided"),
    [
        ("inservice.app.__main__", NEVER - {"email"}),  # SQLAlchemy asks for its own version
        ("inservice.gateway.worker", NEVER | RECORDS),
        ("inservice.storage.__main__", (NEVER | RECORDS) - {"xml", "email"}),  # S3 is spoken so
        ("inservice.supervision.__main__", NEVER | RECORDS | LOOPS),
        ("inservice.runtimes.process.daemon", NEVER | RECORDS | LOOPS),
    ],
)
def test_a_process_of_the_server_imports_what_it_needs(module: str, avoided: set[str]) -> None:
    there = imported("-m", "inservice.starting", module, "--help")
    assert not there & avoided


@pytest.mark.parametrize(
    ("words", "avoided"),
    [
        (["--version"], NEVER | RECORDS | LOOPS | SLOW | {"msgspec"}),
        ([], NEVER | RECORDS | LOOPS | SLOW | {"msgspec"}),
        (["up", "--help"], NEVER | RECORDS | LOOPS | {"msgspec"}),
        (["down", "--help"], NEVER | RECORDS | LOOPS | {"msgspec"}),
        (["status", "--help"], NEVER | RECORDS | LOOPS | {"msgspec"}),
    ],
)
def test_a_command_imports_what_it_needs(words: list[str], avoided: set[str]) -> None:
    assert not imported("-m", "inservice.cli.main", *words) & avoided


def test_a_whole_server_starts_without_what_it_may_never_need(tmp_path: Path) -> None:
    """On a new data directory, and on one that has records."""
    data_dir = tmp_path / "data"
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1", "HOME": str(tmp_path)}

    def cli(*words: str) -> None:
        command = [sys.executable, "-m", "inservice.cli.main", *words, f"--data-dir={data_dir}"]
        subprocess.run(command, env=environment, capture_output=True, check=True)

    for _ in range(2):
        cli("up", "--detach", "--port=0")
        assert not (load(data_dir=data_dir).run_dir / "forkserver.lock").exists(), "for no model"
        cli("down")
    said = (data_dir / "logs" / "server.log").read_text()
    names = _IMPORTED.findall(said)
    assert names.count("inservice.app.control") == 2, "its imports are in the log"
    assert names.count("inservice.gateway.front") == 4
    assert not packages(said) & (NEVER - {"email", "xml"})
    assert "sqlalchemy.dialects.postgresql" not in names
    assert "inservice.runtimes.process.forkserver" not in names


TOLD = """
import gc, sys
while_imported = gc.isenabled()
try:
    import rich
except ImportError as error:
    why = error
def main():
    print(sys.argv, while_imported, gc.isenabled(), gc.get_freeze_count() > 0, why)
    return 7
"""


def test_the_module_finds_its_arguments_and_says_how_it_ended(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(TOLD)
    done = subprocess.run(
        [sys.executable, "-m", "inservice.starting", "told", "--a", "b"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("['told', '--a', 'b'] False True True ")
    assert "rich" in done.stdout
