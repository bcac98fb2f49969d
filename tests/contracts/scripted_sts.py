"""An STS that assumes roles as it is told to: a real socket, loopback only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

Answer = tuple[int, str]
"""A status, and for anything but 200 the code of an error."""


@dataclass
class ScriptedSts:
    """Gives a key to each role, named after it, for `lifetime_seconds`."""

    answers: Callable[[str], Answer] = lambda _: (200, "")  # by the role's ARN
    lifetime_seconds: float = 3600.0
    asked: list[dict[str, str]] = field(default_factory=list)  # parameters, and who signed
    url: str = ""

    def __enter__(self) -> ScriptedSts:
        outer = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, wire: BaseHTTPRequestHandler) -> None:
        body = wire.rfile.read(int(wire.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        self.asked.append({**asked, "signed": wire.headers.get("Authorization", "")})
        status, code = self.answers(asked["RoleArn"])
        answer = self._credentials(asked["RoleArn"]) if status == 200 else _error(code)
        wire.send_response(status)
        wire.send_header("Content-Type", "text/xml")
        wire.send_header("Content-Length", str(len(answer)))
        wire.end_headers()
        wire.wfile.write(answer)

    def _credentials(self, role: str) -> bytes:
        name = role.rpartition("/")[2]
        ends = datetime.fromtimestamp(time.time() + self.lifetime_seconds, UTC)
        return (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleResult><Credentials><AccessKeyId>ASIA{name}</AccessKeyId>"
            f"<SecretAccessKey>s</SecretAccessKey><SessionToken>token-{name}</SessionToken>"
            f"<Expiration>{ends.isoformat()}</Expiration></Credentials>"
            "</AssumeRoleResult></AssumeRoleResponse>"
        ).encode()


def _error(code: str) -> bytes:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>scripted words</Message></Error>"
        "<RequestId>r</RequestId></ErrorResponse>"
    ).encode()
