"""Sessions of one role may hold different things: each is decided by its own key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Principal, Session, role_session
from inservice.routing.table import RoutingTable, SessionRoute
from tests.gateway.test_allowed import ACCOUNT, ARN, INVOKE, Worker, statement

ROLE = f"arn:aws:iam::{ACCOUNT}:role/path/r"
PASSED = f"arn:aws:iam::{ACCOUNT}:policy/passed"
PRINCIPAL = role_session(ACCOUNT, "r", "s", "/path/", "AROAR")


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def begun(key_id: str, **terms: Any) -> SessionRoute:
    session = Session(PRINCIPAL, 1_700_000_000.0, 1_700_003_600.0, **terms)
    text = json.dumps(session.to_plain())
    return SessionRoute(key_id, "secret", ACCOUNT, PRINCIPAL.arn, "token", 4e9, text)


def attached(text: str, kind: PolicyKind) -> AttachedPolicy:
    return AttachedPolicy(parse_policy(text, kind), "own", PASSED)


def table(
    *statements: Mapping[str, Any], passed: str | None = None, role_id: str = "AROAR", **tags: str
) -> RoutingTable:
    """What control tells where this is what the role may do, and what `PASSED` says."""
    told = {}
    if statements:
        identity = [attached(document(*statements), PolicyKind.IDENTITY)]
        held = Authority(Principal(ACCOUNT, ROLE, role_id), identity, tags=tags)
        told[ROLE] = json.dumps(held.to_plain())
    if passed is not None:
        told[PASSED] = json.dumps(attached(passed, PolicyKind.MANAGED).to_plain())
    return RoutingTable(1, {}, {}, told)


def test_each_session_holds_its_roles_policies_within_its_own() -> None:
    worker, known = Worker(), table(statement(INVOKE))
    free = begun("ASIAFREE")
    bound = begun("ASIABOUND", policy=document(statement("sagemaker:ListModels")))
    for _ in range(2):  # the second time from what is kept
        assert worker.refuses(known, key=free) is None
        assert worker.refuses(known, key=bound) == (
            f"User: {PRINCIPAL.arn} is not authorized to perform: {INVOKE} on resource: {ARN} "
            f"because no session policy allows the {INVOKE} action"
        )
    assert worker.kept == 2
    denied = begun("ASIADENIED", policy=document(statement(INVOKE, effect="Deny")))
    assert "with an explicit deny in a session policy" in str(worker.refuses(known, key=denied))


def test_managed_session_policies_count_as_they_are_now() -> None:
    worker, key = Worker(), begun("ASIA1", policy_arns=(PASSED,))
    allows, allows_not = document(statement(INVOKE)), document(statement("sagemaker:ListTags"))
    assert worker.refuses(table(statement(INVOKE), passed=allows), key=key) is None
    assert worker.refuses(table(statement(INVOKE), passed=allows_not), key=key) is not None
    assert worker.refuses(table(statement(INVOKE), passed=allows), key=key) is None
    assert worker.refuses(table(statement(INVOKE)), key=key) is not None, "it is gone"


def test_a_session_of_a_role_that_is_gone_or_another_holds_nothing() -> None:
    worker, key = Worker(), begun("ASIA1")
    assert worker.refuses(table(statement(INVOKE)), key=key) is None
    assert worker.refuses(table(), key=key) is not None
    assert worker.refuses(table(statement(INVOKE), role_id="AROAOTHER"), key=key) is not None


def test_tags_of_the_session_go_before_those_of_its_role() -> None:
    only = statement(INVOKE, Condition={"StringEquals": {"aws:PrincipalTag/team": "a"}})
    worker = Worker()
    assert worker.refuses(table(only, Team="a"), key=begun("ASIA1")) is None
    assert worker.refuses(table(only, Team="b"), key=begun("ASIA2")) is not None
    assert worker.refuses(table(only, Team="b"), key=begun("ASIA3", tags={"team": "a"})) is None
    assert worker.refuses(table(only, Team="a"), key=begun("ASIA4", tags={"TEAM": "b"})) is not None


def test_what_is_known_of_a_session_lasts_as_long_as_its_key() -> None:
    """Policies that end sessions which were begun too early, as IAM's console writes them."""
    early = {"DateLessThan": {"aws:TokenIssueTime": "2023-11-15T00:00:00Z"}}
    known = table(statement(INVOKE), statement("*", effect="Deny", Condition=early))
    worker, before = Worker(), begun("ASIA1")
    late = Session(PRINCIPAL, 1_900_000_000.0, 1_900_003_600.0, source_identity="ana")
    after = replace(before, id="ASIA2", session=json.dumps(late.to_plain()))
    assert worker.refuses(known, key=before) is not None
    assert worker.refuses(known, key=after) is None
    assert worker.kept == 2
    who = {"StringEquals": {"aws:SourceIdentity": "ana"}}
    known = table(statement(INVOKE, Condition=who))
    assert worker.refuses(known, key=before) is not None
    assert worker.refuses(known, key=after) is None


def test_what_is_kept_of_sessions_is_bounded() -> None:
    worker, known = Worker(kept_max=3), table(statement(INVOKE))
    for number in range(20):
        assert worker.refuses(known, key=begun(f"ASIA{number}")) is None
        assert worker.kept <= 3
        assert len(worker.allowed._of_keys) <= 3
