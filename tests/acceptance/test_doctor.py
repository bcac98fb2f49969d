"""`inservice doctor`: each thing that goes wrong in a shell is found, and what to do is said."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server, run_cli, run_here, run_in_this_shell
from tests.waiting import PATIENCE_SECONDS


class Seen:
    """What it told."""

    def __init__(self, ran: subprocess.CompletedProcess[str]) -> None:
        document = json.loads(ran.stdout)
        self.code, self.ok = ran.returncode, document["Ok"]
        self.findings: list[dict[str, str]] = document["Findings"]

    def of(self, about: str) -> list[str]:
        return [each["Level"] for each in self.findings if each["About"] == about]

    def problems(self) -> dict[str, str]:
        return {
            each["About"]: f"{each['Told']} → {each['Advice']}"
            for each in self.findings
            if each["Level"] == "problem"
        }


Look = Callable[..., Seen]


@pytest.fixture
def seen(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """In a shell with the variables of `inservice env`, or others, of a user without any."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "INSERVICE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    python = program(tmp_path / "python", "{}")

    def look(*words: str, data_dir: Path | None = None, **environment: str) -> Seen:
        own = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "config")}
        given = {"PATH": str(tmp_path), **own, **env(server), **environment}
        with monkeypatch.context() as patched:
            for name, value in given.items():
                patched.setenv(name, value)
            words = ("--output=json", f"--python={python}", *words)
            return Seen(run_in_this_shell("doctor", *words, data_dir=data_dir or server.data_dir))

    return look


@functools.cache
def _variables(url: str, data_dir: Path) -> dict[str, str]:
    told = json.loads(run_here("env", "--output=json", data_dir=data_dir).stdout)
    assert told["AWS_ENDPOINT_URL"] == url
    return {name: value for name, value in told.items() if value is not None}


def env(server: Server) -> dict[str, str]:
    """What `inservice env` sets."""
    return _variables(server.url, server.data_dir)


def program(path: Path, says: str) -> str:
    """One that prints this, whatever it is asked."""
    path.write_text(f"#!/bin/sh\n/bin/cat <<'E'\n{says}\nE\n")
    path.chmod(0o755)
    return str(path)


def test_nothing_is_wrong_after_env(server: Server, seen: Look) -> None:
    found = seen()
    assert (found.code, found.ok, found.problems()) == (0, True, {})
    key = next(each for each in found.findings if each["About"] == "key")
    assert key["Told"].endswith("arn:aws:iam::000000000000:root")


def test_it_is_told_in_lines(server: Server) -> None:
    text = run_cli("doctor", data_dir=server.data_dir).stdout
    assert f"ok       server: {server.url}" in text
    assert "\n         → eval" in text


