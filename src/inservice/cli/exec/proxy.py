"""The forward proxy of `inservice exec`: AWS's names lead to this server, and no other anywhere.

    CONNECT sts.us-east-1.amazonaws.com:443    TLS ends here; what is inside goes to the server
    POST http://logs.us-east-1.amazonaws.com/  the same, without TLS
    CONNECT 127.0.0.1:8888, GET http://localhost/   passed on: this host is no stranger
    CONNECT pypi.org:443                       refused with a sentence, unless the internet is let
    GET /credentials                           the program's own keys, for whoever has the token

Of a request that goes to the server nothing is read or changed but, without TLS, its first line and
how long the connection lives: Host and signature arrive as they left the program, and the server
verifies the one over the other. So beyond its head a connection is two streams of bytes, each read
no faster than the other side takes it, whatever is said in them: long bodies, event streams, many
requests one after the other.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import SplitResult, unquote, urlsplit

from inservice.cli.exec.hosts import is_aws, is_loopback, named

CREDENTIALS_PATH: Final = "/credentials"

_HEAD_BYTES_MAX: Final = 64 * 1024
_HEAD_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 10.0
_HANDSHAKE_SECONDS: Final = 30.0

_REQUEST_LINE: Final = re.compile(r"([A-Z]+) (\S+) HTTP/1\.[01]")
_END: Final = b"\r\n\r\n"
_OF_ONE_HOP: Final = frozenset(
    ("connection", "proxy-connection", "proxy-authorization", "keep-alive")
)

Place = tuple[str, int]
"""A host and a port."""


@dataclass(frozen=True, slots=True)
class Ways:
    """Where the proxy leads."""

    server: Callable[[], Place]
    """Where the InService of this data directory is now. Raises OSError where there is none."""
    server_context: Callable[[str], ssl.SSLContext]
    """What answers TLS in the place of one of AWS's hosts."""
    credentials: Callable[[], Awaitable[Mapping[str, str]]]
    """The program's keys, as a container is told its own. Raises OSError with why there are none.
    """
    token: str
    """What the program shows to be told them."""
    allow_internet: bool = False
    outer_proxy: Callable[[str, str], SplitResult | None] = lambda _scheme, _host: None
    """By scheme and host, the proxy that this host goes through to reach others, if it does."""


class Refused(Exception):
    """What is not let through, or cannot be reached; the message is for who tried."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


async def serve(ways: Ways) -> tuple[asyncio.Server, int]:
    """Listen on a free port of this host; the server and its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(ways), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


