"""Who may invoke what: decided in the worker, from what control told it.

It is the same function as control's, `identity.decide`, on what the routing table says that the
caller holds. A worker that was told nothing about a principal refuses it, also while control is
gone. A decision is kept until the table says something else about anybody; one that rests on what
differs from request to request (the time, the client's address) is made for each.

Two sessions of one role may hold different things (`identity.holders`). So a decision is kept by
the key that signed, and not by whom it stands for.
"""

from __future__ import annotations

import asyncio
from typing import Final

from inservice.clock import Clock
from inservice.gateway.runtime.requests import Target
from inservice.identity.authority import Authority
from inservice.identity.decide import Decision, Outcome, Question, decide
from inservice.identity.holders import Holders, mentioned
from inservice.identity.principal import Principal
from inservice.identity.request_context import request_context, tag_context
from inservice.partitions import partition_of
from inservice.routing.table import KeyRoute, RoutingTable, SessionRoute
from inservice.transport.messages import Request
from inservice.transport.source import address_of

KEPT_MAX: Final = 4_096
"""Decisions that one worker keeps. Only who has a key can have one made."""

_SAME: Final = (
    *("aws:principal", "aws:userid", "aws:username", "aws:federatedprovider"),
    *("aws:resource", "sagemaker:resourcetag/", "aws:requestedregion", "aws:securetransport"),
    *("aws:viaawsservice", "aws:sourceidentity", "aws:tokenissuetime"),
    "aws:multifactorauthpresent",
)
"""Condition keys, or how they begin, that are the same for each request with one key to an
endpoint while its table stands. Whatever else a policy asks for is taken to differ."""

STREAM: Final = "sagemaker:InvokeEndpointWithResponseStream"
INVOKE: Final = "sagemaker:InvokeEndpoint"


class Allowed:
    """The decisions of one worker."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._holders = Holders()
        self._of_keys: dict[tuple[str, str], tuple[Authority, bool]] = {}
        """What is held with a key, by its id, and whether what it says of an action lasts."""
        self._kept: dict[tuple[str, str, str, str], str | None] = {}
        self._table: RoutingTable | None = None

    def denial(
        self,
        table: RoutingTable,
        key: KeyRoute,
        region: str,
        target: Target,
        request: Request,
        transport: asyncio.BaseTransport,
        clock: Clock,
    ) -> str | None:
        """Why the owner of `key` may not do what `target` asks for, in IAM's words; None if it
        may."""
        if table is not self._table:
            self._follow(table)
        asked = key.id, region, target.action, target.resource
        try:
            return self._kept[asked]
        except KeyError:
            pass
        principal = Principal(key.account, key.principal)
        if principal.is_root:
            why, lasting = None, True
        else:
            arn = f"arn:{partition_of(region)}:sagemaker:{region}:{key.account}:{target.resource}"
            context = request_context(
                account=key.account,
                region=region,
                now=clock.wall(),
                source=address_of(transport.get_extra_info("peername")),
                agent=request.header(b"user-agent"),
                session=key.session_token is not None,
            )
            context |= tag_context("sagemaker", table.tags.get(arn, {}))
            if (model := request.header(b"x-amzn-sagemaker-target-model")) is not None:
                context["sagemaker:targetmodel"] = model.decode("utf-8", "replace")
            why, lasting = self._decide(principal, key, Question(target.action, arn, context))
        if lasting:
            if len(self._kept) >= self._kept_max:
                self._kept.clear()
            self._kept[asked] = why
        return why

    def _follow(self, table: RoutingTable) -> None:
        """Forget what was decided by a table that said something else about who may do what."""
        before, self._table = self._table, table
        if before is None or not (
            before.authorities is table.authorities and before.tags is table.tags
        ):
            self._kept.clear()
            self._of_keys.clear()
        self._holders.follow(table.authorities)

    def _decide(
        self, principal: Principal, key: KeyRoute, question: Question
    ) -> tuple[str | None, bool]:
        """The same, and whether it lasts."""
        asked = key.id, question.action
        known = self._of_keys.get(asked)
        if known is None:
            terms = key.session if isinstance(key, SessionRoute) else None
            authority = self._holders.authority(principal, terms)
            # Statements about anything else decide nothing here, whatever they ask for: those of
            # AWS's own policies on roles and objects would have each request decided anew.
            keys = mentioned(authority, question.action, INVOKE)
            known = authority, all(each.startswith(_SAME) for each in keys)
            if len(self._of_keys) >= self._kept_max:
                self._of_keys.clear()
            self._of_keys[asked] = known
        authority, lasting = known
        decision = decide(authority, question)
        if question.action == STREAM:
            plain = Question(INVOKE, question.resource, question.context)
            decision = _streaming(decision, decide(authority, plain))
        return (None if decision.allowed else decision.message(key.principal)), lasting


def _streaming(named: Decision, plain: Decision) -> Decision:
    """AWS's reference has an action for streams, and its API's page says InvokeEndpoint is what is
    asked for. So either of them allows it, and either of them denies it where a policy says so."""
    if Outcome.EXPLICIT_DENY in (named.outcome, plain.outcome):
        return named if named.outcome is Outcome.EXPLICIT_DENY else plain
    return plain if plain.allowed else named
