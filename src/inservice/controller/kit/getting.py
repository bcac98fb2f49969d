"""Getting a document from a stranger: one deadline over all of it, one size that it may have.

Redirects, proxies and cookies are not followed, and nothing is asked for compressed: so many bytes
come as are said, or as were let in. Where may be connected to is `dialing`'s.
"""

from __future__ import annotations

import asyncio
from typing import Final

import httptools

from inservice import __version__
from inservice.controller.kit.dialing import Dialer, NotAllowed
from inservice.controller.kit.receivers import BadReceiver, Receiver, receiver_of

EXCHANGE_SECONDS: Final = 5.0
"""From the look-up of the name to the last byte, however it is drawn out. Whoever waits for it has
a client that waits for a minute."""

READ_BYTES: Final = 64 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024


class NotGot(Exception):
    """There is no document; the message says why."""


async def document_at(url: str, dialer: Dialer, bytes_max: int) -> bytes:
    """What a URL gives. Raises NotGot."""
    try:
        receiver = receiver_of(url)
        async with asyncio.timeout(EXCHANGE_SECONDS):
            return await _exchange(receiver, dialer, bytes_max)
    except TimeoutError:
        raise NotGot(f"it did not answer in {EXCHANGE_SECONDS:g} s") from None
    except (BadReceiver, NotAllowed) as refused:
        raise NotGot(str(refused)) from None
    except OSError as problem:
        raise NotGot(str(problem) or type(problem).__name__) from problem


async def _exchange(receiver: Receiver, dialer: Dialer, bytes_max: int) -> bytes:
    reader, writer = await dialer.connect(receiver, EXCHANGE_SECONDS)
    try:
        head = (
            f"GET {receiver.path} HTTP/1.1\r\nHost: {receiver.authority}\r\n"
            f"User-Agent: InService/{__version__}\r\nAccept: application/json\r\n"
            "Connection: close\r\n\r\n"
        )
        writer.write(head.encode("latin-1"))
        answer = _Answer(bytes_max)
        while not answer.whole:
            data = await reader.read(READ_BYTES)
            answer.feed(data)
            if not data:
                break
        return answer.document()
    finally:
        writer.transport.abort()


class _Answer:
    """What the parser tells of an answer."""

    def __init__(self, bytes_max: int) -> None:
        self.whole = False
        self._bytes_max = bytes_max
        self._status = 0
        self._fed = 0
        self._length: int | None = None
        self._chunked = False
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Raises NotGot for what is no answer, or has no end."""
        self._fed += len(data)
        if self._fed > HEAD_BYTES_MAX + 2 * self._bytes_max:  # chunks have heads too
            raise NotGot("its answer has no end")
        try:
            if data:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.whole:
                return
            raise NotGot("its answer is not HTTP") from error

    def document(self) -> bytes:
        """All of it. Raises NotGot where it was cut short, or is an error's."""
        body = b"".join(self._parts)
        if self._status != 200:
            raise NotGot(f"it answered {self._status}" if self._status else "it did not answer")
        cut = self._chunked or (self._length is not None and len(body) < self._length)
        if not self.whole and cut:
            raise NotGot("its answer was cut short")
        return body

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-length" and value.strip().isdigit():
            self._length = int(value)
        self._chunked = self._chunked or name.lower() == b"transfer-encoding"

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)
        if sum(map(len, self._parts)) > self._bytes_max:
            raise NotGot(f"its answer is longer than {self._bytes_max} bytes")

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self.whole = True
        else:  # 100 and 103 come before the answer
            self._parts.clear()
