"""S3 on our port beside MiniStack and SeaweedFS, in one run and in turns.

    python -m benchmarks.s3 [--homes DIRECTORY] [--requests 2000] [--rounds 3]

CPU is that of all processes of a server, read from the kernel before and after, so it does not
depend on what else the machine is doing. Requests are signed beforehand, each for a key of its own.
SeaweedFS checks their signatures as we do; MiniStack checks none and keeps objects in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import io
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import uvloop
from benchmarks.s3.servers import S3Server, ministack, ours, seaweedfs
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "bench"
SMALL = os.urandom(1024)
ONES = (("put 1 KB, µs", "PUT", SMALL), ("get 1 KB, µs", "GET", b""))
LARGE_BYTES = 100 * 2**20
LISTED = 10_000
CONNECTIONS = 8
READY_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--homes", type=Path, default=Path.home() / ".cache/inservice-benchmarks")
    parser.add_argument("--requests", type=int, default=2000, help="small ones, in each round")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turns")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="inservice-bench-") as name,
        contextlib.ExitStack() as s,
    ):
        place = Path(name)
        servers = [
            s.enter_context(ours(place)),
            s.enter_context(seaweedfs(options.homes, place / "seaweedfs")),
            s.enter_context(ministack(options.homes, place / "ministack")),
        ]
        clients = [client(server) for server in servers]
        for each in clients:
            ready(each)
        rows: dict[str, list[list[float]]] = {}
        for number in range(options.rounds):
            for column, (server, each) in enumerate(zip(servers, clients, strict=True)):
                for what, cost in round_of(server, each, number, options.requests):
                    rows.setdefault(what, [[] for _ in servers])[column].append(cost)
        for column, (server, each) in enumerate(zip(servers, clients, strict=True)):
            for what, cost in listing(server, each):
                rows.setdefault(what, [[] for _ in servers])[column].append(cost)
        show([server.name for server in servers], rows, bare(), least())
        for what, parts in apart(servers[0], options.requests):
            print(f"{what} of {servers[0].name}: {parts}")
        print("memory, MiB PSS: " + ", ".join(f"{s.name} {s.pss_mib():.0f}" for s in servers))
    return 0


def client(server: S3Server) -> Any:
    """boto3's, which tries nothing twice."""
    config = Config(
        s3={"addressing_style": "path"},
        retries={"max_attempts": 0},
        read_timeout=300,
        response_checksum_validation="when_required",  # it would be of this process
    )
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
        config=config,
    )


def ready(s3: Any) -> None:
    """Wait until there is a bucket."""
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            s3.create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return


def round_of(server: S3Server, s3: Any, number: int, count: int) -> Iterator[tuple[str, float]]:
    """Costs in CPU: microseconds for each small request, milliseconds for a large one."""
    keys = [f"small/{number}/{index:05}" for index in range(count)]
    for what, method, body in ONES:
        wires = [signed(server, method, key, body) for key in keys]
        yield what, costs(server, partial(send_all, server, wires)) / count * 1e6
    large = os.urandom(2**20) * (LARGE_BYTES // 2**20)
    yield "put 100 MB, ms", costs(server, lambda: put_large(s3, large)) * 1e3
    yield "get 100 MB, ms", costs(server, lambda: get_large(s3, large)) * 1e3


def listing(server: S3Server, s3: Any) -> Iterator[tuple[str, float]]:
    """Of ten thousand keys, in pages of a thousand."""
    wires = [signed(server, "PUT", f"listed/{index:05}", b"x") for index in range(LISTED)]
    send_all(server, wires)

    def all_pages() -> None:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="listed/")
        assert sum(page["KeyCount"] for page in pages) == LISTED

    yield "list 10,000 keys, ms", min(costs(server, all_pages) for _ in range(3)) * 1e3


def apart(server: S3Server, count: int) -> Iterator[tuple[str, str]]:
    """Which of our programs a small request costs what."""
    for what, method, body in ONES:
        wires = [signed(server, method, f"apart/{index:05}", body) for index in range(count)]
        before = server.cpu_by_part()
        send_all(server, wires)
        after = server.cpu_by_part()
        spent = {part: (after[part] - before.get(part, 0.0)) / count * 1e6 for part in after}
        yield what, ", ".join(f"{part} {cost:.0f}" for part, cost in sorted(spent.items()))


