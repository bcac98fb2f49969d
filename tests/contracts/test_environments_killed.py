"""kill -9 of whoever builds an environment, or of whoever asked for it, at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inservice import linux
from inservice.images.environments import places, strays
from tests.contracts import wheelhouse
from tests.contracts.environments_kit import Host, builds_of, said, versions
from tests.waiting import wait_until

A_BUILD_SECONDS = 3.0
"""About what both builds take here: kills fall into all of it, and some after."""


def builders(control: int) -> list[int]:
    """The processes that build for a control."""
    return [
        pid
        for pid in linux.pids()
        if (stat := linux.process_stat(pid)) is not None
        and stat[linux.PARENT] == str(control).encode()
        and stat[linux.STATE] != b"Z"
    ]


def kept_apart(host: Host) -> list[int]:
    rooms = [path.name for path in (host.root / "building").glob("*")]
    return [pid for room in rooms for pid in strays.of(room)]


def killed_at_random(host: Host, seed: int) -> None:
    chance = random.Random(seed)
    control = subprocess.Popen(
        [sys.executable, "-m", "tests.contracts.environments_control", str(host.place)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with control:
        time.sleep(chance.uniform(0.3, A_BUILD_SECONDS))  # the moment is what is drawn
        started = builders(control.pid)
        if chance.random() < 0.5 and started:
            with contextlib.suppress(ProcessLookupError):  # it has just come to its end
                os.kill(started[0], signal.SIGKILL)
            control.wait()  # it has the build begun anew, and gets what it asked for
            assert control.returncode == 0
        else:
            control.kill()
        control.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
    wait_until(lambda: not kept_apart(host))


def whole(host: Host) -> None:
    """What has its name is whole: all that is in its lock can be imported."""
    for name in builds_of(host):
        record = places.Places(host.root).record(name)
        assert record is not None
        assert record.packages["tiny-framework"] == "1.2"
        python = host.root / name / "bin" / "python"
        program = "import tiny_framework, tiny_numbers, inservice.ids"
        subprocess.run([python, "-c", program], check=True, cwd="/")


def survives(place: Path, seed: int) -> None:
    host = Host(place)
    code = host.place / "code"
    code.mkdir()
    (code / "requirements.txt").write_text("slow\n")
    wheelhouse.sdist(host.house, "slow", at_build="time.sleep(0.3)")
    try:
        killed_at_random(host, seed)
        whole(host)
        python = host.have(code)
        assert versions(python, "slow", "tiny-framework") == ["1.0", "1.2"]
        assert said(python, "import slow; print(1)") == "1"
        assert not list((host.root / "building").iterdir())
        assert len(builds_of(host)) == 2
    finally:
        places.clear(host.root)


def without_rights(*command: str) -> subprocess.CompletedProcess[str]:
    """As the owner of files whom their modes bind, which root's rights would pass over."""
    if os.getuid() == 0:
        setpriv = shutil.which("setpriv") or pytest.skip("setpriv is not here")
        command = (setpriv, "--bounding-set=-all", "--inh-caps=-all", *command)
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_a_server_that_is_not_roots_builds_serves_and_removes(tmp_path: Path) -> None:
    host = Host(tmp_path / "host")
    code = host.place / "code"
    code.mkdir()
    (code / "requirements.txt").write_text("tiny-numbers<2\n")
    control = (sys.executable, "-m", "tests.contracts.environments_control", str(host.place))
    python = without_rights(*control).stdout
    assert without_rights(*control).stdout == python
    program = "import inservice.ids, tiny_numbers; print(tiny_numbers.version)"
    assert without_rights(python, "-c", program).stdout == "1.0\n"
    assert len(builds_of(host)) == 2
    assert not any((host.root / name).stat().st_mode & 0o222 for name in builds_of(host))
    without_rights(*control, "prune")
    assert builds_of(host) == set()
    assert not list((host.root / "removed").iterdir())


@pytest.mark.parametrize("seed", range(2))
def test_nothing_half_built_is_left_or_used(tmp_path: Path, seed: int) -> None:
    survives(tmp_path / "host", seed)


@pytest.mark.long
def test_nothing_half_built_is_left_or_used_whenever_it_is(tmp_path: Path) -> None:
    for seed in range(100, 150):
        survives(tmp_path / f"host-{seed}", seed)
        assert not (tmp_path / f"host-{seed}" / "environments").exists(), f"seed {seed}"
