"""The request path of control: from HTTP to an AWS operation and back, as a list of steps.

    authenticate · identify · parse · validate · allow · room · audit · perform · serialize

The signature comes first: nothing of a request is interpreted, and nothing said about what there
is, before it is known who asks. The one operation that nobody signs has a token for it
(`web_identity`). This module is the one place where AwsErrors are caught; anything
else that escapes is a bug, logged under the request id that the caller is given.

Operations are synchronous. Small reads are answered where the request arrives: DescribeEndpoint
from a socket costs 134 µs of CPU so, 157 by way of a thread, and half the latency at the 99th
percentile. Everything else runs in a few threads, and what may read a great deal, lists, metrics
and logs, is *performed* in two of its own: a search through a log never keeps CreateModel waiting,
and a list of ten thousand endpoints no acknowledgement of a worker.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import structlog

from inservice.api import models
from inservice.api.allow import AuthorityOf, allow
from inservice.api.audited import Audited
from inservice.api.body import document_of, is_small
from inservice.api.compiled import CompiledOperation, compile_operation
from inservice.api.identify import Directory, Protocol, protocol_of
from inservice.api.of_account import OfAccount
from inservice.api.refusals import refusal, response_of, service_elsewhere
from inservice.api.warned import with_warnings
from inservice.api.web_identity import WEB_IDENTITY, Presented, WebIdentities, account_and_region
from inservice.audit.trail import Trail
from inservice.aws.constraints import Violations
from inservice.aws.service_model import Service
from inservice.clock import Clock
from inservice.errors import (
    AccessDeniedException,
    AwsError,
    InsufficientStorage,
    InternalFailure,
    ThrottlingException,
    UnrecognizedClient,
)
from inservice.identity.authority import Authority
from inservice.identity.principal import ANONYMOUS, AccessKey, KeyUse
from inservice.identity.sigv4.claims import Claim, verify
from inservice.identity.sts.limits import check_session
from inservice.operations import registry
from inservice.operations.live import Live
from inservice.operations.sts.provider_keys import NO_KEYS, ProviderKeys
from inservice.operations.sts.touches import NOT_TRUSTED
from inservice.store.base import Store
from inservice.threads import Threads
from inservice.transport.messages import Request, Response
from inservice.transport.source import source_of
from inservice.turns import Full, Turns

SERVICES = (
    *("inservice", "sagemaker", "cloudwatch", "logs", "application-autoscaling", "iam", "sts"),
    *("ecr", "ec2", "resourcegroupstaggingapi"),
)
"""botocore's names of the services that control answers for."""

_INLINE = b"SageMaker.Describe"
"""Reads of one record, which is mostly in memory."""

_CREDENTIAL = re.compile(rb"Credential=([^/,]+)/")

_EXPENSIVE = re.compile(
    r"(cloudwatch|logs):(Get|Describe|List|Filter)|sagemaker:List|iam:(List|Simulate|GetAccount)"
    r"|resourcegroupstaggingapi:Get|inservice:(ListImages|ListEnvironments|PruneImages)"
)
"""Lists go through as many rows as there are, and reads of other services can be heavy: a thousand
datapoints, megabytes of log. What stalls nobody else may take its time."""

EXPENSIVE_MAX = 64
"""Expensive reads under way and waiting at one time; more are told to come back. Each is a fraction
of a second, so that who waits is answered before its client gives up. Accounts share them, and take
turns."""

UNSIGNED_AT_ONCE = 2
UNSIGNED_MAX = 64
"""Requests without a signature that are looked at at one time, and that are under way altogether.
Each address has its share, and of those that wait for a provider each account."""

_log = structlog.get_logger(__name__)

