"""The standard library's HTTP client, over a UNIX socket."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass

from tests.waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: str, timeout: float = PATIENCE_SECONDS) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = address.removeprefix("unix:")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(
    address: str,
    body: bytes | str = b"",
    *,
    method: str = "POST",
    path: str = "/invocations",
    **headers: str,
) -> Answer:
    """One request on a connection of its own; `content_type="…"` is the header Content-Type."""
    connection = UnixConnection(address)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, named)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, fields, answer.read())
    finally:
        connection.close()
