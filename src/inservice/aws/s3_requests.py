"""Which operation a request to S3 is, and of what: told by the method, the path and the query.

    PUT /bucket                     CreateBucket        a bucket is the first part of the path,
    PUT /bucket?policy              PutBucketPolicy     or stands before the server's name in Host
    PUT /bucket/a//b                PutObject           a key is the rest, whatever it looks like
    PUT /bucket/a//b?uploadId=…     UploadPart          a subresource is a name in the query
    PUT …, x-amz-copy-source        CopyObject          some operations need a header beside it

The routes are those of botocore's model: a method, a level, a subresource and what must be there
beside it. Of those that are left the one that asks for more is meant; where something is missing of
the only one, its reader says what. Parameters that nobody knows are nobody's business, as on S3:
SDKs add `x-id=GetObject`. Two subresources at once are refused, since either could be meant.

A path is decoded exactly once. `//`, `..`, `%2F` and `%00` are parts of keys; a `+` is a blank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from inservice.aws.service_model import Model
from inservice.errors import NotImplementedYet
from inservice.s3_errors import (
    InvalidArgument,
    InvalidBucketName,
    InvalidURI,
    KeyTooLongError,
    MethodNotAllowed,
)

KEY_BYTES_MAX = 1_024
"""Of a key, in UTF-8."""

_ELSEWHERE = ("ListDirectoryBuckets", "WriteGetObjectResponse")
"""Operations of hosts of their own, whose requests look like others here."""

_SUBRESOURCE_OF_PARAMETER = "uploadId"
"""Needed by the operations on the parts of an upload, and by nothing else there is."""

_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
"""Loosely: what no bucket could ever be called, and what would mean more in an ARN or a path."""

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation, and of what."""

    operation: str
    bucket: str  # "" of the service itself
    key: str
    parameters: Mapping[str, str]  # of the query, decoded
    fields: Mapping[bytes, bytes]
    """Headers by lower-case name, and those that a presigned URL carries in its query."""


class _Route(NamedTuple):
    operation: str
    needs: frozenset[str]  # `name` or `name=value` of the query, `name:` of a header


class Routes:
    """How each operation of S3's model is asked for."""

    def __init__(self, model: Model) -> None:
        self._routes: dict[tuple[str, str, str], list[_Route]] = {}
        subresources = {_SUBRESOURCE_OF_PARAMETER}
        for name in model.operations:
            operation = model.operation(name)
            if name in _ELSEWHERE or operation.get("deprecated"):
                continue
            http = operation["http"]
            path, _, query = http["requestUri"].partition("?")
            needs = {part for part in query.split("&") if part}
            given = operation.get("input", {}).get("shape")
            needs |= _required(model.shape(given)) if given else set()
            subs = {part for part in needs if part == _SUBRESOURCE_OF_PARAMETER}
            subs |= {part for part in query.split("&") if part and "=" not in part}
            assert len(subs) <= 1
            subresources |= subs
            sub = next(iter(subs), "")
            key = (http["method"], _LEVELS[path], sub)
            self._routes.setdefault(key, []).append(_Route(name, frozenset(needs - subs)))
        self.subresources = frozenset(subresources)
        """The names in a query that say which operation is asked for."""

    def asked(
        self,
        method: str,
        path: bytes,
        pairs: Sequence[tuple[bytes, bytes]],
        fields: Mapping[bytes, bytes],
        bucket_of_host: str = "",
    ) -> Asked:
        """What a request asks for: its path raw, the pairs of its query decoded.

        Raises InvalidArgument, InvalidBucketName, InvalidURI, KeyTooLongError, MethodNotAllowed,
        and NotImplementedYet for a form that a browser posts.
        """
        bucket, key = address(path, bucket_of_host)
        parameters = _parameters(pairs)
        fields = _with_hoisted(fields, parameters)
        level = "object" if key else "bucket" if bucket else "service"
        found = [name for name in parameters if name in self.subresources]
        if len(found) > 1:
            raise InvalidArgument(
                f"Conflicting query string parameters: {', '.join(sorted(found))}",
                ArgumentName="ResourceType",
                ArgumentValue=found[0],
            )
        sub = found[0] if found else ""
        if method == "PUT" and not sub and "partNumber" in parameters:
            raise InvalidArgument(  # a part, which must not become the object
                "This operation does not accept partNumber without uploadId",
                ArgumentName="partNumber",
                ArgumentValue=parameters["partNumber"],
            )
        routes = self._routes.get((method, level, sub))
        if routes is None:
            if method == "POST" and _is_form(fields):
                raise NotImplementedYet("POST forms of S3 (uploads by a browser, with a policy)")
            raise MethodNotAllowed(Method=method, ResourceType=(sub or level).upper())
        only = routes[0].operation if len(routes) == 1 else ""
        operation = only or _chosen(routes, parameters, fields)
        return Asked(operation, bucket, key, parameters, fields)


