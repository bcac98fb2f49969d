"""Names of buckets, and keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.objects.names import check_bucket_name, is_bucket_name, key_bytes, text_bytes
from inservice.s3_errors import InvalidArgument, InvalidBucketName, InvalidURI, KeyTooLongError

GOOD = [
    "abc",
    "a" * 63,
    "my-bucket",
    "my.bucket.1",
    "123",
    "0a0",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.x",
    "a--b",
    "sagemaker-us-east-1-123456789012",
    "xn-a",
    "amzn-s3",
    "s3alias",
    "a-s3aliases",
]
BAD = [
    *("", "a", "ab", "a" * 64, "A" * 5, "Abc", "a_b", "a b", "a/b", "a%2fb", "äbc", "abc\n"),
    *("-abc", "abc-", ".abc", "abc.", "a..b", "..", "...", "١٢٣"),
    *("192.168.5.4", "1.2.3.4", "999.999.999.999"),
    *("xn--abc", "sthree-abc", "sthree-configurator", "amzn-s3-demo-bucket"),
    *("abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--use1-az4--x-s3", "abc--table-s3"),
]


@pytest.mark.parametrize("name", GOOD)
def test_what_a_bucket_can_be_called(name: str) -> None:
    check_bucket_name(name)
    assert is_bucket_name(name)


@pytest.mark.parametrize("name", BAD)
def test_what_no_bucket_can_be_called(name: str) -> None:
    with pytest.raises(InvalidBucketName) as refused:
        check_bucket_name(name)
    assert refused.value.members == {"BucketName": name}


@given(st.text(min_size=1, max_size=256))
def test_any_text_is_a_key(key: str) -> None:
    try:
        content = key.encode()
    except UnicodeEncodeError:
        with pytest.raises(InvalidURI):
            key_bytes(key)
    else:
        assert key_bytes(key) == content


@pytest.mark.parametrize("key", ["a" * 1024, "ä" * 512, "😀" * 256, "/" * 1024, "..", "a//b", "\0"])
def test_a_key_has_up_to_1024_bytes(key: str) -> None:
    assert key_bytes(key).decode() == key
    if len(key.encode()) == 1024:
        with pytest.raises(KeyTooLongError) as refused:
            key_bytes(key + "a")
        assert refused.value.members == {"Size": 1025, "MaxSizeAllowed": 1024}


def test_no_key_is_empty_but_a_prefix_may_be() -> None:
    with pytest.raises(InvalidArgument):
        key_bytes("")
    assert text_bytes("") == b""


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(InvalidURI):
        text_bytes("a\ud800")
