"""The planes of storage: requests to S3, carried to the process that keeps the objects.

Nobody asks S3 by a path of its own: `/endpoints/x` may be an object, and so may `/ping`. What tells
is the signature, of which only the service in its scope is looked at here: whether it is a true one
is for the storage process to say.

    signed for s3             in a header or a presigned URL, of version 4 or 2      asked first
    unsigned, bucket in Host  `http://bucket.localhost:7420/key`                     asked first
    unsigned, like S3's       nobody else's by its path, and with no mark of an
                              API beside S3's: objects that a bucket's policy
                              gives to anybody                                       asked late

The first plane is asked about invocations too, so for a request with a header of another service it
costs one search.
"""

from __future__ import annotations

import re
from typing import Final

from inservice.errors import AwsError
from inservice.gateway.answers import RequestIds
from inservice.gateway.carried import Carried, Places
from inservice.gateway.front import Exchange, GatewayConnection, Plane
from inservice.objects.addressing import bucket_of_host
from inservice.transport.client import Pool
from inservice.transport.framing import LENGTH_MAX
from inservice.transport.messages import Refusal, Request

_AWAY: Final = "Service is unable to handle request. Please try again."

PLACES: Final = 64
"""Bodies that one worker streams to the storage process at once. An SDK sends ten parts of a file
at a time; each costs a descriptor here and one there, and the memory of a few reads."""

_IN_S3: Final = {
    "RequestTimeoutException": "RequestTimeout",
    "RequestEntityTooLargeException": "EntityTooLarge",
    "MalformedHttpRequestException": "BadRequest",
}
"""What S3 calls refusals of the transport, and its SDKs know."""

_IN_XML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

_PRESIGNED: Final = re.compile(
    rb"(?:^|&)X-Amz-Credential=[^&]*(?:/|%2[Ff])s3(?:/|%2[Ff])aws4_request"
)
_VERSION_2: Final = re.compile(rb"(?:^|&)AWSAccessKeyId=")
_ABOUT_OBJECTS: Final = re.compile(rb"(?:^|&)(?:delete|uploads|uploadId|select)(?:[=&]|$)")
"""What is POSTed to S3 and to nobody else."""

_OBJECT_METHODS: Final = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")

_OTHERS: Final = (b"/ping", b"/ready", b"/metrics", b"/instance-credentials")
"""Where anybody may ask, or is told to bring a token."""


class Carrying(Plane):
    """What both planes do with a request that is theirs."""

    body_bytes_max = LENGTH_MAX

    def __init__(self, pool: Pool, places: Places, request_ids: RequestIds) -> None:
        self._pool = pool
        self._places = places
        self._request_ids = request_ids

    def carried(self, connection: GatewayConnection, request: Request) -> Exchange:
        """It goes to the storage process."""
        request_id = self._request_ids.next()
        return _ToStorage(connection, request, request_id, self._pool, self._places, _AWAY)


class SignedForStorage(Carrying):
    """What says that it is for S3."""

    def claim(self, connection: GatewayConnection, request: Request) -> Exchange | None:
        """By its signature, or for want of one by its Host."""
        fields = request.fields
        authorization = fields.get(b"authorization")
        if authorization is not None:
            if b"/s3/aws4_request" in authorization or authorization.startswith(b"AWS "):
                return None if _is_s3_control(request) else self.carried(connection, request)
            return None
        if b"?" in request.target and _presigned(request.query):
            return self.carried(connection, request)
        if _bucket(fields.get(b"host", b"")) and b"x-amz-target" not in fields:
            return self.carried(connection, request)
        return None


class UnsignedForStorage(Carrying):
    """What is left over by all others but control, and looks like a request for objects."""

    def claim(self, connection: GatewayConnection, request: Request) -> Exchange | None:
        """By the shape of the request: control's APIs are POSTed, to `/`, or have an Action."""
        fields, path = request.fields, request.path
        if b"authorization" in fields or b"x-amz-target" in fields or path in _OTHERS:
            return None
        if path == b"/" and (b"amz-sdk-request" not in fields or b"Action=" in request.query):
            return None  # not from an SDK, or for a query service
        if fields.get(b"smithy-protocol") == b"rpc-v2-cbor" or b"X-Amz-" in request.query:
            return None
        if request.method == "POST":
            form = fields.get(b"content-type", b"").startswith(b"multipart/form-data")
            if not form and _ABOUT_OBJECTS.search(request.query) is None:
                return None
        elif request.method not in _OBJECT_METHODS:
            return None
        return self.carried(connection, request)


def _is_s3_control(request: Request) -> bool:
    """A service beside S3 signs by its name as well; its operations name an account."""
    return b"x-amz-account-id" in request.fields and request.target.startswith(b"/v20180820/")


def _presigned(query: bytes) -> bool:
    if _PRESIGNED.search(query) is not None:
        return True
    # Query services had a version 2 as well, whose requests have an Action.
    return _VERSION_2.search(query) is not None and b"Action=" not in query


def _bucket(host: bytes) -> str:
    """Most servers have a name without one: it is looked for only where it could be."""
    if b".localhost" not in host and b".s3" not in host:
        return ""
    return bucket_of_host(host.decode("latin-1"))


class _ToStorage(Carried):
    """A request on its way to the storage process, and what is said when that is away."""

    def error_body(self, error: AwsError) -> bytes:
        """As S3 tells one."""
        return _error(error.code, error.message, self.request_id)

    def refusal_body(self, refusal: Refusal) -> bytes:
        """As S3 tells one."""
        code = _IN_S3.get(refusal.code, refusal.code)
        return _error(code, refusal.message, self.request_id)


def _error(code: str, message: str, request_id: bytes) -> bytes:
    told = message.translate(_IN_XML)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{told}</Message>"
        f"<RequestId>{request_id.decode()}</RequestId></Error>"
    ).encode()
