"""What the head of a GGUF file tells, read without loading it.

    magic "GGUF", version, how many tensors, how many pairs; then the pairs: key, type, value

All integers are little-endian. The pairs of the tokenizer come last and are megabytes: reading ends
where they begin.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

Value = int | float | bool | str | None

_SCALARS: Final[Mapping[int, str]] = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""How `struct` writes each type, by the number that the file has for it."""

_STRING: Final = 8
_ARRAY: Final = 9

_STRING_BYTES_MAX: Final = 64 * 1024 * 1024
"""A chat template is some tens of kilobytes; a length beyond this is a damaged file's."""

_PAIRS_MAX: Final = 100_000

EMBEDDERS: Final = frozenset(
    ("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3")
)
"""Architectures that write no text, whatever else their files say."""


class NotGguf(Exception):
    """A file that is none, or is cut off; the message says which."""


def read(file: Path) -> dict[str, Value]:
    """The pairs before the tokenizer's, arrays as None. Raises NotGguf and OSError."""
    with file.open("rb") as stream:
        if (magic := stream.read(4)) != b"GGUF":
            raise NotGguf(
                f"{file.name} is no GGUF file: it begins with {magic!r}, and not with b'GGUF'"
            )
        try:
            return _pairs(stream)
        except (struct.error, EOFError, ValueError, KeyError, RecursionError) as error:
            raise NotGguf(f"{file.name} is damaged or cut off: its head cannot be read") from error


def _pairs(stream: BinaryIO) -> dict[str, Value]:
    _one(stream, "<I")  # the version: 2 and 3 differ in nothing that is read here
    _one(stream, "<Q")  # how many tensors
    count = min(_count(stream), _PAIRS_MAX)
    found: dict[str, Value] = {}
    for _ in range(count):
        key = _string(stream)
        if key.startswith("tokenizer."):
            break
        found[key] = _value(stream, int(_one(stream, "<I")))
    return found


def _value(stream: BinaryIO, kind: int) -> Value:
    if kind == _STRING:
        return _string(stream)
    if kind != _ARRAY:
        return _one(stream, _SCALARS[kind])
    inner, length = int(_one(stream, "<I")), _count(stream)
    if inner in _SCALARS:
        stream.seek(struct.calcsize(_SCALARS[inner]) * length, 1)
    else:
        for _ in range(length):
            _value(stream, inner)
    return None


def _one(stream: BinaryIO, form: str) -> int | float | bool:
    (value,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    assert isinstance(value, int | float)
    return value


def _count(stream: BinaryIO) -> int:
    return int(_one(stream, "<Q"))


def _string(stream: BinaryIO) -> str:
    length = _count(stream)
    if length > _STRING_BYTES_MAX:
        raise EOFError
    text = stream.read(length)
    if len(text) != length:
        raise EOFError
    return text.decode()


def context_length(pairs: Mapping[str, Value]) -> int | None:
    """How many tokens the model was made for."""
    length = pairs.get(f"{pairs.get('general.architecture')}.context_length")
    return length if isinstance(length, int) and length > 0 else None


def embeds(pairs: Mapping[str, Value]) -> bool:
    """Whether it is a model of embeddings, and writes no text."""
    architecture = pairs.get("general.architecture")
    return architecture in EMBEDDERS or f"{architecture}.pooling_type" in pairs
