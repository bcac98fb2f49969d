"""The keys of an identity provider, as its JWKS has them: which can have signed a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inservice.identity.sts.web_identity import Unproven

KEYS_MAX: Final = 100
"""Of one provider. The largest have ten."""

_TYPES: Final = {"RS": "RSA", "ES": "EC"}

Jwk = Mapping[str, Any]


def usable_keys(document: Any) -> list[Jwk]:
    """The keys of a JWKS that can have signed a token; none where it is no JWKS."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        return []
    return [each for each in keys[:KEYS_MAX] if isinstance(each, dict) and _signs(each)]


def candidates(keys: list[Jwk], token: Unproven) -> list[Jwk]:
    """The keys that a token can have been signed with."""
    wanted = _TYPES[token.algorithm[:2]]
    of_type = [
        each
        for each in keys
        if each["kty"] == wanted and each.get("alg", token.algorithm) == token.algorithm
    ]
    if token.key_id is None:
        return of_type
    return [each for each in of_type if each.get("kid") == token.key_id]


def _signs(key: Jwk) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") in _TYPES.values()
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )
