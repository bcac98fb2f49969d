"""Writes to a store of objects and is killed, over and over: `python -m … <directory> <seed>
<rounds>`.

Each round forks a writer that opens the store and writes by several threads at once: puts that are
kept in records and in files, over each other, copies, uploads in parts, deletes, and data that is
never kept. It tells of each before it is begun and after it has returned. At a random moment it
gets SIGKILL. Then the store is opened again and must hold, of each key, what was acknowledged last
or what was under way, whole; and no file that no record needs.

A process of its own, so that it can fork freely: it has no threads.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import threading
import time
from pathlib import Path

from inservice.blobs.base import Attributes, Blobs
from inservice.blobs.disk import arriving, files
from inservice.blobs.disk.store import open_blobs
from inservice.objects import parts
from inservice.s3_errors import NoSuchKey

from .blobs_kit import BUCKET, bucket, check_records, got, keys, md5, put, put_part

ROUNDS_PER_STORE = 8
THREADS = 4
KEYS_OF_EACH = 5
OPENING_SECONDS_MAX = 0.05
WRITING_SECONDS_MAX = 0.02
DEADLINE_SECONDS = 120
NOTHING = "-"


class Writer:
    """One thread, with keys of its own."""

    def __init__(self, blobs: Blobs, number: int, seed: int, telling: int) -> None:
        self._blobs = blobs
        self._number = number
        self._draw = random.Random(seed * 100 + number)
        self._telling = telling

    def write(self) -> None:
        """Until killed."""
        while True:
            key = f"{self._number}/{self._draw.randrange(KEYS_OF_EACH)}"
            data = self._draw.randbytes(self._draw.choice((0, 100, 3000, 50_000)))
            kind = self._draw.choice(("put", "put", "parts", "copy", "delete", "discard"))
            getattr(self, f"_{kind}")(key, data)

    def _told(self, moment: str, key: str, what: str) -> None:
        os.write(self._telling, f"{moment} {key} {what}\n".encode())

    def _put(self, key: str, data: bytes) -> None:
        self._told("begin", key, md5(data))
        put(self._blobs, key, data)
        self._told("end", key, md5(data))

    def _parts(self, key: str, data: bytes) -> None:
        upload = self._blobs.begin_upload(BUCKET, key, Attributes(""), None, "COMPOSITE")
        given = [put_part(self._blobs, upload, number, data) for number in (1, 2)]
        put_part(self._blobs, upload, 3, b"not named")
        self._told("begin", key, md5(data + data))
        self._blobs.complete(upload, given, None)
        self._told("end", key, md5(data + data))

    def _copy(self, key: str, data: bytes) -> None:
        source = f"{self._number}/{self._draw.randrange(KEYS_OF_EACH)}"
        try:
            stored, content = self._blobs.stored(BUCKET, source), got(self._blobs, source)
        except NoSuchKey:
            return
        self._told("begin", key, md5(content))
        self._blobs.copy(stored, BUCKET, key, stored.attributes)
        self._told("end", key, md5(content))

    def _delete(self, key: str, data: bytes) -> None:
        self._told("begin", key, NOTHING)
        self._blobs.delete(BUCKET, [key])
        self._told("end", key, NOTHING)

    def _discard(self, key: str, data: bytes) -> None:
        self._blobs.incoming(BUCKET).write(data)  # and forgotten
        incoming = self._blobs.incoming(BUCKET)
        incoming.write(data)
        incoming.discard()


def write(directory: Path, seed: int, telling: int) -> None:
    """Write until killed."""
    blobs = open_blobs(directory)
    blobs.create_bucket(bucket())
    writers = [Writer(blobs, number, seed, telling) for number in range(THREADS)]
    threads = [threading.Thread(target=writer.write) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(telling, b"failed\n")


def run_and_kill(directory: Path, seed: int, lines: int, life_seconds: float) -> list[list[str]]:
    """What a writer told before it was killed: `life_seconds` after so many lines."""
    told, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write(directory, seed, telling)
        except BaseException as error:
            os.write(telling, f"failed: {error!r}\n".encode())
        os._exit(1)
    os.close(telling)
    text = b""
    while text.count(b"\n") < lines and b"failed" not in text:
        assert select.select([told], [], [], DEADLINE_SECONDS)[0], "the writer is stuck"
        text += os.read(told, 65536)
    time.sleep(life_seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while piece := os.read(told, 65536):
        text += piece
    os.close(told)
    assert b"failed" not in text, text.decode()[-500:]
    return [line.split() for line in text.decode().splitlines()]


def check(directory: Path, before: dict[str, str], told: list[list[str]]) -> dict[str, str]:
    """Hold the store against what was told; what each key is now."""
    may_be = {key: {digest} for key, digest in before.items()}
    for moment, key, digest in told:
        there = may_be.setdefault(key, {NOTHING})
        may_be[key] = {digest} if moment == "end" else there | {digest}
    blobs = open_blobs(directory)
    blobs.create_bucket(bucket())
    now = {key: md5(got(blobs, key)) for key in keys(blobs)}
    blobs.close()
    check_records(directory)
    assert now.keys() <= may_be.keys()
    for key, digests in may_be.items():
        assert now.get(key, NOTHING) in digests, f"{key}: lost, or a mixture"
    return now


def main(directory: Path, seed: int, rounds: int) -> None:
    arriving.IN_RECORD_BYTES = 1000
    parts.PART_BYTES_MIN = 0
    files.FORGOTTEN_AT_ONCE = 3
    draw = random.Random(seed)
    known: dict[str, str] = {}
    ended = 0
    place = directory
    for number in range(rounds):
        if number % ROUNDS_PER_STORE == 0:
            known, place = {}, directory / str(number)
        lines = draw.choice((0, 0, 1, 10, 40, 100))
        life = draw.uniform(0, WRITING_SECONDS_MAX if lines else OPENING_SECONDS_MAX)
        told = run_and_kill(place, seed + number, lines, life)
        known = check(place, known, told)
        ended += sum(1 for moment, *_ in told if moment == "end")
    sys.stdout.write(f"{ended}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
