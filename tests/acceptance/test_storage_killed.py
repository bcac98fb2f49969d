"""The storage process is killed, replaced and cut off while clients write: nothing that was
answered is lost, and nothing is there by halves."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance.server import Server, is_running, run_cli
from tests.acceptance.test_storage import MIB, put, s3
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server.start(tmp_path_factory.mktemp("killed") / "data")
    yield started
    started.stop()


class Writers:
    """Clients that write under names of their own, and remember what was answered."""

    def __init__(self, server: Server, bucket: str, count: int = 3) -> None:
        self.answered: dict[str, bytes] = {}
        """By key, the digest of what was answered to be there."""
        self.tried: dict[str, set[bytes]] = {}
        self.wrong: list[str] = []
        self._server, self._bucket = server, bucket
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=[n]) for n in range(count)]

    def _write(self, number: int) -> None:
        client = s3(self._server, retries={"total_max_attempts": 1}, read_timeout=60)
        turn = 0
        while not self._over.is_set():
            turn += 1
            key = f"{number}/{turn % 20}"
            body = os.urandom(64) if turn % 5 else os.urandom(MIB)
            digest = hashlib.sha256(body).digest()
            self.tried.setdefault(key, set()).add(digest)
            try:
                client.put_object(Bucket=self._bucket, Key=key, Body=body)
            except (ClientError, BotoCoreError) as error:
                self._judge(error)
                # It may be there, or not: from here on either is right.
                self.answered.pop(key, None)
            else:
                self.answered[key] = digest
                self.tried[key] = {digest}

    def _judge(self, error: Exception) -> None:
        """A client that is cut off is told to come again, and nothing else."""
        if isinstance(error, ClientError) and error.response["Error"]["Code"] not in (
            "ServiceUnavailable",
            "503",
        ):
            self.wrong.append(str(error))

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def more(self) -> None:
        """Wait until more was answered, by whoever."""
        before = dict(self.answered)
        wait_until(lambda: len(set(self.answered.items()) - set(before.items())) > 5)


def check(client: Any, bucket: str, writers: Writers) -> None:
    """What was answered is there, and whatever is there is what somebody sent, whole."""
    there = {
        each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"], ChecksumMode="ENABLED")
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for each in page.get("Contents", ())
    }
    digests = {key: hashlib.sha256(got["Body"].read()).digest() for key, got in there.items()}
    assert {key: digests.get(key) for key in writers.answered} == writers.answered
    for key, digest in digests.items():
        assert digest in writers.tried[key]


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_nothing_that_was_answered_is_lost_in_a_kill(killed: Server, kills: int) -> None:
    client, bucket = s3(killed), f"kills-{kills}"
    client.create_bucket(Bucket=bucket)
    with Writers(killed, bucket) as writers:
        for _ in range(kills):
            writers.more()
            killed.kill("storage")
            writers.more()
    assert writers.wrong == []
    check(client, bucket, writers)


def test_a_reload_and_a_restart_lose_nothing(killed: Server) -> None:
    client, bucket = s3(killed), "replaced"
    client.create_bucket(Bucket=bucket)
    before = killed.processes()
    with Writers(killed, bucket) as writers:
        for command in ("reload", "restart"):
            writers.more()
            done = run_cli(command, data_dir=killed.data_dir)
            assert done.returncode == 0, done.stderr
            writers.more()
    assert writers.wrong == []
    check(client, bucket, writers)
    after = killed.processes()
    assert after["storage"] != before["storage"]
    assert after.keys() == before.keys()
    assert not is_running(before["storage"])


def test_objects_are_served_while_control_is_gone(killed: Server) -> None:
    client = s3(killed)
    client.create_bucket(Bucket="alone")
    control = killed.processes()["control"]
    os.kill(control, signal.SIGSTOP)
    try:
        assert put(client, "alone")
        assert client.get_object(Bucket="alone", Key="k")["Body"].read() == b""
    finally:
        os.kill(control, signal.SIGCONT)
    killed.kill_control()
    assert put(client, "alone")


def test_an_upload_that_breaks_off_is_nowhere(killed: Server) -> None:
    client = s3(killed, signature_version="s3v4")
    client.create_bucket(Bucket="broken")
    url = urlsplit(client.generate_presigned_url("put_object", {"Bucket": "broken", "Key": "half"}))
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
    for body in (b"", bytes(1000), bytes(3 * MIB)):
        with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
            connection.sendall(f"{head}Content-Length: {4 * MIB}\r\n\r\n".encode() + body)
    assert client.list_objects_v2(Bucket="broken")["KeyCount"] == 0
    wait_until(lambda: not held(killed))
    assert client.list_objects_v2(Bucket="broken")["KeyCount"] == 0


def held(server: Server) -> list[Path]:
    """Files of data that no object has, of the largest sizes."""
    client = s3(server)
    known = sum(
        each["Size"]
        for bucket in client.list_buckets()["Buckets"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"])
        for each in page.get("Contents", ())
    )
    files = [path for path in (server.data_dir / "storage" / "data").rglob("*") if path.is_file()]
    return files if sum(path.stat().st_size for path in files) > known else []


def test_when_the_server_stops_nothing_is_left(start_server: Callable[..., Server]) -> None:
    server = start_server()
    client = s3(server)
    client.create_bucket(Bucket="kept")
    assert put(client, "kept")
    storage = server.processes()["storage"]
    server.stop()
    assert not is_running(storage)
    server.start_again()
    assert s3(server).get_object(Bucket="kept", Key="k")["Body"].read() == b""


def test_a_supervisor_that_is_killed_leaves_no_storage_behind(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    processes = server.processes()
    os.kill(processes["supervisor"], signal.SIGKILL)
    wait_until(lambda: not is_running(processes["storage"]))
    server.start_again()
    s3(server).create_bucket(Bucket="again")
