"""One seal: the checksum of values that stand in a row. What a table does with its seals is in
`seals`, which knows tables by SQLAlchemy; who keeps rows without it has these."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

SEAL_CHARACTERS = 16
"""64 bits: a damage passes unseen once in 10¹⁹ times."""


def _as_text(value: object) -> str:
    """SQLAlchemy's own kind of text, which a key may be and msgspec does not know."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"a column holds no {type(value)}")


_encode = msgspec.msgpack.Encoder(enc_hook=_as_text).encode


def seal_of(table: str, column: str, values: Sequence[Any]) -> str:
    """The seal of these values in a row of a table, key included. Raises TypeError or ValueError
    for values that no column can have."""
    content = _encode((table, column, values))
    return hashlib.blake2b(content, digest_size=SEAL_CHARACTERS // 2).hexdigest()
