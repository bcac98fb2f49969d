"""The step around performing: who changed what, and who was refused, goes to the audit trail.

A change is noted before it is made, and its line is durable before the answer leaves. Of it are
told what is known before it is performed, how it came out, and the ids of the keys that it gave:
never what was in it.
"""

from __future__ import annotations

from collections.abc import Callable

from inservice.audit.entry import DONE, UNKNOWN, Entry, entry_of
from inservice.audit.trail import Trail
from inservice.errors import AccessDeniedException, AwsError, InternalFailure
from inservice.identity.principal import AccessKey
from inservice.operations.registry import Call, Document, Operation
from inservice.operations.touches import resources_of
from inservice.transport.messages import Request
from inservice.transport.source import source_of


class Audited:
    """Tells the trail of calls; without one, nobody."""

    def __init__(self, trail: Trail | None) -> None:
        self._trail = trail

    def denied(
        self,
        error: AccessDeniedException,
        operation: Operation,
        call: Call,
        members: Document,
        request: Request,
        key: AccessKey,
    ) -> None:
        """Somebody was refused. Raises nothing."""
        if self._trail is not None:
            self._trail.denied(_entry(operation, call, members, request, key, error.code))

    def perform(
        self,
        operation: Operation,
        call: Call,
        members: Document,
        request: Request,
        key: AccessKey,
        perform: Callable[[], Document],
    ) -> Document:
        """Perform, and tell of it if it is of those that change something. Raises the errors of the
        operation, and InsufficientStorage where it could not be told of: then it is not begun."""
        trail = self._trail
        if trail is None or not operation.is_audited:
            return perform()
        change = trail.begin(_entry(operation, call, members, request, key, UNKNOWN))
        outcome = InternalFailure.code
        made: tuple[str, ...] = ()
        try:
            output = perform()
            outcome, made = DONE, _keys_in(output)
        except AwsError as error:
            outcome = error.code
            raise
        finally:
            trail.end(change, outcome, made)
        return output


def _keys_in(output: Document) -> tuple[str, ...]:
    """The ids of the access keys that an answer gives to somebody."""
    places = (output, output.get("AccessKey") or {}, output.get("Credentials") or {})
    found = (place.get("AccessKeyId") for place in places)
    return tuple(key_id for key_id in found if isinstance(key_id, str))


def _entry(
    operation: Operation,
    call: Call,
    members: Document,
    request: Request,
    key: AccessKey,
    outcome: str,
) -> Entry:
    return entry_of(
        at=call.now,
        principal=call.principal,
        access_key_id=key.id,
        action=operation.action,
        resources=resources_of(operation, call, members),
        region=call.region,
        outcome=outcome,
        request_id=call.request_id,
        source_address=source_of(request),
        user_agent=request.header(b"user-agent"),
    )
