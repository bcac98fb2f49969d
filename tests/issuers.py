"""Identity providers on real sockets: one that signs tokens, and every bad one."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

AUDIENCE = "sts.amazonaws.com"


class Issuer:
    """An OIDC provider: its configuration, its keys, and tokens that it signs.

    `manner` is how it answers: `well`, `hang` never, `trickle` a byte now and then, `garbage` what
    is no JSON, `endless`, `redirect`, `error`, `other` for another issuer, `away` for keys
    elsewhere on this host, `keyless`.
    """

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.manner = "well"
        self.asked: list[str] = []
        self.over = threading.Event()
        self.keys: dict[str, RSAKey | ECKey] = {}
        self.add_key("rsa", RSAKey.generate_key(2048, {"kid": "rsa"}))
        self.add_key("ec", ECKey.generate_key("P-256", {"kid": "ec"}))

    def add_key(self, name: str, key: RSAKey | ECKey) -> None:
        self.keys[name] = key

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in self.keys.values()]}

    def claims(self, **more: Any) -> dict[str, Any]:
        """What an ordinary token says; a claim of None is left out."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "repo:octo/demo:ref:refs/heads/main",
            "iat": now,
            "exp": now + 600,
        }
        return {key: value for key, value in {**usual, **more}.items() if value is not None}

    def token(
        self, key: str = "rsa", *, header: Mapping[str, Any] | None = None, **more: Any
    ) -> str:
        algorithm = "RS256" if key == "rsa" else "ES256"
        signer = self.keys[key]
        said = {"alg": algorithm, "kid": key, **(header or {})}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.claims(**more), signer, algorithms=[algorithm])

    def forgeries(self) -> dict[str, str]:
        """Tokens that nobody must take, by what is wrong with them."""
        good = self.token()
        head, body, mark = good.split(".")
        other = Issuer(self.url)
        public = json.dumps(self.keys["rsa"].as_dict(private=False)).encode()
        by_public = jwt.encode(
            {"alg": "HS256", "kid": "rsa"},
            self.claims(),
            OctKey.import_key(public),
            algorithms=["HS256"],
        )
        flipped = mark[:20] + ("A" if mark[20] != "A" else "B") + mark[21:]
        return {
            "another's key under the same id": other.token(),
            "no signature": f"{_text({'alg': 'none'})}.{body}.",
            "none, signed": f"{_text({'alg': 'none', 'kid': 'rsa'})}.{body}.{mark}",
            "HMAC with the public key": by_public,
            "claims changed": f"{head}.{_text(self.claims(sub='admin'))}.{mark}",
            "signature changed": f"{head}.{body}.{flipped}",
            "signature of another": ".".join((head, body, self.token(sub="x").split(".")[2])),
            "key id of another kind": self.token("ec", header={"kid": "rsa"}),
            "key that there is not": self.token(header={"kid": "nobody"}),
            "critical header": f"{_text({'alg': 'RS256', 'crit': ['exp']})}.{body}.{mark}",
            "expired": self.token(exp=int(time.time()) - 1),
            "not yet": self.token(nbf=int(time.time()) + 3_600),
            "no end": self.token(exp=None),
            "no subject": self.token(sub=None),
            "no audience": self.token(aud=None),
            "another audience": self.token(aud="somebody-else"),
            "another party": self.token(azp="somebody-else"),
            "another issuer": self.token(iss="https://elsewhere.example"),
            "an issuer that begins alike": self.token(iss=self.url + "/evil"),
            "three dots": "a.b.c",
            "no token": "nothing",
        }


def _text(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@contextlib.contextmanager
def issuer() -> Iterator[Issuer]:
    """One that listens on this host."""
    there = Issuer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            there.asked.append(self.path)
            with contextlib.suppress(OSError):
                self._answer()

        def _answer(self) -> None:
            match there.manner:
                case "hang":
                    there.over.wait(60)
                case "trickle":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    while not there.over.wait(0.2):
                        self.wfile.write(b"x-a: b\r\n")
                case "garbage":
                    self._say(b"<html>")
                case "endless":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    while not there.over.is_set():
                        self.wfile.write(b" " * 65_536)
                case "redirect":
                    self.send_response(302)
                    self.send_header("Location", there.url + "/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                case "error":
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                case _:
                    self._say(json.dumps(self._document()).encode())

        def _document(self) -> Mapping[str, Any]:
            if self.path == "/keys":
                return {"keys": []} if there.manner == "keyless" else there.jwks()
            if self.path != "/.well-known/openid-configuration":
                return {}
            keys = "http://127.0.0.1:9/keys" if there.manner == "away" else f"{there.url}/keys"
            whose = "https://elsewhere.example" if there.manner == "other" else there.url
            return {"issuer": whose, "jwks_uri": keys}

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    there.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield there
    finally:
        there.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
