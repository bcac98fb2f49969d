"""The path of a request to S3, from its head to what is sent: without sockets and without a loop.

    head ─▶ who signed it ─▶ which operation ─▶ what of a body is stated ─┐
                                                                         │
        data of an object   may the caller? ─▶ each piece verified ─▶ incoming ─┐
        a document          each piece verified ─▶ members ─▶ may the caller? ──┤
                                                                                ▼
                                              told to the audit trail ─▶ the operation ─▶ reply

The signature comes first: nothing of a request is interpreted before it is known who asks, and
nothing is taken of an object's data before that may be kept. What was taken is kept once all of it
is as it was stated, and is gone otherwise.

Every function here blocks and is called in threads, one after the other for one request. None
raises: what goes wrong is a reply, and a bug is one that says InternalError.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from inservice.audit.trail import Trail
from inservice.aws.s3_requests import Asked, address
from inservice.aws.xml_errors import s3_identified
from inservice.blobs.base import Blobs, Incoming
from inservice.clock import Clock
from inservice.errors import (
    AwsError,
    InsufficientStorage,
    InternalFailure,
    NotImplementedYet,
    ServiceUnavailable,
)
from inservice.identity.policies.variables import ContextValue
from inservice.identity.principal import Principal
from inservice.identity.request_context import request_context
from inservice.identity.sigv4.canonical import joined_fields
from inservice.identity.sigv4.s3 import S3Claim, s3_claim, s3_query_pairs
from inservice.identity.sigv4.stated import epoch
from inservice.objects.addressing import bucket_of_host
from inservice.reserve import is_full
from inservice.routing.table import KeyRoute
from inservice.s3_errors import AccessDenied, InvalidRequest, NoSuchBucket, S3Error
from inservice.storage import audited, bodies
from inservice.storage.calls import OPERATIONS, Answer, Call, Received, Span
from inservice.storage.cors import allowed, preflight
from inservice.storage.counting import Counting
from inservice.storage.deciding import NOBODY, Asker, Deciding
from inservice.storage.operations.settings import setting
from inservice.storage.spoken import Wire, clients_headers, failure
from inservice.storage.told import Told
from inservice.storage.touches import (
    ASKS_ITSELF,
    Touch,
    each_key,
    request_keys,
    touches,
)
from inservice.transport.messages import Request
from inservice.transport.source import source_of

_log = logging.getLogger(__name__)

SMALL_BYTES: Final = 64 * 1024
"""Of an object, that is read in the thread that found it: handing it to another one costs more than
the reading."""

_BODILESS: Final = ("GET", "HEAD", "DELETE")
"""Whatever comes with these, S3 looks at none of it."""

_BUG: Final = "We encountered an internal error. Please try again."

_ADDS: Final = ("Create", "Put", "Upload", "Copy")
"""How operations begin that take room on the disk."""

_SAID_TO_ANYBODY: Final = (NotImplementedYet, InternalFailure, ServiceUnavailable)
"""What strangers hear who may nothing. Of all else that is wrong with what they ask they are told
that access is denied, so that they do not learn which buckets there are."""

_ABOUT_LISTING: Final = "s3:ListBucket"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | Span = b""

    @property
    def length(self) -> int:
        """Of the body."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.length

    def close(self) -> None:
        """It is not going to be sent, or has been. Blocks."""
        if isinstance(self.body, Span):
            self.body.reading.close()


@dataclass
class Begun:
    """A request of which the head is read, and how far it has come."""

    request: Request
    request_id: str
    at: float  # epoch seconds
    asked: Asked | None = None
    claim: S3Claim[KeyRoute] | None = None
    asker: Asker = NOBODY
    unsigned: bool = False
    allowed: bool = False  # something was asked of policies, and they allow it
    region: str = ""
    body: bodies.Body | None = None
    members: Mapping[str, Any] = field(default_factory=dict)
    touched: Sequence[Touch] = ()
    keys: Mapping[str, ContextValue] | None = None  # condition keys, once they are asked for
    incoming: Incoming | None = None
    document: list[bytes] = field(default_factory=list)

    @property
    def operation(self) -> str:
        """ "" as long as it is not known."""
        return "" if self.asked is None else self.asked.operation

    def discard(self) -> None:
        """Nobody waits for it any more. Blocks; may be called at any time, also when all is over:
        then it does nothing."""
        if self.incoming is not None:
            self.incoming.discard()

    def told(self) -> audited.Told:
        """For a line of the audit trail."""
        request = self.request
        source, agent = source_of(request), request.header(b"user-agent")
        return audited.Told(self.asker, self.region, self.request_id, self.at, source, agent)


