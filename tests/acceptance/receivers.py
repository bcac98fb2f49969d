"""Receivers of webhooks on real sockets: good ones, and every bad one that we could think of."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ENDLESS = 64 * 1024 * 1024


@dataclass
class Received:
    """One request, as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Receivers:
    """What listens: the path of a request says how it is answered.

    /200 … /599 with that status · /hang never · /trickle a byte now and then · /garbage what is no
    HTTP · /close not at all · /endless with a body without end · /headers with headers without end
    · /later with 200 once `opened` · /early with 100 and 103 first · /redirect with the way to /200
    · /as-told as any of these, by what `says` is then
    """

    port: int = 0
    says: str = "200"
    received: list[Received] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    over: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    def paths(self) -> list[str]:
        with self.arrived:
            return [one.path for one in self.received]

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Until so many requests have arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, seconds), self.paths()


@contextlib.contextmanager
def receivers(tls: ssl.SSLContext | None = None) -> Iterator[Receivers]:
    """Listen on a free port of loopback."""
    there = Receivers()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                _serve(there, self)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 256

        def get_request(self) -> tuple[socket.socket, Any]:
            connection, address = super().get_request()
            if tls is not None:
                connection = tls.wrap_socket(connection, True, do_handshake_on_connect=False)
            return connection, address

        def handle_error(self, *_: Any) -> None:
            """Clients that do not trust us leave: that is what is tested."""

    with Server(("127.0.0.1", 0), Handler) as server:
        there.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield there
        finally:
            there.over.set()
            server.shutdown()
            thread.join()


def _serve(there: Receivers, handler: socketserver.StreamRequestHandler) -> None:
    line = handler.rfile.readline().decode()
    path = line.split(" ")[1]
    headers = {}
    while field_line := handler.rfile.readline().decode().strip():
        name, _, value = field_line.partition(": ")
        headers[name.lower()] = value
    body = handler.rfile.read(int(headers["content-length"]))
    with there.arrived:
        there.received.append(Received(path, headers, body))
        there.arrived.notify_all()
    write = handler.wfile.write
    asked = path.rpartition("/")[2].partition("?")[0]
    match there.says if asked == "as-told" else asked:
        case status if status.isdecimal():
            write(f"HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nok".encode())
        case "hang":
            there.over.wait()
        case "later":
            while not (there.opened.wait(0.1) or there.over.is_set()):
                pass
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        case "trickle":
            write(b"HTTP/1.1 200 OK\r\nX: ")
            while not there.over.wait(0.1):
                write(b"x")
        case "garbage":
            write(b"\x00\xff not http at all\r\n\r\n" * 10)
        case "endless":
            write(b"HTTP/1.1 200 OK\r\n\r\n")
            _flood(handler, b"x")
        case "headers":
            write(b"HTTP/1.1 200 OK\r\n")
            _flood(handler, b"X-More: and more\r\n")
        case "early":
            write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
            write(b"HTTP/1.1 204 No Content\r\n\r\n")
        case "redirect":
            write(f"HTTP/1.1 302 Found\r\nLocation: {there.url('200')}\r\n\r\n".encode())
        case _:
            handler.connection.shutdown(socket.SHUT_RDWR)


def _flood(handler: socketserver.StreamRequestHandler, part: bytes) -> None:
    piece = part * 1_000
    for _ in range(ENDLESS // len(piece)):
        handler.wfile.write(piece)
