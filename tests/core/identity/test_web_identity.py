"""Identity tokens, once their signature is right: what is believed of them, and what is not."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.errors import AwsError
from inservice.identity.iam.entities import OidcProvider
from inservice.identity.sts.errors import InvalidIdentityToken
from inservice.identity.sts.jwks import candidates, usable_keys
from inservice.identity.sts.web_identity import Unproven, believed, read

NOW = 1_750_000_000.0
HOST = "issuer.example/Realm"
PROVIDER = OidcProvider("111122223333", HOST, f"https://{HOST}", 1.0, ("app", "other"))
CLAIMS: Mapping[str, Any] = {
    "iss": f"https://{HOST}",
    "aud": "app",
    "sub": "somebody",
    "exp": NOW + 1,
    "iat": NOW,
}
TAGS = "https://aws.amazon.com/tags"
SOURCE = "https://aws.amazon.com/source_identity"


def code(**changed: Any) -> tuple[str, str]:
    claims = {**CLAIMS, **changed}
    with pytest.raises(AwsError) as caught:
        believed({key: value for key, value in claims.items() if value is not None}, PROVIDER, NOW)
    return caught.value.code, caught.value.message


def test_what_is_believed_is_for_the_trust_policy_and_the_session() -> None:
    found = believed({**CLAIMS, "amr": ["authenticated", "mfa"]}, PROVIDER, NOW)
    prefix = HOST.lower()
    assert found.keys == {
        f"{prefix}:aud": "app",
        f"{prefix}:sub": "somebody",
        f"{prefix}:amr": ("authenticated", "mfa"),
    }
    assert found.session_keys == {
        f"{prefix}:aud": "app",
        f"{prefix}:sub": "somebody",
        "aws:federatedprovider": "arn:aws:iam::111122223333:oidc-provider/issuer.example/Realm",
    }
    assert (found.subject, found.audience) == ("somebody", "app")


@pytest.mark.parametrize(
    ("audience", "party", "told"),
    [
        ("other", None, {"aud": "other"}),
        (["strange", "app"], None, {"aud": "app"}),
        (["account"], "app", {"aud": "app", "oaud": ("account",)}),
        ("strange", "app", {"aud": "app", "oaud": ("strange",)}),
        ("app", "strange", None),
        (["strange"], None, None),
        ("strange", "", None),
        ("app ", None, None),
        ("APP", None, None),
    ],
)
def test_it_has_to_be_for_an_audience_that_is_registered(
    audience: Any, party: str | None, told: Mapping[str, Any] | None
) -> None:
    changed = {"aud": audience, "azp": party}
    if told is None:
        assert code(**changed) == ("InvalidIdentityToken", "Incorrect token audience")
    else:
        keys = believed({**CLAIMS, **changed}, PROVIDER, NOW).keys
        own = {key.rpartition(":")[2]: value for key, value in keys.items()}
        assert own == {"sub": "somebody", **told}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"exp": NOW}, "ExpiredTokenException"),
        ({"exp": NOW - 10**6}, "ExpiredTokenException"),
        ({"exp": None}, "InvalidIdentityToken"),
        ({"exp": str(NOW + 60)}, "InvalidIdentityToken"),
        ({"exp": True}, "InvalidIdentityToken"),
        ({"exp": float("inf")}, "InvalidIdentityToken"),
        ({"exp": float("nan")}, "InvalidIdentityToken"),
        ({"nbf": NOW + 301}, "IDPRejectedClaim"),
        ({"iat": NOW + 301}, "IDPRejectedClaim"),
        ({"iat": [NOW]}, "InvalidIdentityToken"),
        ({"sub": None}, "InvalidIdentityToken"),
        ({"sub": ""}, "InvalidIdentityToken"),
        ({"sub": 7}, "InvalidIdentityToken"),
        ({"sub": "x" * 256}, "InvalidIdentityToken"),
        ({"aud": None}, "InvalidIdentityToken"),
        ({"aud": []}, "InvalidIdentityToken"),
        ({"aud": {"app": 1}}, "InvalidIdentityToken"),
        ({"iss": f"https://{HOST}/"}, "InvalidIdentityToken"),
        ({"iss": f"http://{HOST}"}, "InvalidIdentityToken"),
        ({"iss": f"https://{HOST.lower()}"}, "InvalidIdentityToken"),
        ({TAGS: "x"}, "InvalidIdentityToken"),
        ({TAGS: {"principal_tags": {"k": "v"}}}, "InvalidIdentityToken"),
        ({TAGS: {"principal_tags": {"k": ["v", "w"]}}}, "InvalidIdentityToken"),
        ({TAGS: {"principal_tags": {"": ["v"]}}}, "InvalidIdentityToken"),
        ({TAGS: {"principal_tags": {"k": ["v" * 257]}}}, "InvalidIdentityToken"),
        ({TAGS: {"principal_tags": {}, "transitive_tag_keys": "k"}}, "InvalidIdentityToken"),
        ({SOURCE: "a b"}, "InvalidIdentityToken"),
        ({SOURCE: 7}, "InvalidIdentityToken"),
    ],
)
def test_what_is_not_believed(changed: Mapping[str, Any], expected: str) -> None:
    assert code(**changed)[0] == expected


def test_a_clock_that_is_ahead_is_forgiven_a_little() -> None:
    assert believed({**CLAIMS, "iat": NOW + 299, "nbf": NOW + 299}, PROVIDER, NOW)


def test_tags_and_a_source_identity_come_along() -> None:
    tags = {"principal_tags": {"Team": ["a"], "b": ["c"]}, "transitive_tag_keys": ["Team"]}
    found = believed({**CLAIMS, TAGS: tags, SOURCE: "ana@example"}, PROVIDER, NOW)
    assert (list(found.tags), found.transitive) == ([("Team", "a"), ("b", "c")], ("Team",))
    assert found.source_identity == "ana@example"


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(header: Any, claims: Any, mark: str = "mark") -> str:
    return f"{part(header)}.{part(claims)}.{mark}"


def test_a_token_says_whose_it_is() -> None:
    text = token({"alg": "ES256", "kid": "k"}, CLAIMS)
    assert read(text) == Unproven(f"https://{HOST}", "k", "ES256")
    assert read(token({"alg": "RS512"}, CLAIMS)).key_id is None


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a.b", "a.b.c", "a.b.c.d", token({"alg": "RS256"}, CLAIMS, "")),
        token({"alg": "none"}, CLAIMS),
        token({"alg": "HS256"}, CLAIMS),
        token({"alg": "rs256"}, CLAIMS),
        token({"alg": ["RS256"]}, CLAIMS),
        token({"alg": "PS256"}, CLAIMS),
        token({}, CLAIMS),
        token([], CLAIMS),
        token({"alg": "RS256", "kid": 7}, CLAIMS),
        token({"alg": "RS256", "crit": ["b64"], "b64": False}, CLAIMS),
        token({"alg": "RS256"}, []),
        token({"alg": "RS256"}, {}),
        token({"alg": "RS256"}, {"iss": 7}),
        token({"alg": "RS256"}, {"iss": ""}),
        f"{part({'alg': 'RS256'})}.{'W' * 18_000}.mark",
        f"{part({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'[' * 9_000).decode()}.mark",
    ],
)
def test_what_is_no_token_is_told_so(text: str) -> None:
    with pytest.raises(InvalidIdentityToken):
        read(text)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]*\\.[A-Za-z0-9_=-]*\\.[A-Za-z0-9_-]*"))
def test_whatever_comes_is_a_token_or_is_told_so(text: str) -> None:
    with contextlib.suppress(InvalidIdentityToken):
        assert read(text).issuer


RSA = {"kty": "RSA", "kid": "r", "n": "x", "e": "AQAB"}
EC = {"kty": "EC", "kid": "e", "crv": "P-256", "x": "x", "y": "y"}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"keys": [RSA, EC]}, [RSA, EC]),
        ({"keys": [{**RSA, "use": "enc"}, {**EC, "key_ops": ["sign"]}]}, []),
        ({"keys": [{"kty": "oct", "k": "secret"}, 7, None, [], {}]}, []),
        ({"keys": {"a": RSA}}, []),
        ({}, []),
        ([], []),
        (None, []),
        ({"keys": [RSA] * 500}, [RSA] * 100),
    ],
)
def test_of_a_jwks_what_can_sign_is_taken(document: Any, found: list[Any]) -> None:
    assert usable_keys(document) == found


def test_a_key_signs_by_its_own_kind_alone() -> None:
    keys: list[Any] = [RSA, EC, {**RSA, "kid": "s", "alg": "RS512"}]

    def kids(algorithm: str, key_id: str | None) -> list[str]:
        return [each["kid"] for each in candidates(keys, Unproven("i", key_id, algorithm))]

    assert kids("RS256", "r") == ["r"]
    assert kids("RS256", None) == ["r"]
    assert kids("RS512", None) == ["r", "s"]
    assert kids("RS256", "e") == kids("ES256", "r") == kids("RS256", "s") == []
    assert kids("ES256", None) == ["e"]
