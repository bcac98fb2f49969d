"""The server of a data directory, as its files tell: where it answers and with which key."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inservice import config
from inservice.cli.spelling import OwnParser
from inservice.cli.target import Target, read_files
from inservice.config import BadSetting, Settings

POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Running(Target):
    """A server that answers: where it is, how to sign for it, and which process it is."""

    pid: int  # of the supervisor
    account_id: str
    host: str = ""  # what it listens on; empty: as in the URL


def arguments(command: str, summary: str) -> argparse.ArgumentParser:
    """A parser with the option that all server commands share."""
    parser = OwnParser(prog=f"inservice {command}", description=summary)
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the server keeps its records (default: $INSERVICE_DATA_DIR, "
        "else the user's data directory)",
    )
    return parser


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that a server of these options has. Exits with 1 and the words for a bad one."""
    try:
        return config.load(data_dir=options.data_dir)
    except BadSetting as bad:
        raise SystemExit(f"inservice: {bad}") from None


def drain_seconds(settings: Settings) -> float:
    """What the server that runs has: it may have been started with another environment."""
    try:
        return config.from_document(json.loads(settings.settings_file.read_bytes())).drain_seconds
    except (OSError, ValueError, TypeError, KeyError):
        return settings.drain_seconds


def supervisor_pid(data_dir: Path) -> int | None:
    """The process that holds the data directory, if one does: the lock says so, not a pid file."""
    try:
        lock = os.open(data_dir / "lock", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(lock, 32) or b"0") or None
    finally:
        os.close(lock)
    return None


def find(settings: Settings) -> Running | None:
    """The server that answers on this data directory."""
    pid = supervisor_pid(settings.data_dir)
    if pid is None:
        return None
    with contextlib.suppress(OSError, ValueError):  # it has not written them yet
        running = Running(**read_files(settings.data_dir))
        return running if running.pid == pid else None  # else a killed server left the file
    return None


def wait_until_it_answers(
    settings: Settings, seconds: float, gone: Callable[[], bool]
) -> Running | None:
    """Poll until control has said that it serves, `gone()` is true, or the time is up."""
    deadline = time.monotonic() + seconds
    file = settings.endpoint_file
    while time.monotonic() < deadline:
        # Looking for the file first is a tenth of the work, fifty times a second.
        if file.exists() and (running := find(settings)):
            return running
        if gone():
            return None
        time.sleep(POLL_SECONDS)
    return None
