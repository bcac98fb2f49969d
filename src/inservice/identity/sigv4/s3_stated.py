"""What a request to S3 says of its own signature, and S3's words for each way to say it wrongly.

There are three ways to be someone and only one may be used: the Authorization header, a presigned
URL, or the form that a browser posts, which is refused elsewhere since it is no signature of a
request. Version 2 of the signature has both of the first two and is refused in AWS's words; so has
the asymmetric one, SigV4A, which is refused by its name. Who uses none of them is nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

from inservice.errors import NotImplementedYet, OutdatedSignature
from inservice.identity.sigv4.canonical import KEPT
from inservice.identity.sigv4.stated import ALGORITHM, epoch, stamp_of
from inservice.s3_errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidArgument,
    RequestTimeTooSkewed,
)

S3_SKEW_SECONDS: Final = 900
"""How far a client's clock may be off, either way: S3's own rule of a quarter of an hour."""

S3_EXPIRES_SECONDS_MAX: Final = 604_800
"""The longest life of a presigned URL: seven days."""

_ASYMMETRIC: Final = b"AWS4-ECDSA-P256-SHA256"
_EXPECTED: Final = '"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"'
_FIELD: Final = re.compile(rb"(Credential|SignedHeaders|Signature)=([^\s,=]{1,4096})")
_CREDENTIAL: Final = re.compile(
    rb"([A-Za-z0-9_]{1,128})/([0-9]{8})/([A-Za-z0-9-]{1,64})/([A-Za-z0-9._-]{1,64})/aws4_request"
)
_LAST: Final = b"Signature="
_DIGITS: Final = re.compile(rb"[0-9a-f]{64}")
_NEEDED_IN_QUERY: Final = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Signature",
    b"X-Amz-Date",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Expires",
)


class S3Stated(NamedTuple):
    """What it says, well-formed and in time; nothing of it is believed yet."""

    key_id: str
    scope: tuple[str, str, str]  # date, region, service
    scope_line: bytes
    signed: tuple[bytes, ...]  # names of the signed headers, as they stand there
    signed_line: bytes
    signature: bytes
    stamp: bytes  # of the string to sign
    token: bytes | None
    presigned: bool


def s3_stated(
    fields: Mapping[bytes, bytes], parameters: Mapping[bytes, bytes], now: float
) -> S3Stated | None:
    """What a request says, or None for that nobody signed it. `fields` are the headers and
    `parameters` the query, decoded. Raises S3's errors about it."""
    authorization = fields.get(b"authorization")
    ways = [
        authorization is not None,
        b"X-Amz-Algorithm" in parameters or b"X-Amz-Signature" in parameters,
        b"AWSAccessKeyId" in parameters or b"Signature" in parameters,
    ]
    if sum(ways) > 1:
        raise InvalidArgument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature "
            "query string parameter or the Authorization header should be specified",
            ArgumentName="Authorization",
            ArgumentValue=(authorization or b"").partition(b" ")[0].decode("latin-1"),
        )
    if ways[2]:
        raise OutdatedSignature
    if authorization is not None:
        return _in_header(authorization, fields, now)
    return _in_query(parameters, now) if ways[1] else None


class _Terms(NamedTuple):
    """What is the same in request after request of one client on one day, so worth keeping."""

    key_id: str
    scope: tuple[str, str, str]
    scope_line: bytes
    signed: tuple[bytes, ...]
    signed_line: bytes


def _in_header(authorization: bytes, fields: Mapping[bytes, bytes], now: float) -> S3Stated:
    # As every SDK writes it, the signature comes last and has 64 digits.
    begun, given = authorization[:-64], authorization[-64:]
    if begun.endswith(_LAST) and _DIGITS.fullmatch(given):
        terms = _repeated_terms(begun)
    else:
        terms, given = _header_terms(authorization)
    stamp = _stamp(fields)
    date = terms.scope[0]
    if not stamp.startswith(date.encode()):
        raise AuthorizationHeaderMalformed(
            f'The authorization header is malformed; Invalid credential date "{date}". '
            f'This date is not the same as X-Amz-Date: "{stamp[:8].decode("latin-1")}".'
        )
    _check_skew(stamp, now)
    token = fields.get(b"x-amz-security-token")
    return S3Stated(*terms, given, stamp, token, presigned=False)


@lru_cache(maxsize=KEPT)
def _repeated_terms(begun: bytes) -> _Terms:
    return _header_terms(begun + b"0" * 64)[0]


