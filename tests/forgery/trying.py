"""Trying forged requests on a server, over connections that stay open, and counting what passes."""

from __future__ import annotations

import contextlib
import http.client
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.forgery.credentials import There
from tests.forgery.forged import PLANES, Forger, Sent

RIGHT_EVERY = 2_000
"""Forged requests between two rounds of right ones: a server that refuses everything would pass."""


@dataclass
class Tried:
    """What came of it."""

    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    passed: list[Sent] = field(default_factory=list)
    right: int = 0


class Trying:
    """One connection to a server."""

    def __init__(self, there: There) -> None:
        place = urlsplit(there.server.url)
        assert place.hostname is not None
        self._there = there
        self._connection = http.client.HTTPConnection(place.hostname, place.port, timeout=180)

    def status(self, sent: Sent) -> int:
        """What is answered to a request."""
        for again in (True, False):
            try:
                self._put(sent)
                answer = self._connection.getresponse()
                answer.read()
            except (http.client.HTTPException, OSError):
                self._connection.close()  # it is closed after some refusals
                if not again:
                    raise
            else:
                return answer.status
        raise AssertionError("never here")

    def _put(self, sent: Sent) -> None:
        connection = self._connection
        connection.putrequest(sent.method, sent.target, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.headers.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(sent.body)))
        connection.endheaders(sent.body)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()


def try_forgeries(there: There, count: int, seed: int) -> Tried:
    """Send so many, and among them right ones, each of which has to pass."""
    with contextlib.closing(Trying(there)) as trying:
        return _tried(there, trying, count, seed)


def _tried(there: There, trying: Trying, count: int, seed: int) -> Tried:
    tried, forger = Tried(), Forger(there, seed)
    for number in range(count):
        if number % RIGHT_EVERY == 0:
            for who in there.good:
                for plane in PLANES:
                    status = trying.status(forger.right(who, plane))
                    assert status == 200, f"{who.kind} is refused on {plane}: {status}"
                    tried.right += 1
        sent = forger.next()
        status = trying.status(sent)
        tried.faults[sent.fault] += 1
        tried.statuses[status] += 1
        if status < 400:
            tried.passed.append(sent)
    return tried
