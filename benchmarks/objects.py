"""What the store of objects costs by itself, in CPU: no network, no signature, no other process.

    python -m benchmarks.objects [--directory /var/tmp] [--keys 1000000]

Of a put that is CPU of the process, its share of the kernel's for the syncs included; `wall` says
what the disk adds. `syncs saved` is the part of the puts that shared another one's commit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from inservice.blobs.base import Attributes, Bucket, Checksum
from inservice.blobs.disk.database import Change
from inservice.blobs.disk.objects import write
from inservice.blobs.disk.rows import ObjectRow, encode
from inservice.blobs.disk.store import DiskBlobs, open_blobs

BUCKET = "benchmark"
CHUNK = os.urandom(256 * 1024)
ATTRIBUTES = Attributes(
    "d41d8cd98f00b204e9800998ecf8427e",
    {"Content-Type": "application/octet-stream"},
    {"mtime": "1700000000"},
    {},
    Checksum("CRC64NVME", "AAAAAAAAAAA="),
)


def cpu() -> float:
    """Seconds of the processor that this process has had."""
    times = os.times()
    return times.user + times.system


def put(blobs: DiskBlobs, key: str, size: int) -> None:
    incoming = blobs.incoming(BUCKET)
    left = size
    while left:
        incoming.write(CHUNK[: min(left, len(CHUNK))])
        left -= min(left, len(CHUNK))
    blobs.keep(BUCKET, key, incoming, ATTRIBUTES)


def get(blobs: DiskBlobs, key: str) -> int:
    reading = blobs.read(BUCKET, key)
    size = sum(len(chunk) for chunk in reading.chunks(0, reading.stored.size))
    reading.close()
    return size


def say(what: str, cpu_us: float, wall_us: float, more: str = "") -> None:
    print(f"{what:<42}{cpu_us:>12,.0f}{wall_us:>12,.0f}   {more}", flush=True)


def measure(what: str, count: int, do: Callable[[int], object], more: str = "") -> None:
    """One after the other."""
    began, wall = cpu(), time.perf_counter()
    for number in range(count):
        do(number)
    say(what, (cpu() - began) / count * 1e6, (time.perf_counter() - wall) / count * 1e6, more)


def one_by_one(blobs: DiskBlobs, size: int) -> None:
    """By one thread."""
    measure(f"put {size:,} bytes", 500, lambda n: put(blobs, f"{size}/{n}", size))
    measure(f"get {size:,} bytes", 2000, lambda n: get(blobs, f"{size}/{n % 500}"))


def together(blobs: DiskBlobs, threads: int, count: int, size: int) -> None:
    """By so many threads at once."""

    def work(name: int) -> None:
        for number in range(count // threads):
            put(blobs, f"together/{size}/{name}/{number}", size)

    commits = blobs._kit.database.counters.commits
    workers = [threading.Thread(target=work, args=(name,)) for name in range(threads)]
    began, wall = cpu(), time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spent, passed = cpu() - began, time.perf_counter() - wall
    shared = 1 - (blobs._kit.database.counters.commits - commits) / count
    what = f"put {size:,} bytes, {threads} threads"
    say(what, spent / count * 1e6, passed / count * 1e6, f"{shared:.0%} of the syncs saved")


def fill(blobs: DiskBlobs, count: int) -> None:
    """So many keys of one data, in ten prefixes."""
    put(blobs, "one", 100)

    def some(first: int, last: int) -> Callable[[Change], None]:
        def make(change: Change) -> None:
            bucket, data = change.one("SELECT bucket, data FROM objects WHERE size = 100") or (0, 0)
            for number in range(first, last):
                key = f"{number * 10 // count}/models/{number:09}/model.tar.gz".encode()
                row = ObjectRow(key, 100, 1_700_000_000_000, data, None, encode(ATTRIBUTES), "")
                write(change, bucket, row)
            change.objects += last - first

        return make

    for first in range(0, count, 50_000):
        blobs._kit.database.change(some(first, min(first + 50_000, count)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--keys", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        blobs = open_blobs(Path(place) / "objects")
        blobs.create_bucket(Bucket(BUCKET, "000000000001", "us-east-1", time.time()))
        print(f"{'':<42}{'CPU µs':>12}{'wall µs':>12}")
        for size in (1024, 64 * 1024, 256 * 1024):
            one_by_one(blobs, size)
        together(blobs, 16, 3200, 1024)
        together(blobs, 16, 800, 256 * 1024)
        large = 100 * 1024 * 1024
        measure("put 100 MiB", 5, lambda n: put(blobs, f"large/{n}", large))
        measure("get 100 MiB", 5, lambda n: get(blobs, f"large/{n}"))
        measure("MD5 of 100 MiB, for comparison", 2, lambda _: md5(large))
        measure("put over, 1,024 bytes", 500, lambda n: put(blobs, f"1024/{n}", 1024))
        measure("delete", 500, lambda n: blobs.delete(BUCKET, [f"1024/{n}"]))
        fill(blobs, options.keys)
        more = f"of {blobs.usage().objects:,} keys"
        measure("page of 1,000 keys", 100, lambda n: blobs.page(BUCKET, f"{n % 10}/models/"), more)
        each = f"page of 10 prefixes of {options.keys // 10:,} keys"
        measure(each, 200, lambda _: blobs.page(BUCKET, "", "/"))
        measure(
            "page of 1,000 prefixes of one key",
            50,
            lambda n: blobs.page(BUCKET, f"{n % 10}/models/", "/"),
        )
        measure("head", 2000, lambda _: blobs.stored(BUCKET, "0/models/000000007/model.tar.gz"))
        measure("usage", 2000, lambda _: blobs.usage())
        blobs.close()
        measure("open and close", 3, lambda _: open_blobs(Path(place) / "objects").close())


def md5(size: int) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    for _ in range(0, size, len(CHUNK)):
        digest.update(CHUNK)


if __name__ == "__main__":
    main()
