"""A worker decides by what it was told: what it keeps, and what it must ask anew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from inservice.clock import SystemClock
from inservice.gateway.runtime.allowed import Allowed
from inservice.gateway.runtime.requests import read_target
from inservice.identity import managed
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Principal
from inservice.routing.table import KeyRoute, RoutingTable
from inservice.transport.messages import Request

ACCOUNT, REGION = "000000000000", "us-east-1"
ANA = f"arn:aws:iam::{ACCOUNT}:user/ana"
KEY = KeyRoute("AKIAANA", "secret", ACCOUNT, ANA)
ROOT = KeyRoute("AKIAROOT", "secret", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e"
INVOKE = "sagemaker:InvokeEndpoint"
STREAM = "sagemaker:InvokeEndpointWithResponseStream"
STREAM_PATH = b"/endpoints/e/invocations-response-stream"


def statement(*actions: str, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": list(actions), "Resource": "*", **more}


def table(*statements: Mapping[str, Any], **more: Any) -> RoutingTable:
    """What control tells where this is what ana may do."""
    if not statements:
        return RoutingTable(1, {}, {}, **more)
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    policy = AttachedPolicy(parse_policy(document, PolicyKind.IDENTITY), "own")
    authority = Authority(Principal(ACCOUNT, ANA, "AIDA"), [policy])
    return RoutingTable(1, {}, {}, {ANA: json.dumps(authority.to_plain())}, **more)


class Peer(asyncio.BaseTransport):
    """A connection, as far as it is asked where it comes from."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 4242)})


class SetClock(SystemClock):
    """Shows what it is set to."""

    moment = 1_750_000_000.0

    def wall(self) -> float:
        return self.moment


class Worker:
    """One worker's decisions."""

    def __init__(self, kept_max: int = 100) -> None:
        self.allowed = Allowed(kept_max)
        self.clock = SetClock()

    @property
    def kept(self) -> int:
        """How many decisions are kept, which are not made again."""
        return len(self.allowed._kept)

    def refuses(
        self,
        known: RoutingTable,
        path: bytes = b"/endpoints/e/invocations",
        key: KeyRoute = KEY,
        address: str = "127.0.0.1",
        **headers: str,
    ) -> str | None:
        fields = [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ]
        request = Request("POST", path, 1, fields)
        return self.allowed.denial(
            known, key, REGION, read_target(path), request, Peer(address), self.clock
        )


def test_root_needs_nothing_and_who_was_told_nothing_about_may_nothing() -> None:
    worker = Worker()
    assert worker.refuses(table(), key=ROOT) is None
    assert worker.refuses(table()) == (
        f"User: {ANA} is not authorized to perform: {INVOKE} on resource: {ARN} because no "
        f"identity-based policy allows the {INVOKE} action"
    )


def test_a_user_whose_path_ends_like_roots_arn_is_not_root() -> None:
    for arn in (f"arn:aws:iam::{ACCOUNT}:user/x:root", "arn:aws:iam::111122223333:root"):
        assert Worker().refuses(table(), key=replace(KEY, principal=arn)) is not None


def test_a_decision_is_kept_until_somebody_may_something_else() -> None:
    worker, known = Worker(), table(statement(INVOKE))
    for _ in range(5):
        assert worker.refuses(known) is None
    assert worker.kept == 1
    # Another endpoint's route makes another table, of the same grants.
    assert worker.refuses(replace(known, version=2), b"/endpoints/f/invocations") is None
    assert worker.kept == 2
    assert worker.refuses(table(statement(STREAM))) is not None
    assert worker.kept == 1
    assert worker.refuses(known) is None


def test_what_differs_from_request_to_request_is_asked_each_time() -> None:
    near = statement(INVOKE, Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})
    worker, known = Worker(), table(near)
    assert worker.refuses(known) is None
    assert worker.refuses(known, address="192.0.2.7") is not None
    assert worker.refuses(known) is None
    assert worker.kept == 0
    agent = statement(INVOKE, Resource="*", Condition={"StringLike": {"aws:UserAgent": "curl/*"}})
    worker, known = Worker(), table(agent)
    assert worker.refuses(known, user_agent="curl/8") is None
    assert worker.refuses(known, user_agent="python") is not None


def test_time_passes() -> None:
    worker = Worker()
    soon = worker.clock.wall() + 60
    until = statement(INVOKE, Condition={"NumericLessThan": {"aws:EpochTime": str(int(soon))}})
    known = table(until)
    assert worker.refuses(known) is None
    worker.clock.moment += 120
    assert worker.refuses(known) is not None