_LEVELS = {
    "/": "service",
    "/{Bucket}": "bucket",
    "/{Bucket}/{Key+}": "object",
}


def _required(shape: Mapping[str, Any]) -> set[str]:
    """What a request has to have in its query and headers."""
    marks = {"querystring": "{}", "header": "{}:"}
    members = (shape["members"][name] for name in shape.get("required", ()))
    return {
        marks[member["location"]].format(member["locationName"])
        for member in members
        if member.get("location") in marks
    }


def _chosen(
    routes: Sequence[_Route], parameters: Mapping[str, str], fields: Mapping[bytes, bytes]
) -> str:
    """Of operations that are asked for alike, the one of which most is there, all of it; else the
    one that needs least."""

    def there(need: str) -> bool:
        if need.endswith(":"):
            return need[:-1].lower().encode() in fields
        name, equals, value = need.partition("=")
        return name in parameters and (not equals or parameters[name] == value)

    whole = [route for route in routes if all(map(there, route.needs))]
    if whole:
        return max(whole, key=lambda route: len(route.needs)).operation
    return min(routes, key=lambda route: len(route.needs)).operation


def address(path: bytes, bucket_of_host: str) -> tuple[str, str]:
    """The bucket and the key that a path names. Raises InvalidURI, InvalidBucketName,
    KeyTooLongError."""
    if not path.startswith(b"/") or _BAD_ESCAPE.search(path):
        raise InvalidURI(URI=path.decode("latin-1"))
    if bucket_of_host:
        bucket, key = bucket_of_host, _text(path[1:], path)
    else:
        first, _, rest = path[1:].partition(b"/")
        bucket, key = _text(first, path), _text(rest, path)
    if (bucket or key) and not _BUCKET.fullmatch(bucket):
        raise InvalidBucketName(BucketName=bucket)
    size = len(key.encode())
    if size > KEY_BYTES_MAX:
        raise KeyTooLongError(Size=size, MaxSizeAllowed=KEY_BYTES_MAX)
    return bucket, key


def _text(part: bytes, path: bytes) -> str:
    try:
        if b"%" in part or b"+" in part:
            part = unquote_to_bytes(part.replace(b"+", b" "))
        return part.decode()
    except UnicodeDecodeError:
        raise InvalidURI(URI=path.decode("latin-1")) from None


def _parameters(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        try:
            name, value = raw_name.decode(), raw_value.decode()
        except UnicodeDecodeError:
            name = raw_name.decode(errors="replace")
            raise InvalidArgument(
                "A query parameter is not UTF-8.", ArgumentName=name, ArgumentValue=""
            ) from None
        if name in found:
            raise InvalidArgument(
                "A query parameter is given twice.", ArgumentName=name, ArgumentValue=value
            )
        found[name] = value
    return found


def _with_hoisted(
    fields: Mapping[bytes, bytes], parameters: Mapping[str, str]
) -> Mapping[bytes, bytes]:
    """SDKs that presign move headers into the query, and S3 reads them there. One that is in both
    places says two things."""
    hoisted = {
        name.lower().encode(): value.encode()
        for name, value in parameters.items()
        if name[:6].lower() == "x-amz-" and name.isascii() and name not in _OF_THE_SIGNATURE
    }
    if not hoisted:
        return fields
    if twice := hoisted.keys() & fields.keys():
        name = min(twice).decode()
        raise InvalidArgument(
            "A header is given in the query too.",
            ArgumentName=name,
            ArgumentValue=hoisted[name.encode()].decode(),
        )
    return {**fields, **hoisted}


_OF_THE_SIGNATURE = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
)


def _is_form(fields: Mapping[bytes, bytes]) -> bool:
    return fields.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