_Step = TypeVar("_Step")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A request that has passed every step but to be performed."""

    compiled: CompiledOperation
    call: registry.Call
    members: dict[str, Any]
    key: AccessKey

    @property
    def expensive(self) -> bool:
        operation = self.compiled.operation
        return _EXPENSIVE.match(f"{operation.service}:{operation.name}") is not None


class Application:
    """Answers requests to the AWS services of control."""

    def __init__(
        self,
        *,
        store: Store,
        live: Live,
        clock: Clock,
        keys: Callable[[str], AccessKey | None],
        authority_of: AuthorityOf,
        services: Collection[Service],
        beside: Collection[str],
        threads: Threads,
        readers: Threads,
        short: Callable[[], str],
        used: Callable[[AccessKey, KeyUse], None],
        trail: Trail | None,
        provider_keys: ProviderKeys,
    ) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._keys = keys
        self._authority_of = authority_of
        self._directory = Directory(services, beside)
        self._threads = threads
        self._readers = readers
        self._short = short
        self._used = used
        self._audited = Audited(trail)
        self._identities = WebIdentities(store, provider_keys, clock.wall)
        self._unsigned = Turns(UNSIGNED_AT_ONCE, UNSIGNED_MAX)  # by address
        self._proving = Turns(None, UNSIGNED_MAX)  # by account
        self._expensive = Turns(readers.count, EXPENSIVE_MAX)  # by account
        self._compiled: dict[tuple[Protocol, str, str], CompiledOperation] = {}

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """Answer at once, or from a thread. Must be called in the event loop."""
        target = request.header(b"x-amz-target")
        if target and target.startswith(_INLINE) and is_small(request) and self._of_root(request):
            return self.answer(request)
        return self._answer_in_threads(request)

    def _of_root(self, request: Request) -> bool:
        """Whether the key that is named, be it with right or not, is root's: for anybody else
        policies are asked, which may want a look at tags, and that is not for the loop."""
        found = _CREDENTIAL.search(request.header(b"authorization") or b"")
        key = self._keys(found[1].decode("ascii", "replace")) if found else None
        return key is not None and key.principal.is_root

    @property
    def expensive_reads(self) -> int:
        """Under way and waiting."""
        return self._expensive.held

    def answer(self, request: Request) -> Response:
        """Answer a whole request, with the keys of identity providers that are known. Raises
        nothing: errors are answers too."""
        begun = self._begin(request)
        if isinstance(begun, Presented):
            return self._proved(request, begun)
        return begun if isinstance(begun, Response) else self._end(request, begun)

    async def _answer_in_threads(self, request: Request) -> Response:
        request_id = ""
        try:
            if self._directory.unsigned_action(request):
                begun = await self._unsigned.run(
                    source_of(request) or "",
                    lambda: self._threads.run(self._begin_or_answer, request),
                )
            else:
                begun = await self._threads.run(self._begin_or_answer, request)
            if isinstance(begun, Response):
                return begun
            call, request_id = begun.call, begun.call.request_id
            if isinstance(begun, Presented):
                presented = begun
                return await self._proving.run(
                    call.account, lambda: self._prove(request, presented)
                )
            performed = begun
            return await self._expensive.run(
                call.account, lambda: self._readers.run(self._end, request, performed)
            )
        except Full:
            throttled = ThrottlingException()
            return refusal(self._directory, request, throttled, request_id or str(uuid.uuid4()))

    async def _prove(self, request: Request, presented: Presented) -> Response:
        """The answer to who shows a token, once its issuer's keys are known."""
        if self._identities.is_due(presented):
            await self._identities.ask(presented)
        return await self._threads.run(self._proved, request, presented)

    def _proved(self, request: Request, presented: Presented) -> Response:
        def prove() -> _Begun:
            compiled, members = presented.compiled, presented.members
            call, key, authority = self._identities.prove(presented)
            try:
                self._allow(
                    compiled.operation,
                    call,
                    members,
                    request,
                    key,
                    authority_of=lambda _: authority,
                )
            except AccessDeniedException:
                raise AccessDeniedException(NOT_TRUSTED) from None
            self._check_room(compiled.operation)
            return _Begun(compiled, call, members, key)

        begun = self._guarded(request, presented.call.request_id, prove)
        return begun if isinstance(begun, Response) else self._end(request, begun)

    def _begin_or_answer(self, request: Request) -> _Begun | Presented | Response:
        """The answer, unless it is an expensive one, or waits for a proof."""
        begun = self._begin(request)
        if isinstance(begun, Response | Presented) or begun.expensive:
            return begun
        return self._end(request, begun)

    def _begin(self, request: Request) -> _Begun | Presented | Response:
        """All steps up to performing, or the answer that ends the request before."""
        request_id = str(uuid.uuid4())
        return self._guarded(request, request_id, lambda: self._examined(request, request_id))

    def _end(self, request: Request, begun: _Begun) -> Response:
        """Perform, and answer."""
        request_id = begun.call.request_id

        def perform() -> Response:
            operation, call, members = begun.compiled.operation, begun.call, begun.members
            if begun.key.id and self._keys(begun.key.id) is None:  # taken away while this waited
                raise UnrecognizedClient
            output = self._audited.perform(
                operation,
                call,
                members,
                request,
                begun.key,
                lambda: operation.perform(call, members),
            )
            answer = response_of(begun.compiled.serialize(output, request_id))
            return with_warnings(answer, call.warnings)

        return self._guarded(request, request_id, perform)

    def _guarded(
        self, request: Request, request_id: str, step: Callable[[], _Step]
    ) -> _Step | Response:
        """What a step gives, or the answer about the error that it raises."""
        try:
            return step()
        except AwsError as error:
            return refusal(self._directory, request, error, request_id)
        except Exception:  # noqa: BLE001 - the last resort: a bug, logged and answered
            _log.exception("request failed", request_id=request_id)
            failure = InternalFailure("An internal error occurred. The server's log has it.")
            return refusal(self._directory, request, failure, request_id)

    def _examined(self, request: Request, request_id: str) -> _Begun | Presented:
        """The steps, in order. Each raises an AwsError to end the request."""
        if self._directory.unsigned_action(request):
            return self._unsigned_examined(request, request_id)
        if (away := service_elsewhere(self._directory, request)) is not None:
            raise away.refuse(self._keys, self._clock.wall())
        claim = self._authenticate(request)
        self._used(claim.key, KeyUse(self._clock.now(), claim.service, claim.region))
        document = document_of(request, protocol_of(request))
        compiled = self._find(request, document, claim.service)
        members = _members(compiled, document)
        if compiled.operation.action == WEB_IDENTITY:
            return self._presented(compiled, members, request_id)
        call = registry.Call(
            account=claim.key.principal.account,
            region=claim.region,
            principal=claim.key.principal.arn,
            request_id=request_id,
            now=self._clock.now(),
            store=OfAccount(self._store, claim.key.principal.account),
            live=self._live,
            user_id=claim.key.principal.userid,
            session=claim.key.session,
        )
        check_session(claim.key.session, compiled.service.name, compiled.operation.name)
        self._allow(compiled.operation, call, members, request, claim.key)
        self._check_room(compiled.operation)
        return _Begun(compiled, call, members, claim.key)

    def _unsigned_examined(self, request: Request, request_id: str) -> Presented:
        """The steps up to the proof of who has not signed."""
        document = document_of(request, protocol_of(request))
        compiled = self._find(request, document, "sts")
        return self._presented(compiled, _members(compiled, document), request_id)

    def _presented(
        self, compiled: CompiledOperation, members: dict[str, Any], request_id: str
    ) -> Presented:
        account, region = account_and_region(members["RoleArn"])
        call = registry.Call(
            account=account,
            region=region,
            principal=ANONYMOUS.arn,
            request_id=request_id,
            now=self._clock.now(),
            store=OfAccount(self._store, account),
            live=self._live,
        )
        return self._identities.present(compiled, call, members)

    def _allow(
        self,
        operation: registry.Operation,
        call: registry.Call,
        members: dict[str, Any],
        request: Request,
        key: AccessKey,
        authority_of: AuthorityOf | None = None,
    ) -> None:
        try:
            allow(authority_of or self._authority_of, operation, call, members, request, key)
        except AccessDeniedException as denied:
            self._audited.denied(denied, operation, call, members, request, key)
            raise

    def _authenticate(self, request: Request) -> Claim[AccessKey]:
        return verify(
            request.method,
            request.path,
            request.query,
            request.headers,
            sha256(request.body).hexdigest(),
            keys=self._keys,
            now=self._clock.wall(),
            services=self._directory.signing_names,
        )

    def _find(self, request: Request, document: bytes, signed_for: str) -> CompiledOperation:
        target = self._directory.identify(request, document, signed_for)
        key = (target.protocol, target.service.name, target.operation)
        if key not in self._compiled:
            self._compiled[key] = compile_operation(target)
        return self._compiled[key]

    def _check_room(self, operation: registry.Operation) -> None:
        """On a full volume nothing is begun that adds to it. What is read, and what makes room,
        goes on."""
        if operation.adds and (why := self._short()):
            raise InsufficientStorage(
                f"{why} {operation.name} is refused until there is more; reading and deleting go "
                "on. Free some room on that volume, then it is accepted again."
            )


