"""Writes to a SQLite store and is killed, over and over: `python -m … <directory> <seed> <rounds>`.

Each round forks a writer that opens the store (making it, in a new directory), writes transactions
that touch several tables, and tells each one after it has returned. At a random moment it gets
SIGKILL. Then the store is opened again, which checks the file, and must hold all that was told, at
most the one transaction that was under way besides, and no transaction in part.

A process of its own, so that it can fork freely: it has no threads.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import alembic.command  # noqa: F401 - so that no writer spends its short life importing it
import structlog

from inservice.hosting.arn import parse_arn
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.store.listing import ListQuery

from .store_records import ACCOUNT, REGION, creation, model

ROUNDS_PER_DATABASE = 6
OPENING_SECONDS_MAX = 0.06  # in which a store is made or opened
COMMIT_SECONDS_MAX = 0.005  # in which a transaction or two are written
DEADLINE_SECONDS = 30


def open_in(directory: Path) -> Store:
    return open_store(f"sqlite:///{directory / 'store.db'}", key_file=directory / "store.key")


def write(directory: Path, first: int, told: int) -> None:
    """Write until killed."""
    store = open_in(directory)
    number = first
    while True:
        name = f"m{number}"
        arn = parse_arn(model(name).arn)
        assert arn is not None
        with store.transaction() as tx:
            tx.models.add(model(name))
            tx.tags.set(arn, {"number": str(number)})
            tx.endpoints.add(creation(name))
        os.write(told, b"%d\n" % number)
        number += 1


def run_and_kill(directory: Path, first: int, lines: int, life_seconds: float) -> list[int]:
    """The numbers that a writer told of before it was killed: `life_seconds` after so many."""
    told, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write(directory, first, telling)
        except BaseException as error:
            os.write(telling, f"failed: {error!r}\n".encode())
        os._exit(1)
    os.close(telling)
    text = b""
    while text.count(b"\n") < lines:
        assert select.select([told], [], [], DEADLINE_SECONDS)[0], "the writer is stuck"
        text += os.read(told, 65536)
    time.sleep(life_seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while piece := os.read(told, 65536):
        text += piece
    os.close(told)
    return [int(line) for line in text.split()]


def check(directory: Path, told: set[int]) -> set[int]:
    """Hold the store against what was told; what it has."""
    store = open_in(directory)
    with store.reading() as records:
        lines = records.models.page(ListQuery(ACCOUNT, REGION, limit=100_000)).lines
        kept = {int(line.name[1:]) for line in lines}
        endpoints = {int(name[1:]) for _, _, name in records.endpoints.names()}
        for line in lines:
            arn = parse_arn(line.arn)
            assert arn is not None
            assert records.tags.of(arn) == {"number": line.name[1:]}, "a part of a transaction"
    store.close()
    assert endpoints == kept, "a part of a transaction"
    assert told <= kept, f"lost: {sorted(told - kept)}"
    assert len(kept - told) <= 1, f"never told, and yet there: {sorted(kept - told)}"
    return kept


def main(directory: Path, seed: int, rounds: int) -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    draw = random.Random(seed)
    known: set[int] = set()
    made = 0
    for number in range(rounds):
        if number % ROUNDS_PER_DATABASE == 0:
            known, place = set(), directory / str(number)
        lines = draw.choice((0, 0, 1, 2, 5, 10))
        life = draw.uniform(0, COMMIT_SECONDS_MAX if lines else OPENING_SECONDS_MAX)
        told = run_and_kill(place, max(known, default=0) + 1, lines, life)
        known = check(place, known | set(told))
        made += len(told)
    sys.stdout.write(f"{made}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
