"""What matches an answer to its request where we own both ends: a token that is said back.

A request to one of our servers carries a token in the header EXCHANGE, and the head of its answer
holds the same line. The header belongs to its hop: it goes neither to a client nor to a handler.
`client` tells what rests on it.
"""

from __future__ import annotations

import os
from typing import Final

EXCHANGE: Final = b"x-inservice-exchange"
"""The name, as it is sent and said back: byte for byte, in lower case."""

_SIZE: Final = 16
_DEALT_AT_ONCE: Final = 512


class Tokens:
    """Tokens for requests: 64 bits of the kernel's randomness each, so that nobody guesses the next
    request's. Read by the hundred they cost 0.06 µs, one by one 0.7."""

    __slots__ = ("_at", "_dealt")

    def __init__(self) -> None:
        self._dealt = b""
        self._at = 0

    def next(self) -> bytes:
        """16 characters that nobody else knows."""
        at = self._at
        if at >= len(self._dealt):
            self._dealt = os.urandom(_SIZE // 2 * _DEALT_AT_ONCE).hex().encode()
            at = 0
        self._at = at + _SIZE
        return self._dealt[at : at + _SIZE]