def test_the_same_key_in_a_variable_counts_as_asked_for() -> None:
    own = {**statement(INVOKE), "Resource": f"{ARN[:-1]}${{aws:useragent}}"}
    worker, known = Worker(), table(own)
    assert worker.refuses(known, user_agent="e") is None
    assert worker.refuses(known, user_agent="f") is not None


def test_tags_of_the_endpoint_count_and_new_ones_at_once() -> None:
    tagged = statement(INVOKE, Condition={"StringEquals": {"sagemaker:ResourceTag/Team": "a"}})
    worker, known = Worker(), table(tagged)
    assert worker.refuses(known) is not None
    assert worker.refuses(replace(known, tags={ARN: {"team": "a"}})) is None
    assert worker.refuses(replace(known, tags={ARN: {"team": "b"}})) is not None


def test_a_model_that_is_asked_for_by_name() -> None:
    only = statement(INVOKE, Condition={"StringEquals": {"sagemaker:TargetModel": "a.tar.gz"}})
    worker, known = Worker(), table(only)
    assert worker.refuses(known, x_amzn_sagemaker_target_model="a.tar.gz") is None
    assert worker.refuses(known, x_amzn_sagemaker_target_model="b.tar.gz") is not None
    assert worker.refuses(known) is not None


OTHERS = [
    {"Action": "iam:PassRole", "Condition": {"StringEquals": {"iam:PassedToService": "x"}}},
    {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::${aws:CurrentTime}"},
    {"NotAction": "sagemaker:*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
]
"""Statements that ask for what differs from request to request, about anything but invocations."""


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("path", [b"/endpoints/e/invocations", STREAM_PATH])
def test_a_decision_rests_on_no_statement_about_something_else(
    other: dict[str, Any], path: bytes
) -> None:
    known = table(statement(INVOKE), {"Effect": "Deny", "Resource": "*", **other})
    worker = Worker()
    assert worker.refuses(known, path) is None
    assert worker.kept == 1


@pytest.mark.parametrize(
    "about", [{"Action": "sagemaker:Invoke*"}, {"NotAction": "s3:*"}, {"Action": INVOKE}]
)
@pytest.mark.parametrize("path", [b"/endpoints/e/invocations", STREAM_PATH])
def test_a_statement_about_invocations_is_asked_each_time(
    about: dict[str, Any], path: bytes
) -> None:
    late = {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}
    known = table(
        statement(INVOKE, STREAM), {"Effect": "Deny", "Resource": "*", "Condition": late, **about}
    )
    worker = Worker()
    assert worker.refuses(known, path) is None
    worker.clock.moment += 86_400 * 365 * 2
    assert worker.refuses(known, path) is not None


@pytest.mark.parametrize("name", ["AmazonSageMakerFullAccess", "AdministratorAccess"])
def test_what_aws_s_own_policies_allow_is_kept(name: str) -> None:
    (policy,) = [each.policy for each in managed.all() if each.name == name]
    authority = Authority(Principal(ACCOUNT, ANA, "AIDA"), [AttachedPolicy(policy, name)])
    known = RoutingTable(1, {}, {}, {ANA: json.dumps(authority.to_plain())})
    worker = Worker()
    assert worker.refuses(known) is None
    assert worker.kept == 1


STREAMS = [
    ((STREAM,), (), True),
    ((INVOKE,), (), True),
    ((), (), False),
    ((STREAM, INVOKE), (STREAM,), False),
    ((STREAM, INVOKE), (INVOKE,), False),
]


@pytest.mark.parametrize(("allows", "denies", "may"), STREAMS)
def test_either_action_lets_a_stream_through_and_either_keeps_it(
    allows: tuple[str, ...], denies: tuple[str, ...], may: bool
) -> None:
    statements = [statement("sagemaker:ListModels")]
    statements += [statement(*allows)] if allows else []
    statements += [statement(*denies, effect="Deny")] if denies else []
    why = Worker().refuses(table(*statements), STREAM_PATH)
    assert (why is None) is may
    if denies:
        assert why is not None
        assert f"{denies[0]} on resource" in why


def test_what_is_kept_is_bounded() -> None:
    worker, known = Worker(kept_max=3), table(statement(INVOKE))
    for number in range(20):
        assert worker.refuses(known, b"/endpoints/e%d/invocations" % number) is None
        assert worker.kept <= 3
