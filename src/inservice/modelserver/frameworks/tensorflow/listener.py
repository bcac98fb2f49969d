"""The address that the handlers of TensorFlow's container are told: `context.rest_uri`.

On AWS TensorFlow Serving answers there, in the same container. User code posts to it by whatever
client it likes, so it has to be a port. The loopback of this host is everybody's: a connection is
answered only if it comes from a process of the same user as this one, which the kernel's table of
sockets tells.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[str, str, bytes], tuple[int, str]]
"""From method, path and body to status and body."""


def listen(answer: Answer) -> int:
    """Answer on a port of the loopback for as long as the process lives; which one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            body = self._body()
            if self.connection.family == 2 and not is_ours(self.client_address[:2]):
                status, said = 403, '{"error": "This port is another instance\'s."}'
            else:
                status, said = answer(method, self.path.partition("?")[0], body)
            raw = said.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return b"".join(self._chunks())
            length = self.headers.get("Content-Length", "0")
            return self.rfile.read(int(length) if length.isdecimal() else 0)

        def _chunks(self) -> Any:
            while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the base
            """Nothing: the instance's log is the user's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="rest", daemon=True).start()
    return int(server.server_address[1])


def is_ours(peer: tuple[str, int]) -> bool:
    """Whether the other end of a connection, at this address, is a socket of our user's."""
    wanted = _as_kernel_has_it(*peer)
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted:
            return int(fields[7]) == os.getuid()
    return False


def _as_kernel_has_it(host: str, port: int) -> str:
    """`0100007F:1F90` for 127.0.0.1:8080: the address in the machine's own order of bytes."""
    packed = ipaddress.IPv4Address(host).packed
    return f"{int.from_bytes(packed, sys.byteorder):08X}:{port:04X}"
