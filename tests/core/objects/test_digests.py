"""ETags and checksums of parts, beside those of the whole."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.checksums import ALGORITHMS, told
from inservice.objects import digests
from inservice.s3_errors import InvalidRequest

PIECES = st.lists(st.binary(max_size=64), min_size=1, max_size=12)
CRCS = sorted(name for name, algorithm in ALGORITHMS.items() if algorithm.crc)


def value_of(algorithm: str, data: bytes) -> str:
    running = ALGORITHMS[algorithm].new()
    running.update(data)
    return told(running.digest())


@given(PIECES, st.sampled_from(CRCS))
def test_the_parts_come_to_the_whole(pieces: Sequence[bytes], algorithm: str) -> None:
    parts = [(value_of(algorithm, piece), len(piece)) for piece in pieces]
    assert digests.full_object(algorithm, parts) == value_of(algorithm, b"".join(pieces))


def test_a_whole_is_zlibs_too() -> None:
    pieces = [bytes(5 * 1024**2), b"the end"]
    parts = [(told(zlib.crc32(piece).to_bytes(4)), len(piece)) for piece in pieces]
    assert digests.full_object("CRC32", parts) == told(zlib.crc32(b"".join(pieces)).to_bytes(4))


@given(PIECES, st.sampled_from(sorted(ALGORITHMS)))
def test_a_composite_is_a_digest_of_digests(pieces: Sequence[bytes], algorithm: str) -> None:
    values = [value_of(algorithm, piece) for piece in pieces]
    content = b"".join(map(base64.b64decode, values))
    assert digests.composite(algorithm, values) == f"{value_of(algorithm, content)}-{len(values)}"


def test_an_etag_of_parts_is_of_their_digests_and_says_how_many() -> None:
    parts = [hashlib.md5(bytes(5 * 1024**2)).hexdigest(), hashlib.md5(b"\0").hexdigest()]
    expected = hashlib.md5(bytes.fromhex("".join(parts))).hexdigest()
    assert digests.multipart_etag(parts) == f"{expected}-2"


def test_which_type_an_algorithm_has() -> None:
    assert digests.checksum_type("CRC64NVME", None) == "FULL_OBJECT"
    assert digests.checksum_type("SHA256", None) == "COMPOSITE"
    assert digests.checksum_type("CRC32", None) == "COMPOSITE"
    assert digests.checksum_type("CRC32", "FULL_OBJECT") == "FULL_OBJECT"
    for algorithm, asked in [("SHA1", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("MD5", "x")]:
        with pytest.raises(InvalidRequest, match="checksum type cannot be used"):
            digests.checksum_type(algorithm, asked)
