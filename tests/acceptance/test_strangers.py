"""Who has no key: what a whole server answers, whatever is asked and however it is spelled."""

from __future__ import annotations

import socket
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.acceptance.server import Server

PATHS = (
    *("/", "/metrics", "/metrics/", "//metrics", "/Metrics", "/%6detrics", "/metrics?x=1"),
    *("/endpoints", "/endpoints/", "/endpoints/e/invocations", "/endpoints/e/invocations/"),
    *("//endpoints/e/invocations", "/endpoints//e/invocations", "/x/../endpoints/e/invocations"),
    *("/endpoints/e/invocations-response-stream", "/endpoints/e/async-invocations"),
    *(
        "/endpoints/e/openai/v1/chat/completions",
        "/endpoints/e/other",
        "/ping",
        "/ready",
        "/health",
    ),
    *("/ping/", "/ping?x=1", "//ping", "/ready/x", "/Ping"),
    "/service/GraniteServiceVersion20100801/operation/DescribeAlarms",
    "/?Action=GetCallerIdentity&Version=2011-06-15",
    *("/unknown", "/console", "/docs", "/openapi.json", "/.env", "/credentials.json"),
)

OPEN = ("/ping", "/ready")
"""What load balancers may ask. They are told one word."""


@pytest.mark.parametrize("authorization", ["", "Authorization: Bearer x\r\n"])
def test_no_path_and_no_method_is_open_to_strangers(server: Server, authorization: str) -> None:
    """F9. MLflow, Triton and Ray each had one path or method that their check did not know."""
    address = urlsplit(server.url)
    opened = []
    for path in PATHS:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
                wire.sendall(
                    f"{method} {path} HTTP/1.1\r\nHost: a\r\n{authorization}"
                    "Connection: close\r\n\r\n".encode()
                )
                answer = b"".join(iter(partial(wire.recv, 65536), b""))
            status = int(answer.split()[1])
            reading = method in ("GET", "HEAD")
            if reading and path in OPEN:
                assert status in (200, 503), answer
                assert len(answer) < 1_000, "no more than a word"
                continue
            metrics = path.partition("?")[0] == "/metrics" and reading
            broken = status == 400 and b"<Code>IncompleteSignature</Code>" in answer
            # A browser's question without who asks it: whatever bucket there is, or is not.
            broken |= status == 400 and b"Origin request header needed" in answer
            if status != (401 if metrics else 403) and not broken:
                opened.append((method, path, answer[:200]))
    assert not opened
