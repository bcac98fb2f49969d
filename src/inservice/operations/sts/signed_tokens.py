"""Whether the provider signed an identity token: with joserfc, by the keys that the provider says
it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inservice.identity.sts.errors import InvalidIdentityToken
from inservice.identity.sts.jwks import Jwk, candidates
from inservice.identity.sts.web_identity import Unproven

_RSA_BITS = range(2_048, 8_193)
"""A shorter key vouches for nothing, and a longer one would cost whoever checks it, which is us."""


def signed_claims(keys: list[Jwk], token: Unproven, text: str) -> Mapping[str, Any]:
    """What a token says, if one of the keys signed it. Raises InvalidIdentityToken."""
    # Imported here: most servers never see a token, and it takes a moment.
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey

    for each in candidates(keys, token):
        try:
            key: RSAKey | ECKey
            if each["kty"] == "RSA":
                key = RSAKey.import_key(dict(each))
                if key.public_key.key_size not in _RSA_BITS:
                    continue
            else:
                key = ECKey.import_key(dict(each))
            return jwt.decode(text, key, algorithms=[token.algorithm]).claims
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    raise InvalidIdentityToken("The signature of the ID Token is not its provider's.")
