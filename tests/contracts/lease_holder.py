"""A process that has a store open and does as it is told: `python -m … <url> <key file>`.

A line in is a command, a line out is what came of it: `kept`, or the name of the error.

    write NAME    a transaction that adds a model
    begin NAME    the same, up to its commit; `commit` ends it
    confirm       ask whether the lease is still held
    read NAME     whether there is such a model
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from inservice.errors import AwsError, ServiceUnavailable
from inservice.store.base import Store
from inservice.store.drivers.database import open_store

from .store_records import ACCOUNT, REGION, model


def main(url: str, key_file: Path) -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    store = open_store(url, key_file=key_file)
    lost: list[bool] = []
    store.holding.on_lost(lambda: lost.append(True))
    say(f"epoch {store.holding.lease.epoch}")
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        say(f"{outcome(store, command, name)}{' lost' if lost else ''}")


def outcome(store: Store, command: str, name: str) -> str:
    doing: dict[str, Callable[[], None]] = {
        "write": lambda: write(store, name),
        "begin": lambda: write(store, name, wait=True),
        "confirm": store.confirm,
        "read": lambda: read(store, name),
    }
    try:
        doing[command]()
    except (AwsError, ServiceUnavailable) as error:
        return type(error).__name__
    return "kept"


def write(store: Store, name: str, *, wait: bool = False) -> None:
    with store.transaction() as tx:
        tx.models.add(model(name))
        if wait:
            say("begun")
            assert sys.stdin.readline().strip() == "commit"


def read(store: Store, name: str) -> None:
    with store.reading() as records:
        records.models.get(ACCOUNT, REGION, name)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1], Path(sys.argv[2]))
