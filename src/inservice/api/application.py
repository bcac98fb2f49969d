"""The request path of control: from HTTP to an AWS operation and back, as a list of steps.

    authenticate · identify · parse · allow · validate · perform · serialize

The signature comes first: nothing of a request is interpreted, and nothing said about what there
is, before it is known who asks. This module is the one place where AwsErrors are caught; anything
else that escapes is a bug, logged under the request id that the caller is given.

Operations are synchronous. Small reads are answered where the request arrives: DescribeEndpoint
from a socket costs 134 µs of CPU so, 157 by way of a thread, and half the latency at the 99th
percentile. Everything else runs in a few threads.
"""

from __future__ import annotations

import asyncio
import uuid
import zlib
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor
from hashlib import sha256

import structlog

from inservice.api import models
from inservice.api.compiled import WIRES, CompiledOperation, compile_operation
from inservice.api.elsewhere import Elsewhere, elsewhere
from inservice.api.identify import Directory, Protocol, protocol_of
from inservice.aws.constraints import Violations
from inservice.aws.service_model import Service
from inservice.aws.wire import Reply
from inservice.clock import Clock
from inservice.errors import (
    AccessDeniedException,
    AwsError,
    InternalFailure,
    SerializationException,
)
from inservice.identity import sigv4
from inservice.identity.principal import AccessKey, Principal
from inservice.operations import registry
from inservice.operations.live import Live
from inservice.store.base import Store
from inservice.transport.messages import Request, Response

SERVICES = ("inservice", "sagemaker", "cloudwatch", "logs", "application-autoscaling", "iam", "sts")
"""botocore's names of the services that control answers for."""

_DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
"""Most that a body may hold once uncompressed: AWS's largest, PutLogEvents and PutMetricData, are
1 MiB, and a SageMaker model with 15 full containers is less."""

_INLINE_BYTES_MAX = 64 * 1024
"""Larger bodies are parsed in a thread: a megabyte of JSON would stall the loop for 10 ms."""

_INLINE = (b"SageMaker.Describe", b"SageMaker.List")
"""Reads of a few indexed rows. Other services' reads can be heavy: metrics, logs."""

_log = structlog.get_logger(__name__)


