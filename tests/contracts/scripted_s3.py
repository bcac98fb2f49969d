"""An S3 that misbehaves on demand: real sockets, one thread per connection, loopback only."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

Fault = Callable[["Request"], bool]
"""Told of each request before it is answered; True when it has answered itself."""


@dataclass
class Request:
    """One request, and the means to answer it badly."""

    server: ScriptedS3
    wire: BaseHTTPRequestHandler
    method: str
    key: str
    number: int  # of this method, from 1
    range_start: int

    def status(self, status: int, code: str = "", **headers: str) -> bool:
        body = f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()
        self.wire.send_response(status)
        for name, value in headers.items():
            self.wire.send_header(name.replace("_", "-"), value)
        self.wire.send_header("Content-Length", str(len(body)))
        self.wire.end_headers()
        if self.method != "HEAD":
            self.wire.wfile.write(body)
        return True

    def nothing(self, status: int, **headers: str) -> bool:
        """A head with these headers alone, whatever they say, and the connection's end."""
        self.wire.send_response(status)
        for name, value in headers.items():
            self.wire.send_header(name.replace("_", "-"), value)
        self.wire.end_headers()
        self.wire.close_connection = True
        return True

    def listing(self, rows: str, truncated: str = "false") -> bool:
        """One page of a listing, as it is given."""
        body = (
            f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{rows}</ListBucketResult>"
        ).encode()
        self.nothing(200, Content_Length=str(len(body)))
        self.wire.wfile.write(body)
        return True

    def reset(self) -> bool:
        """Close with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.wire.close_connection = True
        self.wire.connection.close()
        return True

    def partly(self, size: int, *, then: str, pause_seconds: float = 0.0) -> bool:
        """Announce everything, send `size` bytes of it, then "reset", "close" or "drip"."""
        content = self.server.objects[self.key][self.range_start :]
        self.server.send_head(self.wire, self.key, content, self.range_start)
        self.wire.wfile.write(content[:size])
        self.wire.wfile.flush()
        if then == "reset":
            time.sleep(0.05)  # let the bytes leave before the reset overtakes them
            return self.reset()
        if then == "drip":
            for at in range(size, len(content)):
                if self.server.closing.wait(pause_seconds):
                    break
                self.wire.wfile.write(content[at : at + 1])
                self.wire.wfile.flush()
        self.wire.close_connection = True
        return True


@dataclass
class ScriptedS3:
    """Objects of one bucket, any bucket name, and a fault for each request if wanted."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fault: Fault | None = None
    counts: dict[str, int] = field(default_factory=dict)  # requests by method, LIST included
    seen: list[dict[str, str]] = field(default_factory=list)  # the headers of every GET
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def __enter__(self) -> ScriptedS3:
        outer = self
        lock = threading.Lock()

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self, "GET", lock)

            def do_HEAD(self) -> None:
                outer.answer(self, "HEAD", lock)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, address: Any) -> None:
                pass  # clients that give up are part of the plan

        self._server = Quiet(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def begin(self, objects: dict[str, bytes]) -> None:
        """A new test: these objects, no fault, nothing counted."""
        self.objects, self.fault, self.seen = objects, None, []
        self.counts = {}

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, wire: BaseHTTPRequestHandler, method: str, lock: threading.Lock) -> None:
        parts = urlsplit(wire.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        name = "LIST" if "list-type" in query else method
        with lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            number = self.counts[name]
        if name == "GET":
            self.seen.append({k.lower(): v for k, v in wire.headers.items()})
        start = int(wire.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        request = Request(self, wire, name, key, number, start)
        if self.fault and self.fault(request):
            return
        if name == "LIST":
            self._list(wire, query)
        elif key not in self.objects:
            request.status(404, "NoSuchKey")
        elif wire.headers.get("If-Match", etag(self.objects[key])) != etag(self.objects[key]):
            request.status(412, "PreconditionFailed")
        else:
            content = self.objects[key][start:]
            self.send_head(wire, key, content, start)
            if method != "HEAD":
                wire.wfile.write(content)

    def send_head(self, wire: BaseHTTPRequestHandler, key: str, content: bytes, start: int) -> None:
        whole = self.objects[key]
        wire.send_response(206 if start else 200)
        wire.send_header("Content-Length", str(len(content)))
        wire.send_header("ETag", etag(whole))
        wire.send_header("Last-Modified", "Wed, 05 Nov 2025 10:00:00 GMT")
        if start:
            wire.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        wire.end_headers()

    def _list(self, wire: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        """Two keys per page, so that every listing has pages."""
        prefix = query.get("prefix", [""])[0]
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        start = int(query.get("continuation-token", ["0"])[0])
        page, more = keys[start : start + 2], len(keys) > start + 2
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size>"
            f"<ETag>{escape(etag(self.objects[key]))}</ETag></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{start + 2}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}"
            "</ListBucketResult>"
        ).encode()
        wire.send_response(200)
        wire.send_header("Content-Length", str(len(body)))
        wire.end_headers()
        wire.wfile.write(body)


def etag(content: bytes) -> str:
    return f'"{md5(content, usedforsecurity=False).hexdigest()}"'
