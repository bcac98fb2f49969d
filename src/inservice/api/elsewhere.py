"""Requests for services that AWS has and InService has not: told so, in their service's own words.

Code written for AWS asks for more than it deploys with: the SDK looks for a bucket, Terraform for a
role, a notebook for an image. Whoever signed with a key of this server is answered NotImplemented
with the name of the service and, where the request tells it, of the operation; whoever did not
hears that the signature is wrong. Both in the error form that the service's clients read, which
botocore's models name; so no list of services is kept here. S3 alone is also asked without any
signature, and then known by the shape of the request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import ModuleType

from inservice.api.identify import FORMS, Protocol, protocol_of
from inservice.aws import aws_json, aws_query, ec2_query, rest_json, rpc_v2_cbor, xml_errors
from inservice.aws.catalogue import KnownService, by_signing_name
from inservice.aws.wire import Reply
from inservice.errors import AwsError, NotImplementedYet, SerializationException
from inservice.identity import foreign
from inservice.identity.sigv4.signing import SigningKey
from inservice.transport.messages import Request

_HINTS = {
    "s3": "InService keeps no objects. Point S3 clients at a store with AWS_ENDPOINT_URL_S3 or "
    "endpoint_url, and tell the server of it in the same way; docs/howto/s3-artifacts.md says how",
}
"""By service, what to do instead."""

_READ_OR_WRITTEN = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS"))
"""How objects and buckets are asked for; what is asked here is POSTed, or has an Action."""

_REST = ("rest-json", "rest-xml")

_WIRES: Mapping[str, ModuleType] = {
    "ec2": ec2_query,
    "query": aws_query,
    "rest-json": rest_json,
    "smithy-rpc-v2-cbor": rpc_v2_cbor,
}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A service that is not here, and the operation of it that is asked for, if that is told."""

    service: KnownService
    protocol: str  # botocore's name of the one that the request speaks
    operation: str
    request: Request

    def refuse(self, keys: Callable[[str], SigningKey | None], now: float) -> AwsError:
        """What is to be said to who signed this. Raises AuthenticationError for anybody else."""
        foreign.verify(_foreign(self.request), keys=keys, now=now)
        name = self.service.name
        asked = f"{name}:{self.operation}" if self.operation else f"the service {name}"
        return NotImplementedYet(asked, _HINTS.get(name, f"there is no {name} here"))

    def serialize_error(self, error: AwsError, request_id: str) -> Reply:
        """An error as the clients of this service read it."""
        if self.protocol == "rest-xml" and self.service.name == "s3":
            path = self.request.path.decode("latin-1")
            return xml_errors.s3(path, error, request_id)
        if self.protocol == "rest-xml":
            return xml_errors.rest_xml(self.service.xml_namespace, error, request_id)
        wire = _WIRES.get(self.protocol, aws_json)
        reply: Reply = wire.serialize_error(None, error, request_id)
        return reply


def elsewhere(request: Request, here: Collection[str]) -> Elsewhere | None:
    """The service that a request is for if it is one that AWS alone has, by what its signature
    says, which is not verified. `here` are botocore's names of the services that are answered."""
    signing_name = foreign.stated_service(request.headers, request.query)
    if signing_name is None:
        return _anonymous(request, here)
    known = by_signing_name(signing_name)
    away = [service for service in known if service.name not in here]
    if not away:
        return None
    speaking = protocol_of(request)
    if speaking is Protocol.JSON and b"x-amz-target" not in request.fields:
        found = _rest(away, request)
    elif speaking in FORMS and request.path != b"/":
        # `?list-type=2` is a form to whoever does not know the service.
        found = _rest(away, request)
    else:
        found = _remote_call(away, request, speaking)
    if found is None and len(away) == len(known):
        # What is asked is nothing that we know; that the service is not here is so all the same.
        spoken = {Protocol.CBOR: Protocol.CBOR.value}
        if b"x-amz-target" in request.fields:
            spoken[Protocol.JSON] = Protocol.JSON.value
        protocol = spoken.get(speaking, away[0].protocols[0])
        found = Elsewhere(away[0], protocol, "", request)
    return found


def _anonymous(request: Request, here: Collection[str]) -> Elsewhere | None:
    """S3, of what nobody signed: an object or a bucket by its path, or whatever AWS's SDKs GET."""
    if "s3" in here or b"authorization" in request.fields or b"X-Amz-" in request.query:
        return None
    form = (request.header(b"content-type") or b"").startswith(b"multipart/form-data")
    speaking = protocol_of(request)
    if speaking is Protocol.CBOR or b"x-amz-target" in request.fields:
        return None
    if request.method not in _READ_OR_WRITTEN and not (request.method == "POST" and form):
        return None
    if request.path == b"/" and (
        b"amz-sdk-request" not in request.fields or _action(request.query)[0]
    ):
        return None
    service = next(known for known in by_signing_name("s3") if known.name == "s3")
    path, query = request.path.decode("latin-1"), request.query.decode("latin-1")
    headers = {name.decode("latin-1") for name in request.fields}
    operation = service.operation_at(request.method, path, query, headers)
    return Elsewhere(service, "rest-xml", operation, request)


def _remote_call(
    away: list[KnownService], request: Request, speaking: Protocol
) -> Elsewhere | None:
    """The protocols that name their operation beside the path."""
    if speaking in FORMS:
        operation, version = _action(request.query if request.method == "GET" else request.body)
        for protocol in ("query", "ec2"):
            if able := [service for service in away if protocol in service.protocols]:
                dated = [service for service in able if service.api_version == version]
                return Elsewhere(_likeliest(dated or able, operation), protocol, operation, request)
        return _rest(away, request)
    if speaking is Protocol.JSON:
        target = (request.header(b"x-amz-target") or b"").decode("latin-1")
        prefix, _, operation = target.rpartition(".")
    else:
        parts = request.path.decode("latin-1").split("/")
        prefix, operation = (parts[2], parts[4]) if len(parts) == 5 else ("", "")
    able = [service for service in away if service.target_prefix == prefix]
    if not able and speaking is Protocol.CBOR:
        able = [service for service in away if speaking in service.protocols]
    operation = _word(operation)
    if not able:
        return None
    return Elsewhere(_likeliest(able, operation), speaking.value, operation, request)


def _likeliest(able: list[KnownService], operation: str) -> KnownService:
    """Of services that are signed for and asked alike, one that has the operation: RDS before
    Neptune and DocumentDB, since the first of them is who gave the others its name."""
    if len(able) == 1:
        return able[0]
    return max(able, key=lambda one: (one.has(operation), one.name == one.signing_name))


def _rest(away: list[KnownService], request: Request) -> Elsewhere | None:
    path, query = request.path.decode("latin-1"), request.query.decode("latin-1")
    headers = {name.decode("latin-1") for name in request.fields}
    able = [service for service in away if set(_REST) & set(service.protocols)]
    for service in able:
        if operation := service.operation_at(request.method, path, query, headers):
            return Elsewhere(service, service.protocols[0], operation, request)
    return None


def _action(form: bytes) -> tuple[str, str]:
    """Action and Version of a form; empty for what is no form."""
    try:
        action, version = aws_query.action_of(form)
    except SerializationException:
        return "", ""
    return _word(action), version


def _word(operation: str) -> str:
    """The name of an operation that the request gives; nothing for what cannot be one."""
    return operation if operation.isascii() and operation.isalnum() else ""


def _foreign(request: Request) -> foreign.ForeignRequest:
    return foreign.ForeignRequest(
        request.method, request.path, request.query, request.headers, request.body
    )
