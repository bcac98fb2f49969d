"""Records as JSON text, and back. A Fraction is written "1/3", so that no share is ever rounded."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Generic, TypeVar

import msgspec

_Record = TypeVar("_Record")


class Codec(Generic[_Record]):
    """Writes and reads the records of one type."""

    def __init__(self, record_type: type[_Record]) -> None:
        self._encoder = msgspec.json.Encoder(enc_hook=_to_builtin)
        self._decoder = msgspec.json.Decoder(record_type, dec_hook=_from_builtin)

    def encode(self, record: _Record) -> str:
        """The record as JSON text."""
        return self._encoder.encode(record).decode()

    def decode(self, text: str) -> _Record:
        """The record that `encode` was given. Raises msgspec.DecodeError for any other text."""
        return self._decoder.decode(text)


def _to_builtin(value: Any) -> str:
    if isinstance(value, Fraction):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__qualname__}")


def _from_builtin(kind: type, value: Any) -> Fraction:
    if kind is Fraction:
        return Fraction(value)
    raise TypeError(f"no {kind.__qualname__} in JSON")
