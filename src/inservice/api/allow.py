"""The step that asks whether a caller may do what a request asks for.

An operation says what it touches (`operations.touches`), this adds who asks, when and from where,
and `identity.decide` decides; every touch must be allowed. It comes after the request has passed
AWS's model and before anything is looked up: who sends what no request can be is told so, and who
may not see a thing cannot learn whether it is there.
"""

from __future__ import annotations

from collections.abc import Callable

from inservice.errors import AccessDeniedException
from inservice.identity.authority import Authority
from inservice.identity.decide import Question, decide
from inservice.identity.principal import AccessKey
from inservice.identity.request_context import owner_of, request_context
from inservice.operations.registry import Call, Document, Operation
from inservice.operations.touches import asked
from inservice.transport.messages import Request
from inservice.transport.source import source_of

_HANDED_ON = "iam:PassRole"
"""Code that was written for an account of AWS's names its roles here, and nothing is done as them:
whose role it is, is not asked."""

AuthorityOf = Callable[[AccessKey], Authority]
"""What who signs with a key holds: nothing, where nobody has given it anything."""


def allow(
    authority_of: AuthorityOf,
    operation: Operation,
    call: Call,
    members: Document,
    request: Request,
    key: AccessKey,
) -> None:
    """Raises AccessDeniedException, in IAM's words, unless all that is touched is allowed."""
    principal = key.principal
    if principal.is_root:
        return
    authority = authority_of(key)
    context = request_context(
        account=call.account,
        region=call.region,
        now=call.now,
        source=source_of(request),
        agent=request.header(b"user-agent"),
        session=key.session_token is not None,
    )
    for question, touch in asked(operation, call, members):
        owner = {} if question.action == _HANDED_ON else owner_of(question.resource)
        keys = {**context, **owner, **question.context}
        whole = Question(question.action, question.resource, keys)
        decision = decide(authority, whole, () if touch.policies is None else touch.policies())
        if not decision.allowed:
            told = decision.message(principal.arn, with_reason=not touch.silent)
            raise AccessDeniedException(told)