WRONG: list[tuple[str, dict[str, str], str, str]] = [
    ("nothing is set", {"AWS_ENDPOINT_URL": ""}, "address", "lead to AWS"),
    (
        "addresses are ignored",
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        "configuration",
        "unset AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    ),
    (
        "one service goes elsewhere",
        {"AWS_ENDPOINT_URL_STS": "https://sts.us-east-1.amazonaws.com"},
        "address",
        "sts lead to AWS",
    ),
    ("a token of before", {"AWS_SESSION_TOKEN": "old"}, "key", "unset AWS_SESSION_TOKEN"),
    ("somebody else's key", {"AWS_ACCESS_KEY_ID": "AKIAELSE"}, "key", "does not take it"),
    ("half a key", {"AWS_SECRET_ACCESS_KEY": ""}, "key", "missing"),
    ("a proxy", {"HTTP_PROXY": "http://proxy.invalid:1"}, "proxy", "export NO_PROXY="),
    ("a profile that is not there", {"AWS_PROFILE": "gone"}, "configuration", "gone"),
    ("a bundle that is not there", {"AWS_CA_BUNDLE": "/gone"}, "certificates", "AWS_CA_BUNDLE"),
    ("no region", {"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}, "region", "none is set"),
    ("nobody there", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "reached", "does not answer"),
]


@pytest.mark.parametrize(
    ("changed", "about", "why"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG]
)
def test_what_is_wrong_is_found(seen: Look, changed: dict[str, str], about: str, why: str) -> None:
    found = seen(**changed)
    assert (found.code, found.ok) == (1, False)
    assert why in found.problems()[about]


def test_a_configuration_that_ignores_addresses(seen: Look, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nignore_configured_endpoint_urls = true\n")
    found = seen()
    assert "take the line out" in found.problems()["configuration"]


def test_a_profile_s_address_that_does_not_count(seen: Look, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://elsewhere:1\n")
    found = seen()
    assert found.code == 0
    assert found.of("configuration") == ["note"]


def test_a_storage_of_its_own_is_no_fault(seen: Look) -> None:
    with clock(0) as other:
        found = seen(AWS_ENDPOINT_URL_S3=other)
    assert sorted(found.of("address")) == ["note", "ok"]
    assert found.problems() == {}


def test_no_server(seen: Look, tmp_path: Path) -> None:
    found = seen(data_dir=tmp_path)
    assert found.code == 1
    assert "inservice up --detach" in found.problems()["server"]


def test_inside_exec_everything_leads_here(server: Server, tmp_path: Path) -> None:
    inservice = [sys.executable, "-m", "inservice.cli.main"]
    where = f"--data-dir={server.data_dir}"
    ran = subprocess.run(
        [*inservice, "exec", where, "--", *inservice, "doctor", where, "--output=json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (ran.returncode, Seen(ran).problems()) == (0, {}), ran.stderr


# ── clocks ──────────────────────────────────────────────────────────────────────────────────────
@contextmanager
def clock(off: float) -> Iterator[str]:
    """A server whose clock is off; its URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", formatdate(time.time() + off, usegmt=True))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    there = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=there.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{there.server_port}"
    finally:
        there.shutdown()
        thread.join()
        there.server_close()


@pytest.mark.parametrize(
    ("off", "level"), [(0.0, "ok"), (90.0, "note"), (-90.0, "note"), (900.0, "problem")]
)
def test_clocks_are_compared(seen: Look, off: float, level: str) -> None:
    with clock(off) as url:
        found = seen(AWS_ENDPOINT_URL=url)
    assert found.of("clock" if off else "reached") == [level]


# ── versions ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("versions", "levels"),
    [
        ({"boto3": "1.27.0", "botocore": "1.30.9"}, {"boto3": "problem"}),
        ({"botocore": "1.30.0"}, {"botocore": "problem"}),
        ({"boto3": "1.28.0", "botocore": "1.31.0"}, {"python": "ok"}),
        ({"boto3": "1.43.0", "sagemaker": "2.257.1"}, {"python": "ok", "sagemaker": "note"}),
        ({"boto3": "1.43.0", "sagemaker": "3.1.0.dev0"}, {"python": "ok"}),
        ({}, {"python": "ok"}),
    ],
)
def test_clients_that_know_no_address(
    seen: Look, tmp_path: Path, versions: dict[str, str], levels: dict[str, str]
) -> None:
    found = seen(f"--python={program(tmp_path / 'other', json.dumps(versions))}")
    about = ("boto3", "botocore", "sagemaker", "python")
    told = {each["About"]: each["Level"] for each in found.findings if each["About"] in about}
    assert told == levels


@pytest.mark.parametrize(
    ("says", "level"),
    [
        ("aws-cli/1.28.9 Python/3.9", "problem"),
        ("aws-cli/2.12.7 Python/3.11.4 Linux/6.1 exe/x86_64", "problem"),
        ("aws-cli/1.29.0 Python/3.9", "ok"),
        ("aws-cli/2.13.0 Python/3.11", "ok"),
        ("nonsense", "note"),
    ],
)
def test_aws_s_command_line(seen: Look, tmp_path: Path, says: str, level: str) -> None:
    program(tmp_path / "aws", says)
    assert seen().of("aws") == [level]


def test_a_python_that_does_not_run(seen: Look) -> None:
    assert "--python" in seen("--python=/nowhere").problems()["python"]
