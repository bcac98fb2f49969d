"""`inservice demo` as a newcomer runs it: it works, and whatever happens nothing is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from tests.waiting import PATIENCE_SECONDS, wait_until


@pytest.fixture
def place() -> Iterator[Path]:
    """A TMPDIR that shows what is left; pytest's own is too deep for sockets."""
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def environment(place: Path) -> dict[str, str]:
    """A caller whose own AWS set-up and proxy must not matter."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    return {
        **clean,
        "TMPDIR": str(place),
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_SESSION_TOKEN": "stale",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }


def start(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "inservice.cli.main", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environment),
    )


def left_behind(place: Path) -> list[psutil.Process]:
    """Processes that know the demo's directory; the demo itself has ended."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(str(place / "inservice-demo-") in word for word in words):
            found.append(process)
    return found


def test_the_demo_works_and_leaves_nothing(place: Path, environment: dict[str, str]) -> None:
    demo = start(environment)
    output, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    assert demo.returncode == 0, output
    assert "\x1b" not in output, "plain where nobody watches"
    assert re.search(r"Creating .*\n.*InService +\d+\.\d\d s", output)
    assert float(re.search(r"(\d+\.\d)% right", output)[1]) > 95  # type: ignore[index]
    assert re.search(r"[\d,]+/s, p50 \d+\.\d ms, p99 \d+\.\d ms", output)
    # An instance that is deaf to SIGTERM is killed only after its grace of 30 s.
    assert float(re.search(r"Delete .* (\d+\.\d\d) s", output)[1]) < 30  # type: ignore[index]
    assert re.search(r"all \d processes are gone", output)
    assert not left_behind(place)
    assert not list(place.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_its_server(
    place: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    demo = start(environment)
    seen = ""
    while "Creating" not in seen:
        line = demo.stdout.readline()  # type: ignore[union-attr]
        assert line, seen
        seen += line
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    assert demo.returncode == 130, seen + rest
    assert "processes are gone" in rest
    assert not left_behind(place)
    assert not list(place.iterdir())


def test_a_failure_is_told_and_nothing_is_left(place: Path, environment: dict[str, str]) -> None:
    """The server is killed in the middle, supervisor first."""
    demo = start(environment)
    seen = ""
    while "Connect" not in seen:
        line = demo.stdout.readline()  # type: ignore[union-attr]
        assert line, seen
        seen += line
    for process in left_behind(place):
        if "inservice.supervision" in " ".join(process.cmdline()):
            process.kill()
    rest, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    assert demo.returncode == 1, seen + rest
    assert "It works" not in rest
    wait_until(lambda: not left_behind(place))