def _members(compiled: CompiledOperation, document: bytes) -> dict[str, Any]:
    """What a document says, if it breaks none of AWS's rules."""
    violations = Violations()
    members = compiled.parse(document, violations)
    compiled.validate(members, violations)
    return members


def create_application(
    *,
    store: Store,
    live: Live,
    clock: Clock,
    keys: Callable[[str], AccessKey | None],
    threads: Threads,
    readers: Threads,
    authority_of: AuthorityOf = lambda key: Authority(key.principal),
    services: Collection[str] = SERVICES,
    beside: Collection[str] = (),
    short: Callable[[], str] = lambda: "",
    used: Callable[[AccessKey, KeyUse], None] = lambda _, __: None,
    trail: Trail | None = None,
    provider_keys: ProviderKeys = NO_KEYS,
) -> Application:
    """Load the models of `services` and answer for them with the operations registered by now; for
    those `beside` another process answers.

    `keys` finds an access key by its id and must be quick: it is asked for every request; so is
    `authority_of`, which tells what is held by who signs with it, by default nothing. Expensive
    reads are performed in `readers`, everything else but small reads in `threads`. `short` says why
    there is no room on the disk, or nothing, and is asked for each operation that adds. `used` is
    told what each key signs, in whichever thread. `trail` is told of changes and of denials, or
    nobody is. `provider_keys` has the keys of identity providers. Raises LookupError when an
    operation is registered that its service does not have.
    """
    return Application(
        store=store,
        live=live,
        clock=clock,
        keys=keys,
        authority_of=authority_of,
        services=load_services(services),
        beside=beside,
        threads=threads,
        readers=readers,
        short=short,
        used=used,
        trail=trail,
        provider_keys=provider_keys,
    )


def load_services(names: Collection[str] = SERVICES) -> list[Service]:
    """The models of services, as far as there are operations."""
    return [_with_what_is_built(name) for name in names]


def _with_what_is_built(name: str) -> Service:
    built = {op.name for op in registry.operations() if op.service == name}
    service = models.load(name, keep=built)
    if unknown := built - service.operation_names:
        raise LookupError(f"{name} has no operations {sorted(unknown)}")
    return service