class _Stream(asyncio.Protocol):
    """One side of a connection: what it hears, the other side says."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Stream | None = None
        self._said_all = False

    def joined(self, other: _Stream) -> None:
        """From now on they speak with each other."""
        self.other, other.other = other, self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """This side is behind: hear no more of the other."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """It says no more, and may still hear, until the other side says no more either; of TLS the
        end of one side is the end of both."""
        self._said_all = True
        if self.transport is None or self.other is None or self.other.transport is None:
            return False
        if self.other._said_all or not self.other.transport.can_write_eof():
            return False  # this side is closed, and with it the other, once all has been sent
        self.other.transport.write_eof()
        return self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()  # once all that was said has been sent


class _Client(_Stream):
    """A program's connection: its head is read here."""

    def __init__(self, ways: Ways) -> None:
        super().__init__()
        self._ways = ways
        self._heard = bytearray()
        self._answering: asyncio.Task[None] | None = None
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(_HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._answering is not None:
            super().data_received(data)
            return
        self._heard += data
        if _END in self._heard:
            if self._late is not None:
                self._late.cancel()
            assert self.transport is not None
            self.transport.pause_reading()  # until it is known who hears the rest
            self._answering = asyncio.get_running_loop().create_task(self._answer())
        elif len(self._heard) > _HEAD_BYTES_MAX:
            self._refuse(_too_long())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        if self._answering is not None:
            self._answering.cancel()
        super().connection_lost(exc)

    async def _answer(self) -> None:
        head, _, rest = bytes(self._heard).partition(_END)
        self._heard.clear()
        try:
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target = _asked(first)
            if method == "CONNECT":
                await self._connect(target, head, rest)
            elif target.startswith("/"):
                await self._tell_credentials(method, target, lines)
            else:
                await self._pass_on(method, target, lines, head, rest)
        except Refused as refused:
            self._refuse(refused)
        except (OSError, ssl.SSLError, TimeoutError):
            if self.transport is not None:
                self.transport.abort()  # within TLS, or half a connection: nothing can be said

    # ── what is asked ───────────────────────────────────────────────────────────────────────────
    async def _connect(self, target: str, head: bytes, rest: bytes) -> None:
        host, port = _place(f"//{target}", 443)
        if not is_aws(host):
            place, outer = self._way(host, port, "https")
            upstream = await self._reach(place)
            if outer is None:
                self._established()
            else:  # what it says to this is for the program
                rest = with_authorization(head, outer) + _END + rest
            self._join(upstream, rest)
            return
        if rest:
            raise Refused(HTTPStatus.BAD_REQUEST, "TLS began before it was let through")
        upstream = await self._reach(self._ways.server)
        transport = self.transport
        if transport is None:
            upstream.close()
            return
        self._established()
        inside = _Stream()
        inside.joined(cast(_Stream, upstream.get_protocol()))
        try:
            within = await asyncio.get_running_loop().start_tls(
                transport,
                inside,
                self._ways.server_context(host),
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            )
        except BaseException:
            upstream.close()
            raise
        if within is None:  # the program has left
            upstream.close()
            return
        inside.transport = within
        upstream.resume_reading()

    async def _pass_on(
        self, method: str, target: str, lines: list[str], head: bytes, rest: bytes
    ) -> None:
        """One request without TLS, to the host that its target names."""
        url = _split(target)
        if url.scheme != "http":
            raise Refused(HTTPStatus.BAD_REQUEST, "a target is a http URL")
        host, port = _place(f"//{url.netloc}", 80)
        path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
        kept = [line for line in lines if line.partition(":")[0].lower() not in _OF_ONE_HOP]
        said = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close"])
        whole = said.encode("latin-1") + _END + rest
        if is_aws(host):
            self._join(await self._reach(self._ways.server), whole)
            return
        place, outer = self._way(host, port, "http")
        if outer is not None:
            whole = with_authorization(head, outer) + _END + rest
        self._join(await self._reach(place), whole)

    async def _tell_credentials(self, method: str, target: str, lines: list[str]) -> None:
        fields = dict(line.lower().partition(":")[::2] for line in lines if line)
        shown = next((line.partition(":")[2] for line in lines if _is_authorization(line)), "")
        if method != "GET" or target.partition("?")[0] != CREDENTIALS_PATH:
            raise Refused(HTTPStatus.NOT_FOUND, "there are only credentials here")
        host = named(urlsplit(f"//{fields.get('host', '').strip()}").hostname or "")
        if not is_loopback(host) or not hmac.compare_digest(
            shown.strip().encode(), self._ways.token.encode()
        ):
            raise Refused(HTTPStatus.FORBIDDEN, "this is for the program that was given the token")
        try:
            told = await self._ways.credentials()
        except OSError as error:
            raise Refused(HTTPStatus.BAD_GATEWAY, str(error)) from error
        self._say(HTTPStatus.OK, "OK", json.dumps(dict(told)).encode(), "application/json")

    # ── ways ────────────────────────────────────────────────────────────────────────────────────
    def _way(
        self, host: str, port: int, scheme: str
    ) -> tuple[Callable[[], Place], SplitResult | None]:
        """Where to connect for a host that is not AWS's, and which proxy that is, if it is one.
        Raises Refused."""
        if is_loopback(host):
            return lambda: (host, port), None
        if not self._ways.allow_internet:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"{host or 'that'} is not AWS, and inservice exec lets a program reach nobody else "
                "(--allow-internet does)",
            )
        outer = self._ways.outer_proxy(scheme, host)
        if outer is None or outer.hostname is None:
            return lambda: (host, port), None
        place = (outer.hostname, outer.port or 80)
        return lambda: place, outer

    async def _reach(self, where: Callable[[], Place]) -> asyncio.Transport:
        """A connection to there, not read yet. Raises Refused."""
        try:
            host, port = where()
            async with asyncio.timeout(_CONNECT_SECONDS):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    _Stream, host, port
                )
        except (OSError, TimeoutError) as error:
            why = str(error) or "it does not answer"
            raise Refused(HTTPStatus.BAD_GATEWAY, f"not reached: {why}") from error
        transport.pause_reading()
        return transport

    def _join(self, upstream: asyncio.Transport, first: bytes) -> None:
        """Speak with who was reached, who hears `first` before anything else."""
        if self.transport is None:
            upstream.close()
            return
        upstream.write(first)
        self.joined(cast(_Stream, upstream.get_protocol()))
        upstream.resume_reading()
        self.transport.resume_reading()

    # ── answers ─────────────────────────────────────────────────────────────────────────────────
    def _established(self) -> None:
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _refuse(self, refused: Refused) -> None:
        """Say why, in the first line too: of a CONNECT clients show nothing else."""
        why = " ".join(str(refused).split()).encode("ascii", "replace").decode()
        text = f"inservice exec: {why}\n".encode()
        self._say(refused.status, why[:300], text, "text/plain; charset=utf-8")

    def _say(self, status: HTTPStatus, reason: str, body: bytes, kind: str) -> None:
        if self.transport is None:
            return
        head = (
            f"HTTP/1.1 {status.value} {reason}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def with_authorization(head: bytes, proxy: SplitResult) -> bytes:
    """A request as a proxy wants it that its URL has a name and a password for."""
    if not proxy.username:
        return head
    who = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    first, _, rest = head.partition(b"\r\n")
    said = b"Proxy-Authorization: Basic " + base64.b64encode(who)
    return b"\r\n".join((first, said, rest))


def _asked(line: str) -> tuple[str, str]:
    """Method and target of a request line. Raises Refused."""
    asked = _REQUEST_LINE.fullmatch(line)
    if asked is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "this is a proxy for HTTP/1.1")
    return asked[1], asked[2]


def _too_long() -> Refused:
    return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long")


def _is_authorization(line: str) -> bool:
    return line.partition(":")[0].strip().lower() == "authorization"


def _split(target: str) -> SplitResult:
    try:
        return urlsplit(target)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "that is no URL") from None


def _place(url: str, port: int) -> Place:
    """Raises Refused."""
    try:
        parts = urlsplit(url)
        host, found = named(parts.hostname or ""), parts.port or port
    except ValueError:
        host, found = "", 0
    if not host or not found:
        raise Refused(HTTPStatus.BAD_REQUEST, "that names no host")
    return host, found
