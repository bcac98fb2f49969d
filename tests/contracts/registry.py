"""A registry of images on the loopback, for one user: as much of it as a pull asks for."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import platform
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.contracts.oci_stage import root_file_system

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_KIND = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")


class Registry(ThreadingHTTPServer):
    """What it has, and who may have it."""

    daemon_threads = True

    def __init__(self, username: str, password: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.authorization = f"Basic {pair}"
        self.content: dict[str, tuple[str, bytes]] = {}  # by digest: type, bytes
        self.tags: dict[str, str] = {}
        self.asked: list[str] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def push(self, tag: str, files: Mapping[str, str], entrypoint: str) -> str:
        """Have an image under a tag, in place of any other; its digest."""
        layer = root_file_system(files)
        packed = gzip.compress(layer, mtime=0)
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
        config = {
            "architecture": machine,
            "os": "linux",
            "config": {"Entrypoint": [entrypoint]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": "2026-01-01T00:00:00Z"}],
        }
        described = [
            self._keep(_KIND, json.dumps(config).encode()),
            self._keep(_LAYER, packed),
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described[0],
            "layers": described[1:],
        }
        kept = self._keep(MANIFEST, json.dumps(manifest).encode())
        self.tags[tag] = str(kept["digest"])
        return self.tags[tag]

    def _keep(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = _digest(content)
        self.content[digest] = (kind, content)
        return {"mediaType": kind, "size": len(content), "digest": digest}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.headers.get("authorization") != self.server.authorization:
            self._answer(401, "application/json", b'{"errors": [{"code": "UNAUTHORIZED"}]}')
            return
        found = _PATH.fullmatch(self.path)
        if found is None:
            self._answer(200, "application/json", b"{}")
            return
        reference = self.server.tags.get(found["reference"], found["reference"])
        if reference not in self.server.content:
            self._answer(404, "application/json", b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            return
        self._answer(200, *self.server.content[reference], reference)

    def _answer(self, status: int, kind: str, body: bytes, digest: str = "") -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("www-authenticate", 'Basic realm="here"')
        self.send_header("docker-distribution-api-version", "registry/2.0")
        self.send_header("content-type", kind)
        if digest:
            self.send_header("docker-content-digest", digest)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def registry(username: str = "me", password: str = "the password") -> Iterator[Registry]:
    """One that runs."""
    with Registry(username, password) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            made.shutdown()
