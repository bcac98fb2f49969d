"""Ids as IAM writes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.identity import unique_ids


@given(st.binary(min_size=unique_ids.UNIQUE_ID_BYTES, max_size=32))
def test_a_unique_id_has_21_characters(entropy: bytes) -> None:
    assert re.fullmatch(r"AROA[A-Z2-7]{17}", unique_ids.unique_id(unique_ids.ROLE, entropy))


@given(
    st.integers(0, 10**12 - 1),
    st.binary(min_size=unique_ids.KEY_ID_BYTES, max_size=32),
    st.sampled_from([unique_ids.LONG_TERM_KEY, unique_ids.TEMPORARY_KEY]),
)
def test_a_key_says_whose_it_is(number: int, entropy: bytes, prefix: str) -> None:
    account = f"{number:012}"
    key_id = unique_ids.access_key_id(prefix, account, entropy)
    assert re.fullmatch(prefix + r"[A-Z2-7]{16}", key_id)
    assert unique_ids.account_of(key_id) == account


def test_the_known_key_of_a_known_account() -> None:
    """One that is published with its account: Aidan Steele, "AWS Access Key ID formats"."""
    assert unique_ids.account_of("ASIAQNZGKIQY56JQ7WML") == "029608264753"


@pytest.mark.parametrize(
    "key_id",
    ["", "AKIA", "AKIAIOSFODNN7EXAMPLE", "AIDAQNZGKIQY56JQ7WML", "ASIAQNZGKIQY56JQ7WM1", "root"],
)
def test_what_says_no_account(key_id: str) -> None:
    assert unique_ids.account_of(key_id) is None


def test_all_the_entropy_tells_keys_apart() -> None:
    ids = {unique_ids.access_key_id("AKIA", "1" * 12, n.to_bytes(5, "big")) for n in range(1000)}
    assert len(ids) == 1000


def test_too_little_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="11 bytes"):
        unique_ids.unique_id(unique_ids.USER, b"short")
    with pytest.raises(ValueError, match="5 bytes"):
        unique_ids.access_key_id(unique_ids.LONG_TERM_KEY, "1" * 12, b"")
