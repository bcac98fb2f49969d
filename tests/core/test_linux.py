"""What we read of Linux, held against a library that reads the same."""

from __future__ import annotations

import os
import subprocess

import psutil

from inservice.linux import born_at


def test_a_birth_is_told_to_the_digit_as_psutil_tells_it() -> None:
    """It is a part of names on disk that an earlier version wrote with psutil."""
    for pid in (1, os.getpid(), os.getppid()):
        assert born_at(pid) == psutil.Process(pid).create_time()


def test_who_is_gone_has_no_birth() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert born_at(gone.pid) == 0.0


def test_a_name_may_hold_brackets_and_spaces() -> None:
    with subprocess.Popen(
        ["bash", "-c", "echo ') 1 2 (' > /proc/self/comm; echo ready; read"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as named:
        assert named.stdout is not None
        assert named.stdout.readline() == b"ready\n"
        assert born_at(named.pid) == psutil.Process(named.pid).create_time()
        named.kill()