class Application:
    """Answers requests to the AWS services of control."""

    def __init__(
        self,
        *,
        store: Store,
        live: Live,
        clock: Clock,
        keys: Callable[[str], AccessKey | None],
        services: Collection[Service],
        threads: Executor,
    ) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._keys = keys
        self._directory = Directory(services)
        self._threads = threads
        self._compiled: dict[tuple[Protocol, str, str], CompiledOperation] = {}

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """Answer at once, or from a thread. Must be called in the event loop."""
        target = request.header(b"x-amz-target")
        if target and target.startswith(_INLINE) and request.length <= _INLINE_BYTES_MAX:
            return self.answer(request)
        return asyncio.get_running_loop().run_in_executor(self._threads, self.answer, request)

    def answer(self, request: Request) -> Response:
        """Answer a whole request. Raises nothing: errors are answers too."""
        request_id = str(uuid.uuid4())
        away: Elsewhere | None = None
        try:
            away = self._elsewhere(request)
            reply = self._reply(request, request_id, away)
        except AwsError as error:
            reply = self._refusal(request, error, request_id, away)
        except Exception:  # noqa: BLE001 - the last resort: a bug, logged and answered
            _log.exception("request failed", request_id=request_id)
            failure = InternalFailure("An internal error occurred. The server's log has it.")
            reply = self._refusal(request, failure, request_id, away)
        return Response(reply.status, reply.headers, reply.body)

    def _elsewhere(self, request: Request) -> Elsewhere | None:
        """The service that is asked for, when it is one that is not here."""
        if self._directory.service_of(request) is not None:
            return None
        return elsewhere(request, self._directory.names)

    def _reply(self, request: Request, request_id: str, away: Elsewhere | None) -> Reply:
        """The steps, in order. Each raises an AwsError to end the request."""
        now = self._clock.now()
        if away is not None:
            raise away.refuse(self._keys, now)
        claim = self._authenticate(request, now)
        document = _document(request)
        compiled = self._find(request, document, claim.service)
        violations = Violations()
        members = compiled.parse(document, violations)
        _allow(claim.key.principal, compiled.operation)
        compiled.validate(members, violations)
        call = registry.Call(
            account=claim.key.principal.account,
            region=claim.region,
            principal=claim.key.principal.arn,
            request_id=request_id,
            now=now,
            store=self._store,
            live=self._live,
        )
        output = compiled.operation.perform(call, members)
        return compiled.serialize(output, request_id)

    def _authenticate(self, request: Request, now: float) -> sigv4.Claim[AccessKey]:
        return sigv4.verify(
            request.method,
            request.path,
            request.query,
            request.headers,
            sha256(request.body).hexdigest(),
            keys=self._keys,
            now=now,
            services=self._directory.signing_names,
        )

    def _find(self, request: Request, document: bytes, signed_for: str) -> CompiledOperation:
        target = self._directory.identify(request, document, signed_for)
        key = (target.protocol, target.service.name, target.operation)
        if key not in self._compiled:
            self._compiled[key] = compile_operation(target)
        return self._compiled[key]

    def _refusal(
        self, request: Request, error: AwsError, request_id: str, away: Elsewhere | None
    ) -> Reply:
        """An error in the protocol of the request, in the words of its service if that is known."""
        if away is not None:
            return away.serialize_error(error, request_id)
        service = self._directory.service_of(request)
        reply: Reply = WIRES[protocol_of(request)].serialize_error(service, error, request_id)
        return reply


def create_application(
    *,
    store: Store,
    live: Live,
    clock: Clock,
    keys: Callable[[str], AccessKey | None],
    threads: Executor,
    services: Collection[str] = SERVICES,
) -> Application:
    """Load the models of `services` and answer for them with the operations registered by now.

    `keys` finds an access key by its id and must be quick: it is asked for every request. Raises
    LookupError when an operation is registered that its service does not have.
    """
    return Application(
        store=store,
        live=live,
        clock=clock,
        keys=keys,
        services=[_with_what_is_built(name) for name in services],
        threads=threads,
    )


def _with_what_is_built(name: str) -> Service:
    built = {op.name for op in registry.operations() if op.service == name}
    service = models.load(name, keep=built)
    if unknown := built - service.operation_names:
        raise LookupError(f"{name} has no operations {sorted(unknown)}")
    return service


def _document(request: Request) -> bytes:
    """The body as its protocol means it: botocore compresses PutMetricData from 10 KB on."""
    encoding = request.header(b"content-encoding")
    if request.method == "GET":
        # To a signature `+` and `%2B` are the same, so to us: read as a blank, as forms have it,
        # one could be made of the other on the way, and the signature would still be right.
        return request.query.replace(b"+", b"%2B")
    if encoding is None:
        return request.body
    if encoding.strip().lower() != b"gzip":
        raise SerializationException("The Content-Encoding of a request is gzip, or none.")
    try:
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        document = inflate.decompress(request.body, _DOCUMENT_BYTES_MAX)
    except zlib.error as error:
        raise SerializationException(f"The request body is not gzip: {error}") from None
    if not inflate.eof or inflate.unused_data:
        raise SerializationException("The request body is cut short, or too large uncompressed.")
    return document


def _allow(principal: Principal, operation: registry.Operation) -> None:
    """Root may do everything; nobody else has a policy that would allow anything."""
    if not principal.is_root:
        action = f"{operation.service}:{operation.name}"
        raise AccessDeniedException(
            f"User: {principal.arn} is not authorized to perform: {action} "
            f"because no identity-based policy allows the {action} action"
        )
