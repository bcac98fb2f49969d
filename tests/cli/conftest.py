"""A recording server and a way to run ours against it, in this process or in one of its own."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from inservice.cli.main import main
from tests.cli.recorder import Recorder, recording_server


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def server() -> Iterator[Recorder]:
    with recording_server() as recorder:
        yield recorder


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without AWS or InService settings, in an empty directory."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "INSERVICE_")) or name in ("NO_COLOR", "PAGER"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def inservice(clean: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process. stdin is empty unless text is given."""

    def run(*words: str | Path, stdin: str = "") -> Ran:
        out, err = _Stream(), _Stream()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = main(list(map(str, words)))
            except SystemExit as left:
                code = int(left.code or 0)
        return Ran(code, out.written(), err.written())

    return run


def on_a_terminal(words: list[str], *, err_apart: bool = False, **environment: str) -> Ran:
    """Run ours as a process with a terminal as stdout, and as stderr unless that is kept apart."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "inservice.cli.main", *words],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=subprocess.PIPE if err_apart else follower,
        env={**os.environ, **environment},
    ) as child:
        os.close(follower)
        shown = b""
        with suppress(OSError):  # Linux's way to say that the last writer closed a terminal
            while piece := os.read(leader, 65_536):
                shown += piece
        os.close(leader)
        err = b"" if child.stderr is None else child.stderr.read()
    return Ran(child.returncode, shown.decode().replace("\r\n", "\n"), err.decode())


class _Stream(io.TextIOWrapper):
    """A text stream with the bytes beneath, as stdout has."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="", write_through=True)

    def written(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("utf-8", "backslashreplace")


@pytest.fixture
def keys(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a region in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
