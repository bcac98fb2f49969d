"""The ids of IAM's entities and of access keys, made of entropy that is passed in.

A unique id is a prefix that says of what, and 17 characters of base 32; it is never used again, so
that who is made anew under an old name does not get what the old one was trusted with. The id of an
access key has 16 characters of base 32 after its prefix, and AWS writes the account into them:

    1 bit set · 40 bits of the account's number · 39 bits of entropy

Scanners for leaked keys read the account there without asking anybody; so does GetAccessKeyInfo.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error
from typing import Final

USER: Final = "AIDA"
GROUP: Final = "AGPA"
ROLE: Final = "AROA"
INSTANCE_PROFILE: Final = "AIPA"
MANAGED_POLICY: Final = "ANPA"
POLICY_VERSION: Final = "ANVA"
LONG_TERM_KEY: Final = "AKIA"
TEMPORARY_KEY: Final = "ASIA"

UNIQUE_ID_BYTES: Final = 11
"""Of entropy that `unique_id` wants: 17 characters of 5 bits."""

KEY_ID_BYTES: Final = 5
"""Of entropy that `access_key_id` wants."""

_ENTROPY_BITS: Final = 39
_TOP: Final = 1 << 79


def unique_id(prefix: str, entropy: bytes) -> str:
    """21 characters, as `AIDAJQABLZS4A3QDU576Q`."""
    if len(entropy) < UNIQUE_ID_BYTES:
        raise ValueError(f"A unique id is made of {UNIQUE_ID_BYTES} bytes.")
    return prefix + b32encode(entropy).decode()[:17]


def access_key_id(prefix: str, account: str, entropy: bytes) -> str:
    """20 characters, as `AKIAIOSFODNN7EXAMPLE`; `account_of` tells the account again."""
    if len(entropy) < KEY_ID_BYTES:
        raise ValueError(f"The id of an access key is made of {KEY_ID_BYTES} bytes.")
    rest = int.from_bytes(entropy[:KEY_ID_BYTES], "big") & (1 << _ENTROPY_BITS) - 1
    number = _TOP | int(account) << _ENTROPY_BITS | rest
    return prefix + b32encode(number.to_bytes(10, "big")).decode()


def account_of(key_id: str) -> str | None:
    """The account that the id of an access key says it belongs to; None if it says none."""
    if len(key_id) != 20 or key_id[:4] not in (LONG_TERM_KEY, TEMPORARY_KEY):
        return None
    try:
        number = int.from_bytes(b32decode(key_id[4:]), "big")
    except Error:
        return None
    account = (number & _TOP - 1) >> _ENTROPY_BITS
    return f"{account:012}" if number & _TOP and account < 10**12 else None
