"""What hostile hands send to S3 at the server's port: an S3 error, while others are served; nothing
lost, nothing written outside of where the objects are."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.acceptance.server import Server
from tests.acceptance.test_storage import MIB, s3
from tests.waiting import wait_until

pytestmark = pytest.mark.long

BUCKET = "hostile"
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "'
    + "lol" * 100
    + '">'
    + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><Delete><Object><Key>&i;</Key></Object></Delete>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    "<Delete><Object><Key>&e;</Key></Object></Delete>"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server.start(tmp_path_factory.mktemp("hostile") / "data")
    s3(started).create_bucket(Bucket=BUCKET)
    s3(started).put_object(Bucket=BUCKET, Key="kept", Body=b"whole")
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def others_are_served(server: Server) -> Iterator[None]:
    storage = server.processes()["storage"]
    yield
    assert server.processes()["storage"] == storage
    assert s3(server).get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"whole"


def sent(
    server: Server, method: str, path: str, body: bytes = b"", more: Mapping[str, str] | None = None
) -> tuple[int, str, bytes]:
    """Status, code and body of the answer to a request that is signed as it stands."""
    keys = server.credentials
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    request = AWSRequest(
        method, server.url + path, data=body, headers={"Content-MD5": digest, **(more or {})}
    )
    mine = Credentials(keys["access_key_id"], keys["secret_access_key"])
    S3SigV4Auth(mine, "s3", server.region).add_auth(request)
    answer = urllib3.PoolManager(retries=False).urlopen(
        method, server.url + path, body=body, headers=dict(request.headers.items())
    )
    found = ET.fromstring(answer.data).find("Code") if answer.status >= 400 else None
    return answer.status, "" if found is None else found.text or "", answer.data


def held_mib(server: Server) -> float:
    return float(psutil.Process(server.processes()["storage"]).memory_info().rss / MIB)


@pytest.mark.parametrize("document", [BOMB, OUTSIDE])
def test_a_document_that_defines_entities_is_none(server: Server, document: str) -> None:
    before = held_mib(server)
    status, code, body = sent(server, "POST", f"/{BUCKET}?delete", document.encode())
    assert (status, code) == (400, "MalformedXML")
    assert b"root:" not in body
    assert held_mib(server) < before + 64


def test_two_hundred_thousand_keys_are_not_deleted_at_once(server: Server) -> None:
    keys = "".join(f"<Object><Key>{n}</Key></Object>" for n in range(200_000))
    document = f"<Delete>{keys}</Delete>".encode()
    status, code, _ = sent(server, "POST", f"/{BUCKET}?delete", document)
    assert (status, code) in ((400, "MalformedXML"), (400, "MaxMessageLengthExceeded"))


def test_two_hundred_thousand_parts_are_no_upload(server: Server) -> None:
    client = s3(server)
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    part = "<Part><PartNumber>%d</PartNumber><ETag>%032x</ETag></Part>"
    for count in (10_001, 200_000):
        parts = "".join(part % (n, n) for n in range(1, count + 1))
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        status, code, _ = sent(server, "POST", f"/{BUCKET}/parts?uploadId={upload}", document)
        assert status == 400, code
        assert code in ("MalformedXML", "InvalidPart", "MaxMessageLengthExceeded"), code
    assert client.list_objects_v2(Bucket=BUCKET, Prefix="parts")["KeyCount"] == 0


PATHS = [
    *("/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/shadow", "/..%2f..%2f..%2fescaped"),
    *("/%00", "/a%00b", "//", "/./.", "/" + "d/" * 500 + "e", "/%c3%28", "/" + "x" * 1025),
    *("/" + "%F0%9F%98%80" * 257, "/con.txt:stream", "/\\..\\..\\x", "/%5c%2e%2e%5cx"),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_key_is_never_a_path(server: Server, path: str) -> None:
    outside = set(around(server))
    status, code, _ = sent(server, "PUT", f"/{BUCKET}{path}", b"mine", {"If-None-Match": "*"})
    assert status in (200, 400, 403, 404, 405), code
    assert set(around(server)) == outside
    files = (server.data_dir / "storage" / "data").rglob("*")
    assert all(len(each.name) <= 64 and each.name.isascii() for each in files)


def around(server: Server) -> Iterator[Path]:
    """All files beside those of the objects, below the directory of the test."""
    for place, _, names in os.walk(server.data_dir.parent):
        if not Path(place).is_relative_to(server.data_dir / "storage"):
            yield from (Path(place, name) for name in names if not name.startswith("."))


def test_headers_without_end_are_refused(server: Server) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(f"PUT /{BUCKET}/k HTTP/1.1\r\nHost: x\r\n".encode())
        try:
            for n in range(20_000):
                connection.sendall(f"x-amz-meta-{n}: {'v' * 1000}\r\n".encode())
        except OSError:
            pass  # it has hung up, which may come before its words
        else:
            assert connection.recv(64).startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    status, code, _ = sent(server, "PUT", f"/{BUCKET}/k", b"", {"x-amz-meta-a": "v" * 2049})
    assert (status, code) == (400, "MetadataTooLarge")


def test_a_hundred_who_trickle_hold_up_nobody(server: Server) -> None:
    """Each has announced a megabyte and sends a byte now and then."""
    client, address = s3(server, signature_version="s3v4"), urlsplit(server.url)
    slow = []
    for n in range(100):
        url = urlsplit(
            client.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": f"s{n}"})
        )
        connection = socket.create_connection((address.hostname or "", address.port or 0))
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {MIB}"
        connection.sendall(head.encode() + b"\r\n\r\n")
        slow.append(connection)
    try:
        for turn in range(5):
            for connection in slow:
                connection.sendall(b"x")
            client.put_object(Bucket=BUCKET, Key=f"quick{turn}", Body=bytes(1000))
            assert client.head_object(Bucket=BUCKET, Key=f"quick{turn}")["ContentLength"] == 1000
    finally:
        for connection in slow:
            connection.close()
    assert client.list_objects_v2(Bucket=BUCKET, Prefix="s")["KeyCount"] == 0
    storage = psutil.Process(server.processes()["storage"])
    wait_until(lambda: storage.num_fds() < 60)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Content-Length": "-1"},
        {"Content-Length": "99999999999999999999"},
        {"Content-Length": "5, 6"},
        {"x-amz-decoded-content-length": "1", "Content-Encoding": "aws-chunked"},
        {"Expect": "a-miracle"},
    ],
)
def test_lengths_that_cannot_be(server: Server, headers: Mapping[str, str]) -> None:
    address = urlsplit(server.url)
    client = s3(server, signature_version="s3v4")
    asked = {"Bucket": BUCKET, "Key": "length"}
    url = urlsplit(client.generate_presigned_url("put_object", asked))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n{lines}\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.settimeout(30)
        connection.sendall(head.encode() + b"hello")
        assert connection.recv(12).startswith((b"HTTP/1.1 4", b"HTTP/1.1 501"))
    assert client.list_objects_v2(Bucket=BUCKET, Prefix=quote("length"))["KeyCount"] == 0
