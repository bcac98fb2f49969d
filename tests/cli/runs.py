"""Run one argument line, with AWS CLI or with ours, and keep what a user and a server can see."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from inservice.cli.main import main
from tests import rival
from tests.cli.lines import Line
from tests.cli.recorder import Recorder
from tests.cli.replies import FILES, REPLIES

RIVAL = str(rival.AWS)


def environment(directory: Path, line: Line) -> dict[str, str]:
    """The environment of a run: nothing of the machine's own AWS configuration."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "INSERVICE_")) and name not in ("PAGER", "NO_COLOR")
    }
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    return {
        **kept,
        **(keys if line.credentials else {}),
        "HOME": str(directory),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
        "AWS_MAX_ATTEMPTS": "1",
        **dict(line.env),
    }


def words_of(line: Line, url: str) -> list[str]:
    """The argument line with the server's address in it."""
    words = [word.replace("{url}", url) for word in line.words]
    base = ["--endpoint-url", url, "--region", "us-east-1"]
    return words if line.bare else [*words, *base]


def prepare(directory: Path) -> None:
    """Write the files that argument lines mention."""
    for name, content in FILES.items():
        (directory / name).write_bytes(content)


def run_rival(line: Line, server: Recorder, directory: Path) -> dict[str, Any]:
    """AWS CLI version 2."""
    server.play(REPLIES[line.reply])
    done = rival.run(words_of(line, server.url), environment(directory, line), directory)
    return _seen(done.returncode, done.stdout.decode(), done.stderr.decode(), server, directory)


def run_ours(line: Line, server: Recorder, directory: Path, patch: Any) -> dict[str, Any]:
    """Ours, in this process: `patch` is pytest's monkeypatch, for the environment it runs in."""
    server.play(REPLIES[line.reply])
    _enter(environment(directory, line), patch)
    patch.chdir(directory)
    patch.setattr(sys, "stdin", io.StringIO())
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words_of(line, server.url))
    return _seen(code, out.getvalue(), err.getvalue(), server, directory)


def _enter(wanted: Mapping[str, str], patch: Any) -> None:
    for name in set(os.environ) - set(wanted):
        patch.delenv(name)
    for name, value in wanted.items():
        patch.setenv(name, value)


def _seen(code: int, stdout: str, stderr: str, server: Recorder, directory: Path) -> dict[str, Any]:
    seen = {
        "exit": code,
        "stdout": _neutral(stdout, server, directory),
        "stderr": _neutral(stderr, server, directory),
        "requests": [dict(request) for request in server.requests],
    }
    outfile = directory / "out.bin"
    if outfile.exists():
        seen["outfile"] = outfile.read_bytes().decode("utf-8", "backslashreplace")
        outfile.unlink()
    return seen


def _neutral(text: str, server: Recorder, directory: Path) -> str:
    """The text without what changes from run to run."""
    text = text.replace(server.url, "{url}").replace(str(directory), "{home}")
    return re.sub(r"127\.0\.0\.1:\d+", "{address}", text)