class Service:
    """Answers for the objects of one server."""

    def __init__(
        self,
        blobs: Blobs,
        told: Told,
        trail: Trail,
        counting: Counting,
        clock: Clock,
        *,
        region: str,
        short: Callable[[], str] = lambda: "",
    ) -> None:
        """`region` is that of whoever signed for none; `short` says why there is no room on the
        disk, or nothing."""
        self._wire = Wire()
        self._blobs = blobs
        self._told = told
        self._trail = trail
        self._counting = counting
        self._clock = clock
        self._region = region
        self._short = short
        self._deciding = Deciding(blobs)

    def answer(self, request: Request) -> Reply:
        """The reply to a request that is whole."""
        begun = self.begin(request)
        if isinstance(begun, Reply):
            return begun
        failed = self.feed(begun, request.parts)
        return self.end(begun) if failed is None else failed

    def begin(self, request: Request) -> Begun | Reply:
        """Read the head of a request. A reply is one that needs no body, and refuses it."""
        begun = Begun(request, os.urandom(8).hex().upper(), self._clock.wall())
        first = self._preflight if request.method == "OPTIONS" else self._begin
        return self._guarded(begun, lambda: first(begun)) or begun

    def feed(self, begun: Begun, parts: Sequence[bytes]) -> Reply | None:
        """Take some of the body. A reply if that is the end of it."""
        return self._guarded(begun, lambda: self._feed(begun, parts))

    def end(self, begun: Begun) -> Reply:
        """The body is whole: perform, and reply."""
        reply = self._guarded(begun, lambda: self._end(begun))
        assert reply is not None
        return reply

    # ── the steps ───────────────────────────────────────────────────────────────────────────────
    def _begin(self, begun: Begun) -> None:
        request = begun.request
        pairs, fields = s3_query_pairs(request.query), joined_fields(clients_headers(request))
        claim = s3_claim(
            request.method,
            request.path,
            pairs,
            fields,
            keys=self._told.key,
            now=begun.at,
        )
        begun.unsigned = claim is None
        begun.region = self._region if claim is None else claim.region
        if claim is not None:
            begun.claim, begun.asker = claim, self._asker(claim.key)
        begun.asked = asked = self._wire.asked(request, pairs, fields)
        if begun.unsigned:
            self._hear_out(asked)
        if asked.operation.startswith(_ADDS) and (why := self._short()):
            raise InsufficientStorage(why)
        parser = self._wire.parser(asked.operation)
        begun.members = parser.head(asked)
        if request.method not in _BODILESS:
            stated = bodies.stated(asked.operation, asked.fields, claim)
            if parser.checksum_required and stated.md5 is None and stated.algorithm is None:
                raise InvalidRequest("Missing required header for this request: Content-MD5")
            begun.body = bodies.Body(stated)
            if stated.kept:
                self._allow(begun)
                begun.incoming = self._blobs.incoming(asked.bucket)

    def _hear_out(self, asked: Asked) -> None:
        """A stranger is heard where a bucket's policy could speak for them, and sends no body to
        any other. Raises AccessDenied, NoSuchBucket."""
        if not asked.bucket or "policy" not in self._blobs.bucket(asked.bucket).settings:
            raise AccessDenied

    def _asker(self, key: KeyRoute) -> Asker:
        authority = self._told.authority(key)
        # That of a session knows more of whom it is for than the key does.
        principal = authority.principal
        return Asker(
            principal if principal.arn == key.principal else Principal(key.account, key.principal),
            authority,
            key.id,
        )

    def _keys(self, begun: Begun) -> Mapping[str, ContextValue]:
        """The condition keys of a request."""
        if begun.keys is not None:
            return begun.keys
        request, claim, asked = begun.request, begun.claim, begun.asked
        assert asked is not None
        keys = request_context(
            account=begun.asker.account,
            region=begun.region,
            now=begun.at,
            source=source_of(request),
            agent=request.header(b"user-agent"),
            session=claim is not None and claim.key.session_token is not None,
        )
        if (referer := request.header(b"referer")) is not None:
            keys["aws:referer"] = referer.decode("utf-8", "replace")
        presigned = claim is not None and claim.presigned
        stamp = asked.parameters.get("X-Amz-Date", "") if presigned else ""
        begun.keys = keys | request_keys(
            asked.fields,
            signed=claim is not None,
            presigned=presigned,
            signed_at=epoch(stamp.encode()),
            now=begun.at,
        )
        return begun.keys

    def _feed(self, begun: Begun, parts: Sequence[bytes]) -> None:
        if begun.body is None:
            return
        for part in parts:
            for piece in begun.body.feed(part):
                if begun.incoming is None:
                    begun.document.append(bytes(piece))
                else:
                    begun.incoming.write(piece)

    def _end(self, begun: Begun) -> Reply:
        received = None
        digests = None if begun.body is None else begun.body.end()
        if begun.incoming is not None:
            assert digests is not None
            received = Received(begun.incoming, digests.md5, digests.checksum)
        else:
            parser = self._wire.parser(begun.operation)
            if parser.takes in ("document", "text"):
                document = parser.document(b"".join(begun.document))
                begun.members = {**begun.members, **document}
            self._allow(begun)
        answer = self._perform(begun, received)
        status, headers, body = self._wire.reply(begun.operation, answer, begun.request_id)
        span = answer.body if isinstance(answer.body, Span) else None
        got = 0 if digests is None or received is None else digests.size
        reply = Reply(status, headers, body if span is None else span)
        if span is not None and span.length <= SMALL_BYTES:
            reply = _read(reply, span)
        self._counting.answered(begun.operation, status, got, 0 if span is None else span.length)
        return reply

    def _allow(self, begun: Begun) -> None:
        """Whoever is refused anything is refused everything, and so is what touches nothing."""
        begun.touched = tuple(touches(begun.operation, begun.members, begun.region))
        if not begun.touched and begun.operation not in ASKS_ITSELF:
            raise AccessDenied
        for touch in begun.touched:
            self._check(begun, touch)
        if begun.unsigned and not begun.touched:
            keys = each_key(begun.members, begun.region)
            if not any(self._may(begun, each.action, each.resource) for each in keys):
                raise AccessDenied
        begun.allowed = True

    def _check(self, begun: Begun, touch: Touch) -> None:
        """Raises AccessDenied, and then the audit trail knows of it; not of strangers, who could
        fill it."""
        try:
            self._deciding.check(begun.asker, touch, lambda: self._keys(begun))
        except AccessDenied as denied:
            if not begun.unsigned:
                entry = begun.told().entry(touch.action, [touch.resource], denied.code)
                self._trail.denied(entry)
            raise

    def _perform(self, begun: Begun, received: Received | None) -> Answer:
        call = Call(
            operation=begun.operation,
            members=begun.members,
            caller=begun.asker.principal,
            account=begun.asker.account,
            region=begun.region,
            now=begun.at,
            request_id=begun.request_id,
            blobs=self._blobs,
            may=lambda action, resource: self._may(begun, action, resource),
            received=received,
        )
        resources = [touch.resource for touch in begun.touched]
        action = begun.touched[0].action if begun.touched else f"s3:{begun.operation}"
        return audited.performed(
            self._trail,
            begun.operation,
            begun.told,
            action,
            resources,
            lambda: OPERATIONS[begun.operation](call),
        )

    def _may(self, begun: Begun, action: str, resource: str) -> bool:
        bucket, _, key = resource.partition(":::")[2].partition("/")
        touch = Touch(action, resource, bucket, key)
        try:
            if action == _ABOUT_LISTING:  # asked to know what to say, and by nobody
                self._deciding.check(begun.asker, touch, lambda: self._keys(begun))
            else:
                self._check(begun, touch)
        except AccessDenied:
            return False
        return True

    # ── pages of other origins ──────────────────────────────────────────────────────────────────
    def _preflight(self, begun: Begun) -> Reply:
        """A browser asks what it may send. It signs nothing, and is told nothing but that."""
        request = begun.request
        host = (request.header(b"host") or b"").decode("latin-1")
        try:
            bucket, key = address(request.path, bucket_of_host(host))
        except S3Error:
            raise AccessDenied from None
        fields = joined_fields(clients_headers(request))
        rules = None
        if bucket and fields.get(b"origin"):
            # Of a bucket that is not there a stranger hears what they hear of any without rules.
            with contextlib.suppress(NoSuchBucket):
                rules = setting(self._blobs.bucket(bucket), "cors")
        told = preflight(rules, fields, "OBJECT" if key else "BUCKET")
        return Reply(200, [*s3_identified(begun.request_id), *_encoded(told)])

    def _told_to_pages(self, begun: Begun, reply: Reply) -> Reply:
        """The reply, with what a browser has to know before it hands it to a page."""
        origin = begun.request.header(b"origin")
        if origin is None or begun.asked is None:
            return reply
        try:
            rules = setting(self._blobs.bucket(begun.asked.bucket), "cors")
        except (AwsError, OSError, ValueError):
            return reply  # of no bucket, or of one whose records cannot be read
        told = allowed(rules or (), origin.decode("latin-1"), begun.request.method)
        return replace(reply, headers=[*reply.headers, *_encoded(told or {})])

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────
    def _guarded(self, begun: Begun, step: Callable[[], Reply | None]) -> Reply | None:
        """What a step gives, or the reply that tells why it did not."""
        reply = self._replied(begun, step)
        return None if reply is None else self._told_to_pages(begun, reply)

    def _replied(self, begun: Begun, step: Callable[[], Reply | None]) -> Reply | None:
        try:
            return step()
        except AwsError as error:
            return self._failed(begun, error)
        except OSError as error:
            if is_full(error):
                return self._failed(begun, InsufficientStorage("The server's disk is full."))
            _log.exception("a request failed")
        except Exception:  # noqa: BLE001 - a bug costs one request, and is logged
            _log.exception("a request failed")
        return self._failed(begun, InternalFailure(_BUG))

    def _failed(self, begun: Begun, error: AwsError) -> Reply:
        begun.discard()
        if begun.unsigned and not begun.allowed and not isinstance(error, _SAID_TO_ANYBODY):
            error = AccessDenied()
        status, headers, body = failure(begun.request, error, begun.request_id)
        self._counting.answered(begun.operation, status)
        return Reply(status, headers, body)


def _read(reply: Reply, span: Span) -> Reply:
    """The reply with what it sends in memory. Raises OSError."""
    try:
        data = b"".join(span.reading.chunks(span.start, span.length))
    finally:
        reply.close()
    if len(data) != span.length:
        raise OSError("an object ends before its end")
    return Reply(reply.status, reply.headers, data)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
