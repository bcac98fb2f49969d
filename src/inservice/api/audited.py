"""The step around performing: who changed what, and who was refused, goes to the audit trail.

A change is noted before it is made, and its line is durable before the answer leaves. Only what is
known before an operation is performed is told of it, and how it came out: never what was in it.
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
        try:
            output = perform()
            outcome = DONE
        except AwsError as error:
            outcome = error.code
            raise
        finally:
            trail.end(change, outcome)
        return output


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
