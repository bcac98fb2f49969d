"""A gateway worker's insides on real sockets, with models and a control plane that tests script."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import uvloop
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from inservice.channel.counts import InvocationRow
from inservice.channel.messages import Counts, said_in
from inservice.clock import SystemClock
from inservice.gateway.answers import RequestIds
from inservice.gateway.control import ControlPlane
from inservice.gateway.front import GatewayConnection, Plane
from inservice.gateway.routes import Routes
from inservice.gateway.runtime.plane import RuntimePlane
from inservice.gateway.runtime.sessions import Sessions
from inservice.gateway.runtime.shared import Gateway
from inservice.gateway.runtime.taps.counting import Counting
from inservice.gateway.unsigned import Readiness, UnsignedPlane
from inservice.routing.table import (
    WHOLE,
    EndpointRoute,
    FleetRoute,
    InstanceRoute,
    KeyRoute,
    RoutingTable,
)
from inservice.transport.client import Client
from inservice.transport.limits import Limits
from inservice.transport.server import Answer, Request, Response, Server, serve

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = KeyRoute(KEY_ID, SECRET, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")


def fleet(
    name: str,
    *addresses: str,
    share: int = WHOLE,
    variant: str = "AllTraffic",
    strategy: str = "RANDOM",
) -> FleetRoute:
    instances = tuple(InstanceRoute(f"{name}/{i}", a) for i, a in enumerate(addresses))
    return FleetRoute(name, variant, f"{name}-config", share, strategy, instances)


def table_of(
    *fleets: FleetRoute, version: int = 1, name: str = "e", step: str = ""
) -> RoutingTable:
    route = EndpointRoute(ACCOUNT, REGION, name, fleets, step)
    return RoutingTable(version, {(ACCOUNT, REGION, name): route}, {KEY_ID: KEY})


@dataclass
class Rig:
    """One gateway, listening on loopback."""

    directory: Path
    server: Server
    gateway: Gateway
    counting: Counting
    routes: Routes
    planes: tuple[Plane, ...]
    """What new connections are served by, in the order in which they are asked."""
    port: int = 0
    backends: list[Any] = field(default_factory=list)

    def serve_table(self, table: RoutingTable) -> None:
        self.routes.table = table

    async def model(self, answer: Answer, name: str = "m") -> str:
        """A well-behaved model server; its address."""
        path = self.directory / f"{name}{len(self.backends)}"
        self.backends.append(await serve(answer, path=path))
        return f"unix:{path}"

    async def scripted(self, script: Callable[..., Coroutine[Any, Any, None]]) -> str:
        """A model that speaks raw bytes: `script(reader, writer)` for each connection."""
        path = self.directory / f"s{len(self.backends)}"
        self.backends.append(await asyncio.start_unix_server(script, path))
        return f"unix:{path}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def boto(self, **config: Any) -> Any:
        return boto3.client(
            "sagemaker-runtime",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    async def invoke(self, **arguments: Any) -> dict[str, Any]:
        """InvokeEndpoint through boto3; `Body` of the answer is read."""
        arguments = {"EndpointName": "e", "Body": b"{}", **arguments}

        def call() -> dict[str, Any]:
            answer = self.boto().invoke_endpoint(**arguments)
            return {**answer, "Body": answer["Body"].read()}

        return await asyncio.to_thread(call)

    def signed(
        self,
        body: bytes = b"{}",
        *,
        path: str = "/endpoints/e/invocations",
        headers: dict[str, str] | None = None,
        secret: str = SECRET,
        method: str = "POST",
    ) -> bytes:
        """The bytes of a signed request."""
        return signed(
            f"127.0.0.1:{self.port}", body, path=path, headers=headers, secret=secret, method=method
        )


def signed(
    host: str,
    body: bytes = b"{}",
    *,
    path: str = "/endpoints/e/invocations",
    headers: dict[str, str] | None = None,
    secret: str = SECRET,
    method: str = "POST",
) -> bytes:
    """The bytes of a request, signed by botocore."""
    request = AWSRequest(method, f"http://{host}{path}", data=body, headers=headers or {})
    SigV4Auth(Credentials(KEY_ID, secret), "sagemaker", REGION).add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def bearer(*, expires: int = 3600, action: str = "CallWithBearerToken") -> str:
    """A key for OpenAI's clients, as sagemaker-core's token generator makes them."""
    request = AWSRequest(
        "POST",
        "https://sagemaker.amazonaws.com/",
        headers={"host": "sagemaker.amazonaws.com"},
        params={"Action": action},
    )
    credentials = Credentials(KEY_ID, SECRET)
    SigV4QueryAuth(credentials, "sagemaker", REGION, expires=expires).add_auth(request)
    assert request.url is not None
    presigned = request.url.replace("https://", "") + "&Version=1"
    return "sagemaker-api-key-" + base64.b64encode(presigned.encode()).decode()


async def read_answer(
    reader: asyncio.StreamReader,
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One answer with a Content-Length or chunks."""
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        if b"content-length" in headers:
            body = await reader.readexactly(int(headers[b"content-length"]))
        else:
            parts = []
            while size := int(await reader.readline(), 16):
                parts.append(await reader.readexactly(size))
                await reader.readline()
            await reader.readline()
            body = b"".join(parts)
        return int(first.split()[1]), headers, body


def rows(rig: Rig) -> list[InvocationRow]:
    """What was counted until now, taken from the messages that control would get."""
    rig.counting.flush(0.0)
    said = [one for line in rig.counting.unconfirmed() for one in said_in(line)]
    return [row for one in said if isinstance(one, Counts) for row in one.rows]


@contextlib.asynccontextmanager
async def gateway(limits: Limits | None = None) -> AsyncIterator[Rig]:
    """A gateway with an empty table and no control plane."""
    directory = Path(tempfile.mkdtemp(prefix="gw"))
    client = Client()
    routes = Routes(directory / "routes.json", lambda *_: None)
    control = client.pool(f"unix:{directory / 'control.sock'}")
    ids, counting = RequestIds(), Counting()
    sessions = Sessions(directory / "sessions")
    shared = Gateway(routes, client, SystemClock(), sessions, ids, tap=counting)
    server = Server(limits or Limits())
    listening = socket.create_server(("127.0.0.1", 0))
    planes: tuple[Plane, ...] = (
        RuntimePlane(shared, server.limits.body_bytes),
        UnsignedPlane(Readiness(routes, client, shared.instances), ids),
        ControlPlane(control, ids),
    )
    rig = Rig(directory, server, shared, counting, routes, planes, listening.getsockname()[1])
    await server.listen(lambda: GatewayConnection(server, rig.planes), sockets=[listening])
    try:
        yield rig
    finally:
        await server.drain(0.5, idle_seconds=0)
        client.close()
        for backend in rig.backends:
            if isinstance(backend, Server):
                await backend.drain(0.2, idle_seconds=0)
            else:
                backend.close()
        shutil.rmtree(directory)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine on the loop that the product runs on, which must have no complaint."""
    complaints: list[dict[str, Any]] = []

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        await asyncio.wait_for(test(), 30)

    uvloop.run(whole())
    assert not complaints, complaints


def echo(request: Request) -> Response:
    """A model that answers with what it was asked."""
    return Response(200, ((b"content-type", b"application/json"),), request.body)
