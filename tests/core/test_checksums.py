"""Checksums held against the catalogue's check values, hashlib, zlib and botocore's own."""

from __future__ import annotations

import base64
import hashlib
import zlib
from itertools import pairwise

import pytest
from botocore import httpchecksum
from hypothesis import given
from hypothesis import strategies as st

from inservice.checksums import ALGORITHMS, composite, decoded, told, whole

CHECKED = {"CRC32": 0xCBF43926, "CRC32C": 0xE3069283, "CRC64NVME": 0xAE8B14860A799888}
"""Of `123456789`, as the catalogue of CRCs has them."""


@pytest.mark.parametrize("name", CHECKED)
def test_a_crc_is_the_one_of_its_name(name: str) -> None:
    running = ALGORITHMS[name].new()
    running.update(b"123456789")
    assert running.digest() == CHECKED[name].to_bytes(ALGORITHMS[name].size)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_it_does_not_matter_in_which_pieces_data_comes(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for algorithm in ALGORITHMS.values():
        at_once, by_pieces = algorithm.new(), algorithm.new()
        at_once.update(data)
        for start, end in pairwise(edges):
            by_pieces.update(memoryview(data)[start:end])
        assert at_once.digest() == by_pieces.digest()
        assert len(at_once.digest()) == algorithm.size


@given(st.binary(max_size=200))
def test_others_compute_the_same(data: bytes) -> None:
    def ours(name: str) -> bytes:
        running = ALGORITHMS[name].new()
        running.update(data)
        return running.digest()

    assert ours("CRC32") == zlib.crc32(data).to_bytes(4)
    assert ours("MD5") == hashlib.md5(data).digest()
    for name, theirs in vars(httpchecksum)["_CHECKSUM_CLS"].items():
        assert told(ours(name.upper())) == theirs().handle(data)


@pytest.mark.parametrize("name", CHECKED)
@given(parts=st.lists(st.binary(max_size=50), max_size=6))
def test_parts_of_a_crc_add_up_to_the_whole(name: str, parts: list[bytes]) -> None:
    def of(data: bytes) -> bytes:
        running = ALGORITHMS[name].new()
        running.update(data)
        return running.digest()

    assert whole(name, [(of(part), len(part)) for part in parts]) == of(b"".join(parts))


def test_a_composite_is_the_digest_of_the_digests() -> None:
    parts = [hashlib.sha256(text).digest() for text in (b"one", b"two")]
    assert composite("SHA256", parts) == hashlib.sha256(b"".join(parts)).digest()
    with pytest.raises(ValueError, match="SHA256"):
        whole("SHA256", [(parts[0], 3)])


@pytest.mark.parametrize(
    "value",
    ["", "bad", "AAAA", "AAAAAAA=", "AAAAAA==\n", " AAAAAA==", "AAAAAB==", "AAAAAA", "ÄAAAAA=="],
)
def test_what_is_no_value_is_none(value: str) -> None:
    assert decoded("CRC32", value) is None


def test_a_value_is_read_as_it_is_told() -> None:
    for algorithm in ALGORITHMS.values():
        digest = bytes(range(algorithm.size))
        assert decoded(algorithm.name, told(digest)) == digest
        assert told(digest) == base64.b64encode(digest).decode()
