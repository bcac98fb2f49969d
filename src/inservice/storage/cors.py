"""Web pages of other origins: what the rules of a bucket let a browser hand to them.

A browser asks before it sends what a form could not (a *preflight*, OPTIONS without a signature),
and looks at the answer of whatever it sends. To both it is told of the first rule that has the
origin, the method and, of a preflight, all headers; where there is none, a preflight is refused and
an answer says nothing, which the browser takes for a no. It is the browser that heeds this: whoever
asks without one is let in by policies alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from inservice.s3_errors import S3Error
from inservice.storage.operations.refusals import BadRequest

Rules = Sequence[Mapping[str, Any]]
"""As PutBucketCors keeps them."""

_VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


class AccessForbidden(S3Error):
    """No rule lets a browser do this. `Method`, `ResourceType`."""

    status = 403
    words = (
        "CORSResponse: This CORS request is not allowed. This is usually because the evalution of "
        "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers "
        "are not whitelisted by the resource's CORS spec."
    )


def preflight(rules: Rules | None, fields: Mapping[bytes, bytes], kind: str) -> dict[str, str]:
    """The headers that answer a preflight for a BUCKET or an OBJECT. `rules` are None where nobody
    put some. Raises BadRequest, AccessForbidden."""
    origin, method = _text(fields, b"origin"), _text(fields, b"access-control-request-method")
    if not origin:
        raise BadRequest("Insufficient information. Origin request header needed.")
    if rules is None:
        raise AccessForbidden(
            "CORSResponse: CORS is not enabled for this bucket.",
            Method=method or "OPTIONS",
            ResourceType="BUCKET",
        )
    if not method:
        raise BadRequest("Invalid Access-Control-Request-Method: null")
    listed = _text(fields, b"access-control-request-headers").lower().split(",")
    headers = [name.strip() for name in listed if name.strip()]
    told = allowed(rules, origin, method, headers)
    if told is None:
        raise AccessForbidden(Method=method, ResourceType=kind)
    return told


def allowed(
    rules: Rules, origin: str, method: str, headers: Sequence[str] = ()
) -> dict[str, str] | None:
    """What a browser is told of the first rule that fits; None if there is none."""
    for rule in rules:
        fitting = [each for each in rule["AllowedOrigins"] if _fits(each, origin)]
        names = rule.get("AllowedHeaders") or ()
        if not fitting or method not in rule["AllowedMethods"]:
            continue
        if all(any(_fits(each.lower(), name) for each in names) for name in headers):
            return _told(rule, origin, headers, everybody="*" in fitting)
    return None


def _told(
    rule: Mapping[str, Any], origin: str, headers: Sequence[str], *, everybody: bool
) -> dict[str, str]:
    told = {
        "Access-Control-Allow-Origin": "*" if everybody else origin,
        "Access-Control-Allow-Methods": ", ".join(rule["AllowedMethods"]),
        "Vary": _VARY,
    }
    if not everybody:
        told["Access-Control-Allow-Credentials"] = "true"
    if headers:
        told["Access-Control-Allow-Headers"] = ", ".join(headers)
    if rule.get("ExposeHeaders"):
        told["Access-Control-Expose-Headers"] = ", ".join(rule["ExposeHeaders"])
    if rule.get("MaxAgeSeconds") is not None:
        told["Access-Control-Max-Age"] = str(rule["MaxAgeSeconds"])
    return told


def _fits(pattern: str, text: str) -> bool:
    """A pattern has one `*` at most."""
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == text
    long_enough = len(text) >= len(before) + len(after)
    return long_enough and text.startswith(before) and text.endswith(after)


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    """A header's value; "" of one that is not there, or could not stand in an answer."""
    value = fields.get(name, b"").decode("latin-1").strip()
    return value if re.fullmatch(r"[\x20-\x7e]*", value) else ""
