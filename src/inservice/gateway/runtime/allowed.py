"""Who may invoke what: decided in the worker, from what control told it.

It is the same function as control's, `identity.decide`, on what the routing table says that the
caller holds. A worker that was told nothing about a principal refuses it, also while control is
gone. A decision is kept until the table says something else about anybody; one that rests on what
differs from request to request (the time, the client's address) is made for each.

What a session holds is its role's, within what it was begun with: two sessions of one role may hold
different things. So a decision is kept by the key that signed, and not by whom it stands for.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from inservice.clock import Clock
from inservice.gateway.runtime.requests import Target
from inservice.identity.authority import AttachedPolicy, Authority, in_session
from inservice.identity.decide import Decision, Outcome, Question, decide
from inservice.identity.principal import Principal, Session
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
        self._holders: dict[str, tuple[str, Authority]] = {}  # by ARN: as told, compiled
        self._passed: dict[str, tuple[str, AttachedPolicy]] = {}  # session policies, the same
        self._of_keys: dict[str, tuple[Authority, bool]] = {}  # by id: what is held, and lasting
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
            why, lasting = self._decide(table, key, Question(target.action, arn, context))
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
            told = table.authorities
            holders, passed = self._holders.items(), self._passed.items()
            self._holders = {arn: each for arn, each in holders if told.get(arn) == each[0]}
            self._passed = {arn: each for arn, each in passed if told.get(arn) == each[0]}

    def _decide(
        self, table: RoutingTable, key: KeyRoute, question: Question
    ) -> tuple[str | None, bool]:
        """The same, and whether it lasts."""
        known = self._of_keys.get(key.id)
        if known is None:
            authority = self._authority(table, key)
            known = authority, all(each.startswith(_SAME) for each in _mentioned(authority))
            if len(self._of_keys) >= self._kept_max:
                self._of_keys.clear()
            self._of_keys[key.id] = known
        authority, lasting = known
        decision = decide(authority, question)
        if question.action == STREAM:
            plain = Question(INVOKE, question.resource, question.context)
            decision = _streaming(decision, decide(authority, plain))
        return (None if decision.allowed else decision.message(key.principal)), lasting

    def _authority(self, table: RoutingTable, key: KeyRoute) -> Authority:
        """What who signs with a key holds."""
        if not isinstance(key, SessionRoute):
            held = self._held(table, key.principal)
            return Authority(Principal(key.account, key.principal)) if held is None else held
        session = Session.from_plain(json.loads(key.session))
        passed = {}
        for arn in session.policy_arns:
            if (policy := self._policy(table, arn)) is not None:
                passed[arn] = policy
        return in_session(session, self._held(table, session.holder), passed)

    def _held(self, table: RoutingTable, arn: str) -> Authority | None:
        """What a user or a role holds, as far as it was told."""
        text = table.authorities.get(arn)
        if text is None:
            return None
        if arn not in self._holders:
            self._holders[arn] = text, Authority.from_plain(json.loads(text))
        return self._holders[arn][1]

    def _policy(self, table: RoutingTable, arn: str) -> AttachedPolicy | None:
        """A managed policy that a session was begun with, as it is now."""
        text = table.authorities.get(arn)
        if text is None:
            return None
        if arn not in self._passed:
            self._passed[arn] = text, AttachedPolicy.from_plain(json.loads(text))
        return self._passed[arn][1]


def _mentioned(authority: Authority) -> set[str]:
    """Every condition key and variable in what somebody holds."""
    held = [*authority.identity, *(authority.session or ())]
    if authority.boundary is not None:
        held.append(authority.boundary)
    return {key.lower() for each in held for key in each.policy.context_keys}


def _streaming(named: Decision, plain: Decision) -> Decision:
    """AWS's reference has an action for streams, and its API's page says InvokeEndpoint is what is
    asked for. So either of them allows it, and either of them denies it where a policy says so."""
    if Outcome.EXPLICIT_DENY in (named.outcome, plain.outcome):
        return named if named.outcome is Outcome.EXPLICIT_DENY else plain
    return plain if plain.allowed else named