def put_large(s3: Any, data: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key="large", Body=io.BytesIO(data), ChecksumAlgorithm="SHA256")


def get_large(s3: Any, data: bytes) -> None:
    body = s3.get_object(Bucket=BUCKET, Key="large")["Body"]
    assert sum(len(part) for part in body.iter_chunks(2**20)) == len(data)


def costs(server: S3Server, work: Callable[[], None]) -> float:
    """CPU-seconds of the server."""
    before = server.cpu_seconds()
    work()
    return server.cpu_seconds() - before


def bare() -> dict[str, float]:
    """What hashing (MD5 and SHA-256) and one copy to a file cost, in CPU-milliseconds."""
    data = os.urandom(2**20)
    began = time.process_time()
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with tempfile.TemporaryFile() as file:
        for _ in range(LARGE_BYTES // len(data)):
            md5.update(data)
            sha256.update(data)
            file.write(data)
    return {"put 100 MB, ms": (time.process_time() - began) * 1e3}


def least() -> dict[str, float]:
    """What no server can do without, if it were one thread in C: to receive, hash, write and sync,
    and to read and send. In CPU-milliseconds of that thread; the client's are not in it."""
    with tempfile.TemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as listening:
        client = threading.Thread(target=_puts_and_gets, args=(listening.getsockname(),))
        client.start()
        connection, _ = listening.accept()
        with connection:
            began = time.thread_time()
            md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            left, buffer = LARGE_BYTES, memoryview(bytearray(2**18))
            while left:
                part = buffer[: connection.recv_into(buffer)]
                md5.update(part)
                sha256.update(part)
                file.write(part)
                left -= len(part)
            file.flush()
            os.fdatasync(file.fileno())
            put = time.thread_time() - began
            began = time.thread_time()
            for place in range(0, LARGE_BYTES, 2**18):
                connection.sendall(os.pread(file.fileno(), 2**18, place))
            get = time.thread_time() - began
        client.join()
    return {"put 100 MB, ms": put * 1e3, "get 100 MB, ms": get * 1e3}


def _puts_and_gets(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        data = os.urandom(2**20)
        for _ in range(LARGE_BYTES // len(data)):
            connection.sendall(data)
        while connection.recv(2**20):
            pass


def signed(server: S3Server, method: str, key: str, body: bytes) -> bytes:
    """A request, ready for the wire."""
    host = server.url.removeprefix("http://")
    headers = {"host": host, "content-length": str(len(body))} if body else {"host": host}
    request = AWSRequest(method, f"{server.url}/{BUCKET}/{key}", headers=headers, data=body)
    S3SigV4Auth(Credentials(server.key, server.secret), "s3", "us-east-1").add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([f"{method} /{BUCKET}/{key} HTTP/1.1", *lines, "", ""]).encode() + body


def send_all(server: S3Server, wires: Sequence[bytes]) -> None:
    """Each once, over a few connections that are kept."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    left = iter(wires)

    async def lane() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for wire in left:
            writer.write(wire)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{server.name}: {head.decode()}{await reader.read(1000)!r}")
            await reader.readexactly(length_of(head))
            if b"connection: close" in head.lower():
                writer.close()
                reader, writer = await asyncio.open_connection(host, int(port))
        writer.close()

    async def lanes() -> None:
        await asyncio.gather(*(lane() for _ in range(CONNECTIONS)))

    uvloop.run(lanes())


def length_of(head: bytes) -> int:
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    return int(lower[at : lower.index(b"\r", at)])


def show(
    names: Sequence[str], rows: dict[str, list[list[float]]], *floors: dict[str, float]
) -> None:
    """Medians, how many times ours each rival takes, and what hashing and copying cost alone."""
    heads = [f"{name:>22}" for name in names]
    print(f"{'CPU of the server':<24}" + "".join(heads) + "   bare  least")
    for what, columns in rows.items():
        medians = [statistics.median(column) for column in columns]
        cells = [f"{medians[0]:>22,.0f}"]
        cells += [f"{m:>14,.0f} {m / medians[0]:>5.1f} ×" for m in medians[1:]]
        cells += [f"{floor[what]:>7,.0f}" if what in floor else " " * 7 for floor in floors]
        print(f"{what:<24}" + "".join(cells).rstrip())


if __name__ == "__main__":
    raise SystemExit(main())
