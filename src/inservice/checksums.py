"""The checksums of S3, as they run over data that comes in pieces, and as those of parts add up.

    CRC32 CRC32C CRC64NVME   of parts those of the whole follow (FULL_OBJECT); 10 ms for 100 MB
    SHA1 SHA256 SHA512 MD5   of parts only the digest of their digests does (COMPOSITE)

A value is told in base64, of a CRC with its highest byte first. S3 has three more, XXHASH64,
XXHASH3 and XXHASH128; those are not here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import anycrc  # type: ignore[import-untyped]  # and the wheel is compiled without settings

DEFAULT = "CRC64NVME"
"""What S3 computes of an object that came without a checksum."""


class Running(Protocol):
    """A digest of what it was told so far."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Tell it more."""
        ...

    def digest(self) -> bytes:
        """Of all of it."""
        ...


class _Crc:
    """A CRC with the interface of `hashlib`."""

    __slots__ = ("_bytes", "_model", "_value")

    def __init__(self, model: str, bytes_wide: int) -> None:
        self._model = anycrc.Model(model)
        self._bytes = bytes_wide
        self._value: int = self._model.calc(b"")

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._model.calc(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._bytes)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of them. Its header is `x-amz-checksum-<name in lower case>`, its member
    `Checksum<name>`."""

    name: str
    size: int  # bytes of a value
    new: Callable[[], Running]
    crc: str | None  # the model in anycrc's catalogue, of those whose parts add up


def _crc(name: str, size: int, model: str) -> Algorithm:
    return Algorithm(name, size, lambda: _Crc(model, size), model)


def _hash(name: str, size: int, function: str) -> Algorithm:
    return Algorithm(name, size, lambda: hashlib.new(function, usedforsecurity=False), None)


ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        _crc("CRC32", 4, "CRC32"),
        _crc("CRC32C", 4, "CRC32-ISCSI"),
        _crc("CRC64NVME", 8, "CRC64-NVME"),
        _hash("SHA1", 20, "sha1"),
        _hash("SHA256", 32, "sha256"),
        _hash("SHA512", 64, "sha512"),
        _hash("MD5", 16, "md5"),
    )
}
"""By the names that AWS's model has."""


def told(digest: bytes) -> str:
    """A digest as it is sent."""
    return base64.b64encode(digest).decode()


def decoded(algorithm: str, value: str) -> bytes | None:
    """The digest that a value tells; None if it is none of this algorithm."""
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == ALGORITHMS[algorithm].size and told(digest) == value else None


def composite(algorithm: str, parts: Iterable[bytes]) -> bytes:
    """The digest of the digests of an object's parts, which is told with `-<parts>` behind it."""
    running = ALGORITHMS[algorithm].new()
    for part in parts:
        running.update(part)
    return running.digest()


def whole(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The CRC of an object of the CRCs of its parts, each with how many bytes it is of. Raises
    ValueError for an algorithm of which this cannot be said."""
    chosen = ALGORITHMS[algorithm]
    if chosen.crc is None:
        raise ValueError(algorithm)
    model = anycrc.Model(chosen.crc)
    value: int = model.calc(b"")
    for digest, size in parts:
        value = model.combine(value, int.from_bytes(digest), size)
    return value.to_bytes(chosen.size)