def _header_terms(authorization: bytes) -> tuple[_Terms, bytes]:
    """The terms, and the signature."""
    algorithm, _, rest = authorization.strip().partition(b" ")
    if algorithm == b"AWS":
        raise OutdatedSignature
    if algorithm == _ASYMMETRIC:
        raise NotImplementedYet(f"signatures by {_ASYMMETRIC.decode()} (SigV4A)")
    if algorithm != ALGORITHM:
        raise InvalidArgument(
            "Unsupported Authorization Type",
            ArgumentName="Authorization",
            ArgumentValue=algorithm[:64].decode("latin-1"),
        )
    said: dict[bytes, bytes] = {}
    for part in rest.split(b","):
        match = _FIELD.fullmatch(part.strip())
        if match is None or match[1] in said:
            raise AuthorizationHeaderMalformed(
                "The authorization header is malformed; the authorization header requires three "
                "components: Credential, SignedHeaders, and Signature."
            )
        said[match[1]] = match[2]
    if len(said) != 3:
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed; the authorization header requires three "
            "components: Credential, SignedHeaders, and Signature."
        )
    match = _CREDENTIAL.fullmatch(said[b"Credential"])
    if match is None:
        raise AuthorizationHeaderMalformed(
            "The authorization header is malformed; the Credential is mal-formed; "
            f"expecting {_EXPECTED}."
        )
    key_id, date, region, service = (part.decode() for part in match.groups())
    if service != "s3":
        raise AuthorizationHeaderMalformed(
            f'The authorization header is malformed; incorrect service "{service}". '
            'This endpoint belongs to "s3".'
        )
    signed_line = said[b"SignedHeaders"]
    terms = _Terms(
        key_id,
        (date, region, service),
        said[b"Credential"][len(key_id) + 1 :],
        tuple(signed_line.split(b";")),
        signed_line,
    )
    return terms, said[b"Signature"]


def _stamp(fields: Mapping[bytes, bytes]) -> bytes:
    """X-Amz-Date, or what the Date header says in its form: S3 takes either."""
    if (stamp := fields.get(b"x-amz-date")) is not None:
        if epoch(stamp) is not None:
            return stamp
    elif (dated := fields.get(b"date")) is not None:
        if epoch(dated) is not None:
            return dated
        try:
            moment = parsedate_to_datetime(dated.decode("latin-1"))
        except ValueError:
            moment = None
        if moment is not None:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return stamp_of(moment.timestamp()).encode()
    raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")


def _check_skew(stamp: bytes, now: float) -> None:
    signed_at = epoch(stamp)
    if signed_at is None or abs(now - signed_at) > S3_SKEW_SECONDS:
        raise RequestTimeTooSkewed(
            RequestTime=stamp.decode("latin-1"),
            ServerTime=_moment(now),
            MaxAllowedSkewMilliseconds=S3_SKEW_SECONDS * 1000,
        )


def _in_query(parameters: Mapping[bytes, bytes], now: float) -> S3Stated:
    if parameters.get(b"X-Amz-Algorithm") == _ASYMMETRIC:
        raise NotImplementedYet(f"signatures by {_ASYMMETRIC.decode()} (SigV4A)")
    if any(not parameters.get(name) for name in _NEEDED_IN_QUERY):
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if parameters[b"X-Amz-Algorithm"] != ALGORITHM:
        raise AuthorizationQueryParametersError(
            'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"'
        )
    match = _CREDENTIAL.fullmatch(parameters[b"X-Amz-Credential"])
    if match is None:
        raise AuthorizationQueryParametersError(
            "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; "
            f"expecting {_EXPECTED}."
        )
    key_id, date, region, service = (part.decode() for part in match.groups())
    if service != "s3":
        raise AuthorizationQueryParametersError(
            f'Error parsing the X-Amz-Credential parameter; incorrect service "{service}". '
            'This endpoint belongs to "s3".'
        )
    stamp = parameters[b"X-Amz-Date"]
    signed_at = epoch(stamp)
    if signed_at is None:
        raise AuthorizationQueryParametersError(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        )
    if not stamp.startswith(match[2]):
        raise AuthorizationQueryParametersError(
            f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: '
            f'"{stamp[:8].decode()}".'
        )
    expires = _expires(parameters[b"X-Amz-Expires"])
    if signed_at > now + S3_SKEW_SECONDS:
        raise AccessDenied(
            "Request is not yet valid",
            **{"X-Amz-Date": int(signed_at * 1000)},
            Expires=_moment(signed_at + expires),
            ServerTime=_moment(now),
        )
    if now > signed_at + expires:
        raise AccessDenied(
            "Request has expired",
            **{"X-Amz-Expires": expires},
            Expires=_moment(signed_at + expires),
            ServerTime=_moment(now),
        )
    return S3Stated(
        key_id,
        (date, region, service),
        parameters[b"X-Amz-Credential"][len(key_id) + 1 :],
        tuple(parameters[b"X-Amz-SignedHeaders"].split(b";")),
        parameters[b"X-Amz-SignedHeaders"],
        parameters[b"X-Amz-Signature"],
        stamp,
        parameters.get(b"X-Amz-Security-Token"),
        presigned=True,
    )


def _expires(text: bytes) -> int:
    if re.fullmatch(rb"-[0-9]{1,20}", text):
        raise AuthorizationQueryParametersError("X-Amz-Expires must be non-negative")
    if not re.fullmatch(rb"[0-9]{1,20}", text):
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    if int(text) > S3_EXPIRES_SECONDS_MAX:
        raise AuthorizationQueryParametersError(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires "
            "must be less than 604800 seconds"
        )
    return int(text)


def _moment(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
