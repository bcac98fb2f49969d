"""`inservice model run`: a folder is served, started anew when a file changes, ended by Ctrl-C."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inservice.app.foreground import folder
from inservice.cli import model as models
from tests.waiting import wait_until

PROGRAM = """
import os

def model_fn(model_dir):
    return len(os.listdir(os.environ["SM_MODEL_DIR"]))

def transform_fn(model, body, content_type, accept):
    return f"WORD {model} {content_type} {body}", "text/plain"
"""


class Running:
    """The command, and what it has printed."""

    def __init__(self, *arguments: str | Path) -> None:
        self.data_dir = Path(arguments[0]).parent / "data"
        self._file = Path(arguments[0]).parent / f"printed.{os.getpid()}"
        self._output = self._file.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "inservice.cli.main", "model", "run", *map(str, arguments)],
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "INSERVICE_DATA_DIR": str(self.data_dir)},
            start_new_session=True,
        )

    @property
    def printed(self) -> str:
        return self._file.read_text()

    def says(self, pattern: str, times: int = 1) -> str:
        """Wait for it, and give the last."""
        wait_until(
            lambda: (
                len(re.findall(pattern, self.printed)) >= times or self.process.poll() is not None
            )
        )
        found = re.findall(pattern, self.printed)
        assert len(found) >= times, self.printed
        return str(found[-1])

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self._output.close()
        return status


@contextmanager
def running(*arguments: str | Path) -> Iterator[Running]:
    command = Running(*arguments, "--port", "0")
    try:
        yield command
    finally:
        command.end()


def model(directory: Path, word: str = "one") -> Path:
    (directory / "m" / "code").mkdir(parents=True, exist_ok=True)
    program = directory / "m" / "code" / "inference.py"
    program.write_text(PROGRAM.replace("WORD", word))
    return directory / "m"


def curl(line: str) -> str:
    told = subprocess.run(
        [*shlex.split(line), "--silent", "--show-error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return told.stdout


def test_a_folder_is_served_and_started_anew_when_it_changes(tmp_path: Path) -> None:
    here = model(tmp_path)
    (here / "request.csv").write_text("1,2")
    with running(here) as command:
        line = command.says(r"(?m)^  (curl .*)$")
        assert curl(line) == "one 2 text/csv 1,2"
        model(tmp_path, "two")
        command.says(r"has changed\.")
        command.says("Serving", times=2)
        assert curl(line) == "two 2 text/csv 1,2"
        (here / "weights").write_text("new")
        command.says("Serving", times=3)
        assert curl(line) == "two 3 text/csv 1,2"
        pid = command.process.pid
        assert command.end() == 0
        assert "Traceback" not in command.printed
        assert command.printed.endswith("Stopped.\n")
        assert not [line for line in _children_of(pid) if "modelserver" in line]


def packed(folder: Path, archive: Path) -> None:
    """Put an archive of a folder in the place of the one that is there."""
    fresh = archive.with_suffix(".fresh")
    with tarfile.open(fresh, "w:gz") as tar:
        tar.add(folder, ".")
    fresh.replace(archive)


def test_what_fails_is_said_with_what_to_do_and_mended_by_the_next_change(tmp_path: Path) -> None:
    """Here of an archive, which is served as a folder is."""
    here, archive = model(tmp_path), tmp_path / "model.tar.gz"
    (here / "code" / "inference.py").write_text("import a_module_that_nobody_has\n")
    packed(here, archive)
    with running(archive) as command:
        command.says("The model does not run: ModuleNotFoundError.*code/inference.py, line 1")
        command.says("a_module_that_nobody_has")
        command.says("Waiting for a change")
        packed(model(tmp_path), archive)
        assert curl(command.says(r"(?m)^  (curl .*)$")).startswith("one 1 application/json")


@pytest.mark.long
def test_what_is_no_archive_is_said_and_code_that_fails_in_a_folder(tmp_path: Path) -> None:
    here, archive = model(tmp_path), tmp_path / "model.tar.gz"
    archive.write_bytes(b"no archive")
    with running(archive) as command:
        command.says("Waiting for a change")
        packed(here, archive)
        assert curl(command.says(r"(?m)^  (curl .*)$")).startswith("one 1 application/json")
    (here / "code" / "inference.py").write_text("import a_module_that_nobody_has\n")
    with running(here) as command:
        command.says("The model does not run: ModuleNotFoundError.*code/inference.py, line 1")
        command.says("Waiting for a change")
        model(tmp_path)
        assert curl(command.says(r"(?m)^  (curl .*)$")).startswith("one 1 application/json")


def test_a_variable_reaches_the_model_and_those_of_the_shell_do_not(tmp_path: Path) -> None:
    here = model(tmp_path)
    program = "import os\ndef model_fn(d): return dict(os.environ)\n"
    program += "def transform_fn(m, b, c, a): return repr(m), 'text/plain'\n"
    (here / "code" / "inference.py").write_text(program)
    os.environ["A_SECRET_OF_THE_SHELL"] = "x"
    try:
        with running(here, "--env", "MINE=a=b") as command:
            told = curl(command.says(r"(?m)^  (curl .*)$"))
    finally:
        del os.environ["A_SECRET_OF_THE_SHELL"]
    assert "'MINE': 'a=b'" in told
    assert "A_SECRET_OF_THE_SHELL" not in told


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param(["m", "--image", "no image!"], 2, "no image!", marks=pytest.mark.long),
        (["m", "--image", "my-registry/mine:1"], 2, "my-registry/mine:1"),
        (["m", "--port", "TAKEN"], 1, "cannot be had"),
    ],
)
def test_what_cannot_begin_says_why(
    tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    model(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = subprocess.run(
            [sys.executable, "-m", "inservice.cli.main", "model", "run"]
            + [port if each == "TAKEN" else each for each in arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
        )
    assert finished.returncode == status, finished.stderr
    assert words in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nowhere"], 1, "is not there"),
        (["m", "--port", "70000"], 2, "no port"),
        (["m", "--env", "X"], 2, "NAME=VALUE"),
        (["s3://b/m"], 2, "not on this machine"),
    ],
)
def test_what_is_meant_otherwise_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    model(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        told = models.run(["run", *arguments])
    except SystemExit as left:
        told = int(left.code or 0)
    assert (told, words in capsys.readouterr().err) == (status, True)


def test_its_model_ends_with_it_however_it_ends(tmp_path: Path) -> None:
    with running(model(tmp_path)) as command:
        command.says("Serving")
        (child,) = [int(each.split()[0]) for each in _children_of(command.process.pid)]
        command.process.kill()
        command.process.wait()
        wait_until(lambda: not Path(f"/proc/{child}/exe").exists())


def _children_of(pid: int) -> list[str]:
    told = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.splitlines()


def test_what_tools_leave_is_no_change(tmp_path: Path) -> None:
    here = model(tmp_path)
    before = folder.seen(here)
    (here / "code" / "__pycache__").mkdir()
    (here / ".git").mkdir()
    (here / ".git" / "index").write_text("x")
    assert folder.seen(here) == before
    (here / "code" / "inference.py").write_text("x")
    assert str(here / "code" / "inference.py") in {p for p, *_ in folder.seen(here) - before}
