"""A loopback server that writes down what it is asked and answers what it was told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

KEPT_HEADERS = ("x-amz-target", "x-amz-content-type", "accept")
"""Headers that must agree, beside every `x-amzn-sagemaker-…` one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One canned answer. `body` is sent as JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Recorder:
    """The server. `play` gives the answers to come; the last one repeats."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def play(self, replies: list[Reply]) -> None:
        """Forget what was asked, and answer these from now on."""
        self.requests.clear()
        self.replies[:] = replies

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def recording_server() -> Iterator[Recorder]:
    """A server on a free port of the loopback address, stopped when the block ends."""
    recorder = Recorder("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            _answer(self, recorder)

        do_GET = do_DELETE = do_POST  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is part of the play; stderr is what the tests compare."""

    server = Server(("127.0.0.1", 0), Handler)
    recorder.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, recorder: Recorder) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    recorder.requests.append(request_of(handler, body))
    reply = recorder.next_reply()
    content = reply.body
    if not isinstance(content, bytes):
        content = b"" if content is None else json.dumps(content).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "r-1"}
    if handler.headers.get("X-Amz-Target", "").startswith("GraniteService"):
        headers["Content-Type"] = "application/x-amz-json-1.0"
    elif b"Action=" in body:
        headers["Content-Type"] = "text/xml"
        content = content or b"<r><ResponseMetadata/></r>"
    handler.send_response(reply.status)
    for name, value in (headers | reply.headers).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def request_of(handler: BaseHTTPRequestHandler, body: bytes) -> dict[str, Any]:
    """What of a request must agree between two clients, as JSON."""
    headers = {
        name.lower(): value
        for name, value in handler.headers.items()
        if (name.lower() in KEPT_HEADERS or name.lower().startswith("x-amzn-sagemaker"))
        and not value.startswith("GraniteService")
    }
    return {
        "method": handler.command,
        "path": handler.path,
        "headers": headers,
        "signed": "Authorization" in handler.headers,
        "scope": scope_of(handler.headers.get("Authorization", "")),
        "body": meaning_of(handler, body),
    }


def meaning_of(handler: BaseHTTPRequestHandler, body: bytes) -> Any:
    """A body as a value: JSON, a form without its version, or the text of the bytes."""
    target = handler.headers.get("X-Amz-Target", "")
    if target.startswith("GraniteService"):
        # CloudWatch: the older client speaks the query protocol to the same operation.
        return {"Action": target.rsplit(".", 1)[1]} | flat(json.loads(body))
    if target:
        return json.loads(body)
    if handler.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        form = {key: value for key, value in parse_qsl(body.decode()) if key != "Version"}
        return {key: value.removesuffix(".0") for key, value in form.items()}
    return body.decode("utf-8", "backslashreplace")


def scope_of(authorization: str) -> str:
    """Region and service of the credential scope, without key and date."""
    if "Credential=" not in authorization:
        return ""
    return "/".join(authorization.split("Credential=")[1].split(",")[0].split("/")[2:4])


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """A JSON body written as the query protocol writes the same parameters."""
    if isinstance(value, dict):
        pairs = [(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{prefix}.member.{number}", item) for number, item in enumerate(value, 1)]
    else:
        if isinstance(value, bool):
            return {prefix: str(value).lower()}
        number = isinstance(value, float) and value.is_integer()
        return {prefix: str(int(value)) if number else str(value)}
    flattened: dict[str, str] = {}
    for name, item in pairs:
        flattened |= flat(item, name)
    return flattened
