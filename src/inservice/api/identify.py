"""Which protocol a request speaks, and which operation of which service it asks for.

    AWS JSON    X-Amz-Target: SageMaker.DescribeEndpoint
    RPC v2      POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms
    query       Action=GetCallerIdentity in the form; the service is the one that was signed for,
                STS where nobody signs
    ec2         the same, of what was signed for EC2 alone

The protocol is told from the head alone and always has an answer, because a refusal has to be
written in it too. The operation is looked for after the signature has been checked: a stranger
learns nothing about what there is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from inservice.aws.aws_query import action_of
from inservice.aws.service_model import Service
from inservice.errors import (
    InvalidSignature,
    SerializationException,
    UnknownOperationException,
)
from inservice.identity import foreign
from inservice.transport.messages import Request


class Protocol(StrEnum):
    """The protocols of control's services, by their names in the models."""

    JSON = "json"
    CBOR = "smithy-rpc-v2-cbor"
    QUERY = "query"
    EC2 = "ec2"


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for, and how."""

    protocol: Protocol
    service: Service
    operation: str


def protocol_of(request: Request) -> Protocol:
    """The protocol that a request speaks; JSON for one that speaks none."""
    if b"x-amz-target" in request.fields:
        return Protocol.JSON
    if request.header(b"smithy-protocol") == b"rpc-v2-cbor":
        return Protocol.CBOR
    media_type = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type == b"application/x-www-form-urlencoded":
        return _form(request)
    # A presigned GET of a query service: what follows the `?` is its form.
    return _form(request) if request.method == "GET" and request.query else Protocol.JSON


FORMS = (Protocol.QUERY, Protocol.EC2)
"""Protocols in which the operation is a field of a form."""


def _form(request: Request) -> Protocol:
    """Which of the two forms it is, is told by the service alone."""
    stated = foreign.stated_service(request.headers, request.query)
    return Protocol.EC2 if stated == "ec2" else Protocol.QUERY


UNSIGNED = frozenset(("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"))
"""What of STS nobody signs: a token is shown instead. Nothing else is asked without a signature."""

UNSIGNED_BYTES_MAX = 96 * 1024
"""Of such a request. A token of 20,000 characters and a policy of 2,048, every one of them quoted,
are 66 KB."""


UNSIGNED_FIELDS_MAX = 64
"""Of one: it is read where it arrives, with nobody to vouch for it. Honest ones have twenty."""


def unsigned_action(request: Request, version: str) -> str:
    """Which operation of UNSIGNED a request without any signature asks for, in this version of
    STS's model; empty where it is no such request."""
    fields = request.fields
    if (
        b"authorization" in fields
        or b"content-encoding" in fields
        or b"x-amz-" in request.query.lower()
        or request.path != b"/"
        or request.length > UNSIGNED_BYTES_MAX
        or protocol_of(request) is not Protocol.QUERY
    ):
        return ""
    form = request.query.replace(b"+", b"%2B") if request.method == "GET" else request.body
    if b"AssumeRoleWith" not in form or form.count(b"&") > UNSIGNED_FIELDS_MAX:
        return ""
    try:
        action, given = action_of(form)
    except SerializationException:
        return ""
    return action if given == version and action in UNSIGNED else ""


class Directory:
    """The services of this server, found by what requests call them."""

    def __init__(self, services: Collection[Service], beside: Collection[str] = ()) -> None:
        """`beside` are botocore's names of services that another process of this server answers."""
        self._by_prefix = {s.target_prefix: s for s in services if s.target_prefix}
        self._by_signing_name = {
            s.signing_name: s for s in services if not {"query", "ec2"}.isdisjoint(s.protocols)
        }
        self.signing_names = frozenset(s.signing_name for s in services)
        self.names = frozenset((*(s.name for s in services), *beside))
        self._sts = next((s for s in services if s.name == "sts"), None)

    def unsigned_action(self, request: Request) -> str:
        """The operation of STS that is asked for without a signature, as STS has it; empty for
        everything else."""
        return "" if self._sts is None else unsigned_action(request, self._sts.api_version)

    def identify(self, request: Request, document: bytes, signed_for: str) -> Target:
        """The operation that an authenticated request asks for.

        `document` is what came in the body, or in the query of a GET, with any compression undone.
        Raises UnknownOperationException for what no service here has, InvalidSignature when the
        request was signed for another service than the one it asks.
        """
        protocol = protocol_of(request)
        if protocol is Protocol.JSON:
            service, operation = self._json(request)
        elif protocol is Protocol.CBOR:
            service, operation = self._cbor(request)
        else:
            service, operation = self._query(request, document, signed_for)
        if (
            service is None
            or operation not in service.operation_names
            or protocol not in service.protocols
        ):
            raise UnknownOperationException("No service here has this operation.")
        if service.signing_name != signed_for:
            raise InvalidSignature(
                f"Credential should be scoped to correct service: '{service.signing_name}'."
            )
        return Target(protocol, service, operation)

    def service_of(self, request: Request) -> Service | None:
        """The service that a request seems to be for, to word a refusal. None if it is not told."""
        if protocol_of(request) in FORMS:
            if request.path != b"/":
                return None
            if self.unsigned_action(request):
                return self._sts
            scope = (request.header(b"authorization") or b"").split(b"/", 4)
            return self._by_signing_name.get(scope[3].decode("latin-1")) if scope[3:] else None
        return self._json(request)[0] or self._cbor(request)[0]

    def _json(self, request: Request) -> tuple[Service | None, str]:
        if request.method != "POST" or request.target != b"/":
            return None, ""
        target = (request.header(b"x-amz-target") or b"").decode("latin-1")
        prefix, _, operation = target.rpartition(".")
        return self._by_prefix.get(prefix), operation

    def _cbor(self, request: Request) -> tuple[Service | None, str]:
        parts = request.target.decode("latin-1").split("/")
        if request.method != "POST" or len(parts) != 5:
            return None, ""
        if (parts[0], parts[1], parts[3]) != ("", "service", "operation"):
            return None, ""
        return self._by_prefix.get(parts[2]), parts[4]

    def _query(
        self, request: Request, document: bytes, signed_for: str
    ) -> tuple[Service | None, str]:
        service = self._by_signing_name.get(signed_for)
        action, version = action_of(document)
        if service is None or request.path != b"/" or version != service.api_version:
            return None, ""
        return service, action
