"""Posting to receivers, none of which is trusted to answer.

A receiver may hang, trickle, answer garbage or for ever, or have a name that no server resolves.
None of that costs anybody else anything: an exchange is a task in the event loop, not a thread; one
deadline is over all of it, from the look-up of the name to the status of the answer; and a receiver
has only a few of the connections there may be.

The address that was judged is the one that is connected to (`dialing`). Redirects, proxies and
cookies are not followed: a body goes to the host that the URL names, or nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import httptools

from inservice import __version__
from inservice.clock import Clock
from inservice.controller.kit.dialing import Dialer, NotAllowed, Resolver, looked_up
from inservice.controller.kit.receivers import BadReceiver, Networks, Receiver, receiver_of

ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 1.0
"""Doubled after each attempt: 15 s in all. A receiver that restarts is back by then; one that is
down for longer should look at DescribeAlarms or at the endpoint's history."""

EXCHANGE_SECONDS: Final = 10.0
"""From the look-up of the name to the answer's status, however it is drawn out."""

GOODBYE_SECONDS: Final = 1.0
GOODBYE_BYTES: Final = 16 * 1024
"""How much of an answer's rest is read although nobody wants it: closed at once, a connection is
reset, and receivers log that as a client that went away."""

HEAD_BYTES_MAX: Final = 64 * 1024
"""Of an answer, up to its status and headers."""

AT_ONCE: Final = 256
"""Exchanges under way at one time, and descriptors for them."""

AT_ONCE_EACH: Final = 4
"""Of them with one receiver: it takes 64 receivers that hang to keep another one waiting, and that
for ten seconds."""

_RETRIED = frozenset({408, 425, 429})
"""Of 4xx those that may be otherwise in a moment. Everything else a receiver says about the
request, and a redirect, it would say again."""


class _Refused(Exception):
    """The exchange came to nothing, and would again: do not try it another time."""


class _Failed(Exception):
    """The exchange came to nothing; the next attempt may be luckier."""


@dataclass(slots=True)
class _Slots:
    """What one receiver has of AT_ONCE."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE_EACH))
    users: int = 0


class Poster:
    """Posts, with patience."""

    def __init__(self, clock: Clock, networks: Networks, look_up: Resolver = looked_up) -> None:
        self._clock = clock
        self._dialer = Dialer(clock, networks, look_up)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._slots: dict[tuple[str, int], _Slots] = {}

    async def deliver(self, url: str, body: bytes, content_type: str, **headers: str) -> str:
        """Post a body until it is taken or there is no hope. Gives what went wrong, or an empty
        text. `headers` are further ones, with `_` for `-`. Raises nothing."""
        try:
            receiver = receiver_of(url)
        except BadReceiver as error:
            return str(error)
        request = _request(receiver, body, content_type, headers)
        pause, why = FIRST_PAUSE_SECONDS, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.sleep(pause)
                pause *= 2
            try:
                async with self._slot(receiver):
                    await self._attempt(receiver, request)
            except _Refused as error:
                return str(error)
            except _Failed as error:
                why = str(error)
            else:
                return ""
        return f"{why}, after {ATTEMPTS} attempts"

    @contextlib.asynccontextmanager
    async def _slot(self, receiver: Receiver) -> AsyncIterator[None]:
        """The receiver's own room first: who waits for that must not hold any of the others'."""
        origin = (receiver.host, receiver.port)
        slots = self._slots.setdefault(origin, _Slots())
        slots.users += 1
        try:
            async with slots.room, self._room:
                yield
        finally:
            slots.users -= 1
            if not slots.users:
                del self._slots[origin]

    async def _attempt(self, receiver: Receiver, request: bytes) -> None:
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS) as deadline:
                status = await self._exchange(receiver, request, deadline)
        except TimeoutError:
            raise _Failed(f"the receiver did not answer in {EXCHANGE_SECONDS:.0f} s") from None
        except (OSError, ssl.SSLError) as problem:
            raise _Failed(str(problem) or type(problem).__name__) from problem
        if 200 <= status < 300:
            return
        what = f"the receiver answered {status}"
        if 300 <= status < 400:
            raise _Refused(f"{what}, and redirects are not followed")
        if 400 <= status < 500 and status not in _RETRIED:
            raise _Refused(what)
        raise _Failed(what)

    async def _exchange(self, receiver: Receiver, request: bytes, deadline: asyncio.Timeout) -> int:
        try:
            reader, writer = await self._dialer.connect(receiver, EXCHANGE_SECONDS)
        except NotAllowed as refused:
            raise _Refused(str(refused)) from None
        try:
            writer.write(request)
            await writer.drain()
            answer = await _status(reader)
            # It is taken, whatever comes now: no deadline may make it a failure any more.
            deadline.reschedule(asyncio.get_running_loop().time() + 2 * GOODBYE_SECONDS)
            await answer.see_off(reader)
            return answer.status or 0
        finally:
            writer.transport.abort()


def _request(
    receiver: Receiver, body: bytes, content_type: str, headers: Mapping[str, str]
) -> bytes:
    lines = {
        "Host": receiver.authority,
        "User-Agent": f"InService/{__version__}",
        "Accept": "*/*",
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    if receiver.authorization is not None:
        lines["Authorization"] = receiver.authorization
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {receiver.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


class _Answer:
    """What the parser tells of an answer."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.whole = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Raises _Failed for what is no answer. One that has said its status has answered."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.status is None:
                raise _Failed("the receiver's answer is not HTTP") from error
            self.whole = True

    async def see_off(self, reader: asyncio.StreamReader) -> None:
        """Read as much of the rest as politeness asks for."""
        size = 0
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                while not self.whole and size < GOODBYE_BYTES:
                    data = await reader.read(GOODBYE_BYTES)
                    if not data:
                        return
                    size += len(data)
                    self.feed(data)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # 100 and 103 come before the answer
            self.status = status

    def on_message_complete(self) -> None:
        self.whole = self.status is not None


async def _status(reader: asyncio.StreamReader) -> _Answer:
    """The answer, once its status is known."""
    answer, size = _Answer(), 0
    while answer.status is None:
        data = await reader.read(HEAD_BYTES_MAX)
        if not data:
            raise _Failed("the receiver closed the connection without an answer")
        size += len(data)
        if size > HEAD_BYTES_MAX:
            raise _Failed("the receiver's answer has no end to its headers")
        answer.feed(data)
    return answer
