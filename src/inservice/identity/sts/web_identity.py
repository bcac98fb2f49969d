"""Identity tokens of OIDC providers: what is said in one, and what of it is believed.

    reading     what a token claims, before anybody has vouched for it: whose it is, and which key
                it says it was signed with. That is all that it is good for until then
    checking    once its signature is right: that it is for us, and now
    believing   the condition keys that it gives the trust policy, `<host/path>:sub` and so on, the
                session's tags and its source identity

A signature is no business of this module (`operations.sts.signed_tokens`). Moments are seconds
since the epoch, as in the token.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from inservice.identity.iam.entities import OidcProvider
from inservice.identity.policies.variables import ContextValue
from inservice.identity.sts.errors import (
    ExpiredIdentityToken,
    IdpRejectedClaim,
    InvalidIdentityToken,
)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""Signatures that are taken: AWS's, all of them with a key that only the provider has."""

SKEW_SECONDS: Final = 300
"""How far a provider's clock may be ahead."""

SUBJECT_MAX: Final = 255

_TAGS: Final = "https://aws.amazon.com/tags"
_SOURCE: Final = "https://aws.amazon.com/source_identity"

_SOURCE_FORM: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_NOT_JWT: Final = (
    "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
)


@dataclass(frozen=True, slots=True)
class Unproven:
    """What a token claims, which nobody has vouched for."""

    issuer: str
    key_id: str | None  # of the key that it says it was signed with
    algorithm: str


@dataclass(frozen=True, slots=True)
class Believed:
    """What a token says, whose signature is right, which is for us and of now."""

    provider: OidcProvider
    subject: str
    audience: str
    keys: Mapping[str, ContextValue]
    """Condition keys for the role's trust policy, in small letters."""
    tags: Sequence[tuple[str, str]] = ()
    transitive: tuple[str, ...] = ()
    source_identity: str = ""
    session_keys: Mapping[str, str] = field(default_factory=dict)
    """Those of the condition keys that the session has as well."""


def read(token: str) -> Unproven:
    """What a token claims. Raises InvalidIdentityToken for what is no token that can be."""
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise InvalidIdentityToken(_NOT_JWT)
    header, claims = _json_of(parts[0]), _json_of(parts[1])
    algorithm, key_id, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if algorithm not in ALGORITHMS:
        raise InvalidIdentityToken(
            f"The ID Token has to be signed by one of {', '.join(ALGORITHMS)}."
        )
    if "crit" in header or not isinstance(key_id, str | None):
        raise InvalidIdentityToken(_NOT_JWT)
    if not isinstance(issuer, str) or not issuer:
        raise _lacks("iss")
    return Unproven(issuer, key_id, str(algorithm))


def believed(claims: Mapping[str, Any], provider: OidcProvider, now: float) -> Believed:
    """What a token says whose signature is right. Raises InvalidIdentityToken,
    ExpiredIdentityToken and IdpRejectedClaim."""
    if claims.get("iss") != provider.url:
        raise InvalidIdentityToken("The issuer of the ID Token is another.")
    ends = _moment(claims, "exp")
    if ends is None:
        raise _lacks("exp")
    if ends <= now:
        raise ExpiredIdentityToken(now, ends)
    for name in ("iat", "nbf"):
        begins = _moment(claims, name)
        if begins is not None and begins > now + SKEW_SECONDS:
            raise IdpRejectedClaim(f"The ID Token is not valid yet: {name} is {begins:.0f}.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_MAX:
        raise _lacks("sub")
    audience, keys = _audience(claims, provider)
    keys["sub"] = subject
    if methods := _texts(claims.get("amr")):
        keys["amr"] = tuple(methods)
    prefix = provider.name.lower()
    tags, transitive = _tags(claims)
    return Believed(
        provider,
        subject,
        audience,
        {f"{prefix}:{key}": value for key, value in keys.items()},
        tags,
        transitive,
        _source_identity(claims),
        {
            **{f"{prefix}:{key}": str(keys[key]) for key in ("aud", "sub")},
            "aws:federatedprovider": provider.arn,
        },
    )


def _audience(
    claims: Mapping[str, Any], provider: OidcProvider
) -> tuple[str, dict[str, ContextValue]]:
    """For whom it is: who it was given to, `azp`, where it says so, as AWS has it."""
    stated = _texts(claims.get("aud"))
    party = claims.get("azp")
    if not stated:
        raise _lacks("aud")
    named = [party] if isinstance(party, str) and party else stated
    ours = next((each for each in named if each in provider.client_ids), None)
    if ours is None:
        raise InvalidIdentityToken("Incorrect token audience")
    return ours, {"aud": ours, **({"oaud": tuple(stated)} if named is not stated else {})}


def _tags(claims: Mapping[str, Any]) -> tuple[Sequence[tuple[str, str]], tuple[str, ...]]:
    given = claims.get(_TAGS)
    if given is None:
        return (), ()
    wrong = InvalidIdentityToken(f"The claim {_TAGS} is not of the form that AWS documents.")
    if not isinstance(given, dict) or not isinstance(given.get("principal_tags", {}), dict):
        raise wrong
    tags = []
    for key, values in given.get("principal_tags", {}).items():
        if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
            raise wrong
        if not 0 < len(key) <= 128 or len(values[0]) > 256:
            raise wrong
        tags.append((key, values[0]))
    transitive = given.get("transitive_tag_keys", [])
    if not isinstance(transitive, list) or not all(isinstance(key, str) for key in transitive):
        raise wrong
    return tags, tuple(transitive)


def _source_identity(claims: Mapping[str, Any]) -> str:
    given = claims.get(_SOURCE, "")
    if given != "" and not (isinstance(given, str) and _SOURCE_FORM.fullmatch(given)):
        raise InvalidIdentityToken(f"The claim {_SOURCE} is not a source identity.")
    return str(given)


def _texts(value: Any) -> list[str]:
    many = value if isinstance(value, list) else [value]
    return [each for each in many if isinstance(each, str) and each]


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise InvalidIdentityToken(f"{name} of the ID Token is not a time.")
    return float(value)


def _lacks(name: str) -> InvalidIdentityToken:
    return InvalidIdentityToken(f"Missing a required claim: {name}")


def _json_of(part: str) -> Mapping[str, Any]:
    try:
        octets = part.encode("ascii")
        decoded = base64.b64decode(octets + b"=" * (-len(octets) % 4), b"-_", validate=True)
        value = json.loads(decoded)
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidIdentityToken(_NOT_JWT) from None
    if not isinstance(value, dict):
        raise InvalidIdentityToken(_NOT_JWT)
    return value
