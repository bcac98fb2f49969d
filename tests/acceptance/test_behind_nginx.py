"""docs/howto/behind-a-proxy.md with what clients really send: large bodies, streams, errors.

nginx is started by the page's own block, on another port. What must not be buffered is not proved
by times: the model goes on only when its reader has had the part before.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.acceptance.server import Server, archive, variant
from tests.docs_blocks import blocks
from tests.meeting import meeting_place
from tests.waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "behind-a-proxy.md"
PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(
    shutil.which("nginx", path=PROGRAMS) is None or shutil.which("openssl") is None,
    reason="nginx or openssl is not installed",
)

HANDLERS = """
import pathlib, time
def model_fn(model_dir):
    return None
def parts(place):
    for number in range(3):
        yield f"part {number};"
        while place.exists() and not (place / f"had-{number}").exists():
            time.sleep(0.01)
def transform_fn(model, data, content_type, accept):
    if content_type == "application/x-fail":
        raise RuntimeError("asked to, in a sentence")
    if content_type == "application/x-parts":
        return parts(pathlib.Path(data.decode()))
    return bytes(data), "application/octet-stream"
"""


@dataclass
class Proxied:
    """A server, and nginx before it."""

    server: Server
    port: int
    certificate: Path
    pid: int

    def client(self, service: str, **changed: Any) -> Any:
        keys = self.server.credentials
        options: dict[str, Any] = {
            "endpoint_url": f"https://localhost:{self.port}",
            "region_name": "us-east-1",
            "aws_access_key_id": keys["access_key_id"],
            "aws_secret_access_key": keys["secret_access_key"],
            "verify": str(self.certificate),
            "config": Config(retries={"total_max_attempts": 1}, read_timeout=120),
        }
        made: Any = boto3.client
        return made(service, **{**options, **changed})

    def to_server(self) -> set[int]:
        """The local ports of nginx's connections to the server."""
        port = int(self.server.url.rpartition(":")[2])
        workers = [self.pid, *(child.pid for child in psutil.Process(self.pid).children())]
        connections: list[Any] = psutil.net_connections("tcp")
        return {
            connection.laddr.port
            for connection in connections
            if connection.pid in workers and connection.raddr and connection.raddr.port == port
        }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def proxied(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    place = tmp_path_factory.mktemp("proxied")
    url = archive(place / "model.tar.gz", {"code/inference.py": HANDLERS})
    server.create_model("behind", url)
    server.create_config("behind", variant("behind"))
    server.client("sagemaker").create_endpoint(EndpointName="behind", EndpointConfigName="behind")
    assert server.settled("behind")["EndpointStatus"] == "InService"
    (start,) = (b.text for b in blocks(PAGE) if b.language == "bash" and "nginx.conf <<" in b.text)
    port = free_port()
    assert start.count("18443") == 1
    environment = {"PATH": PROGRAMS, "AWS_ENDPOINT_URL": server.url}
    begun = subprocess.run(
        ["bash", "-euc", start.replace("18443", str(port))],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert begun.returncode == 0, begun.stderr
    pid = int(wait_until(lambda: (place / "nginx" / "nginx.pid").read_text().strip()))
    yield Proxied(server, port, place / "nginx" / "cert.pem", pid)
    stop = ["nginx", "-p", f"{place}/nginx", "-c", "nginx.conf", "-s", "quit"]
    subprocess.run(stop, env=environment, check=True, capture_output=True, timeout=60)
    wait_until(lambda: not psutil.pid_exists(pid))
    server.client("sagemaker").delete_endpoint(EndpointName="behind")


@pytest.mark.parametrize("size", [0, 1, 6 * MIB + 1, 25 * MIB])
def test_a_body_goes_through_and_comes_back(proxied: Proxied, size: int) -> None:
    body = os.urandom(size)
    answer = proxied.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="behind", Body=body, ContentType="application/octet-stream"
    )
    assert answer["Body"].read() == body
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_body_beyond_the_limit_is_refused_with_413(proxied: Proxied) -> None:
    with pytest.raises(ClientError) as caught:
        proxied.client("sagemaker-runtime").invoke_endpoint(
            EndpointName="behind", Body=bytes(25 * MIB + 1), ContentType="application/x-bytes"
        )
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_stream_comes_part_by_part(proxied: Proxied) -> None:
    had: list[str] = []
    with meeting_place() as place:
        answer = proxied.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
            EndpointName="behind", Body=str(place).encode(), ContentType="application/x-parts"
        )
        for event in answer["Body"]:
            had.append(event["PayloadPart"]["Bytes"].decode())
            (place / f"had-{len(had) - 1}").touch()  # and only then the model goes on
    assert had == ["part 0;", "part 1;", "part 2;"]


def test_connections_are_kept_on_both_sides(proxied: Proxied) -> None:
    context = ssl.create_default_context(cafile=str(proxied.certificate))
    keys = proxied.server.credentials
    seen: set[int] = set()
    with (
        socket.create_connection(("localhost", proxied.port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as client,
        client.makefile("rb") as answers,
    ):
        for number in range(10):
            body = f"number {number}".encode()
            url = f"https://localhost:{proxied.port}/endpoints/behind/invocations"
            request = AWSRequest("POST", url, data=body, headers={"Content-Type": "text/x"})
            credentials = Credentials(keys["access_key_id"], keys["secret_access_key"])
            SigV4Auth(credentials, "sagemaker", "us-east-1").add_auth(request)
            lines = [f"{name}: {value}" for name, value in request.headers.items()]
            head = [
                "POST /endpoints/behind/invocations HTTP/1.1",
                f"Host: localhost:{proxied.port}",
                *lines,
                f"Content-Length: {len(body)}",
            ]
            client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
            assert b" 200 " in answers.readline()
            fields = {}
            while (line := answers.readline()) != b"\r\n":
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            assert fields["connection"] == "keep-alive"
            assert answers.read(int(fields["content-length"])) == body
            seen |= proxied.to_server()
    assert 1 <= len(seen) < 10, "ten requests did not take ten connections to the server"


def test_errors_are_passed_on_whole(proxied: Proxied) -> None:
    runtime = proxied.client("sagemaker-runtime")
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="behind", Body=b"", ContentType="application/x-fail")
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 500
    assert "asked to, in a sentence" in answer["OriginalMessage"]
    with pytest.raises(ClientError, match="Endpoint nowhere of account") as absent:
        runtime.invoke_endpoint(EndpointName="nowhere", Body=b"")
    assert absent.value.response["Error"]["Code"] == "ValidationError"
    stranger = proxied.client("sagemaker-runtime", aws_secret_access_key="x" * 40)
    with pytest.raises(ClientError) as refused:
        stranger.invoke_endpoint(EndpointName="behind", Body=os.urandom(MIB))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError, match='Could not find endpoint "arn:'):
        proxied.client("sagemaker").describe_endpoint(EndpointName="nowhere")
    assert proxied.client("sts").get_caller_identity()["Account"] == "000000000000"
