"""The HTTP/1.1 server of the gateway, of control and of the model server.

    async def answer(request: Request) -> Response:
        return Response(200, ((b"content-type", b"text/plain"),), b"hello")

    server = await serve(answer, path="/run/control.sock")
    ...
    await server.drain(deadline_seconds=30)

`answer` may also be a plain function that returns a Response, or a Later where it is not there yet:
then the request costs no task. The gateway goes one level lower and subclasses `Connection`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from inservice.transport.connection import ANSWERING, IDLE, Connection
from inservice.transport.limits import BEHIND_GATEWAY, Limits
from inservice.transport.listening import NEVER, Server
from inservice.transport.messages import (
    BODILESS,
    LENGTHLESS,
    Later,
    Refusal,
    Request,
    Response,
    encode_head,
    error_response,
)
from inservice.transport.tokens import EXCHANGE

Answer = Callable[[Request], Response | Later | Awaitable[Response]]
"""What answers requests. Raising a Refusal answers with it and closes; any other exception is a
bug, logged here and answered InternalFailure 500."""

_log = logging.getLogger(__name__)

_ONE_WRITE_BYTES: Final = 64 * 1024
"""Up to this size copying a body behind its head is cheaper than a second buffer for the kernel."""


class AnsweringConnection(Connection):
    """A connection whose requests one function answers."""

    __slots__ = ("_answer", "_opening", "_task", "_writable")

    def __init__(self, server: Server, answer: Answer) -> None:
        super().__init__(server)
        self._answer = answer
        self._opening = b""
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def request_received(self, request: Request) -> None:
        """Ask for the answer; only one that has to be waited for costs a task."""
        token = request.fields.pop(EXCHANGE, None)
        self._opening = _said_back(token)
        if token is not None:
            request.headers.remove((EXCHANGE, token))  # the gateway sends it first
        try:
            answer = self._answer(request)
            if isinstance(answer, Later):
                answer.when_settled(lambda outcome: self._hear(request, outcome))
            elif isinstance(answer, Response) and isinstance(answer.body, bytes):
                self._respond(request, answer)
            else:
                self._task = asyncio.get_running_loop().create_task(self._wait(request, answer))
        except Exception as error:  # noqa: BLE001 - the last resort, logged in _fail
            self._fail(request, error)

    def opening(self) -> bytes:
        """The token that the request brought, said back. It is still with its head as long as its
        body is not whole."""
        if self.state != ANSWERING and self.request is not None:
            return _said_back(self.request.fields.get(EXCHANGE))
        return self._opening

    def may_write(self) -> None:
        """Let the stream go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def client_left(self) -> None:
        """Stop a stream. An answer being worked out is left to finish: what it changes is changed
        whether or not anybody is there to hear of it."""
        self.may_write()

    def _hear(self, request: Request, outcome: Response | Exception) -> None:
        """A Later is settled."""
        try:
            if isinstance(outcome, Exception):
                self._fail(request, outcome)
            elif self.request is request and isinstance(outcome.body, bytes):
                self._respond(request, outcome)
            else:
                self._task = asyncio.get_running_loop().create_task(self._wait(request, outcome))
        except Exception as error:  # noqa: BLE001 - the last resort, logged in _fail
            self._fail(request, error)

    async def _wait(self, request: Request, answer: Response | Awaitable[Response]) -> None:
        try:
            response = answer if isinstance(answer, Response) else await answer
            if self.request is not request:
                if not isinstance(response.body, bytes):
                    await _close_stream(response.body)
            elif isinstance(response.body, bytes):
                self._respond(request, response)
            else:
                await self._stream(request, response, response.body)
        except Exception as error:  # noqa: BLE001 - the last resort, logged in _fail
            self._fail(request, error)

    def _fail(self, request: Request, error: Exception) -> None:
        if self.request is not request:
            _log.error("answering failed after the client had left", exc_info=error)
        elif isinstance(error, Refusal):
            self.refuse(error)
        else:
            _log.error("answering %s failed", request.method, exc_info=error)
            words = "An internal error occurred. It is in this server's log."
            self._respond(request, error_response(500, "InternalFailure", words))

    def _respond(self, request: Request, response: Response) -> None:
        body = response.body
        assert isinstance(body, bytes)
        ending = self.server.date + self.closing_header(request)
        if response.status in BODILESS:
            body = b""
        if response.status not in LENGTHLESS:
            ending = b"content-length: %d\r\n" % len(body) + ending
        head = encode_head(response.status, response.headers, ending, self._opening)
        if request.method == "HEAD":
            self.write(head)
        elif len(body) <= _ONE_WRITE_BYTES:
            self.write(head + body)
        else:
            self.transport.writelines((head, body))
        self.answered()

    async def _stream(
        self, request: Request, response: Response, body: AsyncIterator[bytes]
    ) -> None:
        """Send a body of unknown length: chunked, or to the end of the connection for HTTP/1.0."""
        if response.status in BODILESS:
            await _close_stream(body)
            self._respond(request, replace(response, body=b""))
            return
        ending = self.server.date + self.closing_header(request)
        if request.version:
            ending = b"transfer-encoding: chunked\r\n" + ending
        else:
            request.keep_alive = False
        began = False
        try:
            head = encode_head(response.status, response.headers, ending, self._opening)
            self.write(head)
            began = True
            if request.method != "HEAD":
                await self._send_parts(request, body)
            if self.request is request:
                if request.version and request.method != "HEAD":
                    self.write(b"0\r\n\r\n")
                self.answered()
        except Exception as error:
            if not began:
                raise
            # Half an answer is out. Cutting the connection is the one way left to say so.
            _log.error("streaming an answer failed", exc_info=error)
            self.transport.abort()
        finally:
            await _close_stream(body)

    async def _send_parts(self, request: Request, body: AsyncIterator[bytes]) -> None:
        async for part in body:
            if self.request is not request or self.transport.is_closing():
                return
            if part:
                self.write(b"%x\r\n%b\r\n" % (len(part), part) if request.version else part)
            if not self.writable:
                self._writable = asyncio.get_running_loop().create_future()
                await self._writable
            else:
                await asyncio.sleep(0)  # a stream that never waits must not starve the others


def _said_back(token: bytes | None) -> bytes:
    return b"" if token is None else b"%b: %b\r\n" % (EXCHANGE, token)


async def _close_stream(body: AsyncIterator[bytes]) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


async def serve(
    answer: Answer,
    *,
    sockets: list[socket.socket] | None = None,
    path: str | Path | None = None,
    limits: Limits | None = None,
) -> Server:
    """Answer HTTP/1.1 requests on listening sockets or a UNIX socket until `drain` is called."""
    server = Server(limits or BEHIND_GATEWAY)
    await server.listen(lambda: AnsweringConnection(server, answer), sockets=sockets, path=path)
    return server


__all__ = [
    "ANSWERING",
    "IDLE",
    "NEVER",
    "Answer",
    "AnsweringConnection",
    "Later",
    "Limits",
    "Refusal",
    "Request",
    "Response",
    "Server",
    "error_response",
    "serve",
]
