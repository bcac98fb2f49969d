"""No operation shows one account's things to another, or changes them.

The oracle is a second server on which A has nothing: B asks both for A's things, by name and by
ARN, with every operation there is, and is answered the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from inservice.operations import registry
from tests.wire.tenants import (
    ADMINS,
    ALARM,
    CONTAINER,
    OWN,
    ROOTS,
    SECRET,
    VARIANTS,
    A,
    B,
    World,
    comparable,
    fill,
    requests_of,
    world,
)

READS = ("Describe", "Get", "List", "Filter", "Simulate", "Plan", "Test", "Decode")


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[tuple[World, World, Mapping[str, str]]]:
    """With A's things and without, and what of them has a name by chance."""
    with world(tmp_path / "with") as with_a, world(tmp_path / "without") as without_a:
        yield with_a, without_a, fill(with_a)


def in_order() -> list[registry.Operation]:
    """Everything while B has nothing; what makes things of the same names, first in an order in
    which each lacks what it needs, for which A's must not stand in; and everything again, of which
    deletions come last, and reads after them."""
    every = registry.operations()
    reads = [each for each in every if each.name.startswith(READS)]
    makes = [each for each in every if each.name.startswith(("Create", "Put", "Add", "Attach"))]
    makes.sort(key=lambda each: _MADE.get(each.name, 4))
    rest = [each for each in every if each not in reads and each not in makes]
    rest.sort(key=lambda each: _stage_of_ending(each.name))
    return [*reads, *rest, *reversed(makes), *makes, *reads, *rest, *reads]


def _stage_of_ending(name: str) -> int:
    """What hangs on a thing goes before it."""
    if name.startswith(("Detach", "Remove", "Untag")) or name.endswith("PermissionsBoundary"):
        return 1
    if not name.startswith("Delete"):
        return 0
    of_another = ("UserPolicy", "GroupPolicy", "RolePolicy", "Version", "Stream", "RetentionPolicy")
    return 2 if name.endswith(of_another) else 3


_MADE = {
    **dict.fromkeys(("CreateModel", "PutMetricAlarm", "CreateLogGroup"), 0),
    **dict.fromkeys(("CreateUser", "CreateGroup", "CreateRole", "CreatePolicy"), 0),
    **dict.fromkeys(("CreateEndpointConfig", "CreateLogStream", "CreateAccessKey"), 1),
    **dict.fromkeys(("CreateEndpoint", "PutLogEvents"), 2),
}
"""What has to be there before the next can be made."""


UNSIGNED = "sts:AssumeRoleWithWebIdentity"
"""Asked by nobody of any account, of the account that the role is of: as on AWS, who has no token
of a provider of that account's is told that it has no such provider."""

NEVER_ANSWERED = {
    # what only root of the server's own account may do
    *("inservice:CreateAccount", "inservice:ListAccounts", "inservice:DeleteAccount"),
    # what only the server's own account may do
    *("inservice:AddImage", "inservice:BuildImage", "inservice:RemoveImage"),
    "inservice:PruneImages",
    "inservice:RotateRootAccessKey",  # B's key is named by nobody here
    "inservice:BeginRoleSession",  # an administrator who is not root
    "ecr:GetAuthorizationToken",  # nobody
    # what is about a key of A's, a task or a password: B has none
    *("iam:DeleteAccessKey", "iam:GetAccessKeyLastUsed", "iam:UpdateAccessKey", "iam:DeleteUser"),
    *("iam:GetLoginProfile", "iam:DeleteLoginProfile", "iam:DeleteServiceLinkedRole"),
    "iam:GetServiceLinkedRoleDeletionStatus",
    # what root may not do, and what is not asked of a role that does not trust who asks
    *("sts:AssumeRole", "sts:DecodeAuthorizationMessage"),
    # what a user is given who is on record, which the administrator here is not
    *("sts:GetSessionToken", "sts:GetFederationToken"),
    UNSIGNED,
    # what an endpoint refuses for as long as nothing creates it
    *("sagemaker:UpdateEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"),
    *("sagemaker:DeleteEndpoint", "inservice:PlanDeployment", "inservice:UndoDeployment"),
    *("inservice:AbortDeployment", "inservice:PauseDeployment", "inservice:PromoteDeployment"),
    "inservice:ResumeDeployment",
}
"""What B is refused each time; anything else succeeds for B with things of B's own."""

SHOWN = {
    *("cloudwatch:DescribeAlarmHistory", "cloudwatch:DescribeAlarms", "cloudwatch:ListMetrics"),
    *("cloudwatch:DescribeAlarmsForMetric", "cloudwatch:GetDashboard"),
    *("cloudwatch:ListTagsForResource", "iam:GetAccountAuthorizationDetails", "iam:GetPolicy"),
    *("iam:GetOpenIDConnectProvider", "iam:ListOpenIDConnectProviderTags"),
    *("iam:GetRole", "iam:GetUser", "iam:ListPolicyTags", "iam:ListRoleTags", "iam:ListRoles"),
    *("iam:ListUserTags", "logs:FilterLogEvents", "logs:GetLogEvents"),
    *("logs:ListTagsForResource", "logs:ListTagsLogGroup", "sagemaker:DescribeModel"),
    *("sagemaker:ListTags", "tag:GetResources"),
}
"""What tells A the texts that A keeps."""


def kept_of(there: World, account: str) -> list[tuple[Any, ...]]:
    """Every row that is the account's, of records and of metrics."""
    with closing(sqlite3.connect(there.directory / "state.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        rows = [
            (name, *row)
            for (name,) in tables.fetchall()
            for row in connection.execute(f"SELECT * FROM {name}").fetchall()
        ]
    return [row for row in rows if any(account == value or _is_of(account, value) for value in row)]


def _is_of(account: str, value: object) -> bool:
    fields = value.split(":", 5) if isinstance(value, str) else ()
    return len(fields) == 6 and fields[0] == "arn" and fields[4] == account


@pytest.mark.parametrize("key_id", [ROOTS[B], ADMINS[B]], ids=["root", "administrator"])
def test_an_account_is_answered_as_if_it_were_alone(
    worlds: tuple[World, World, Mapping[str, str]], key_id: str
) -> None:
    with_a, without_a, by_chance = worlds
    before = kept_of(with_a, A)
    assert len(before) > 12
    wrong, answered = [], set()
    for operation in in_order():
        for asked in requests_of(operation, by_chance):
            where = asked.service, asked.operation, asked.members
            told = with_a.ask(key_id, *where)
            other = without_a.ask(key_id, *where)
            if "Error" not in told:
                answered.add(operation.action)
            if comparable(told) != comparable(other) and operation.action != UNSIGNED:
                wrong.append((where, comparable(told), comparable(other)))
            if SECRET in str(told):
                wrong.append((where, "tells of A", told))
    assert not wrong
    assert kept_of(with_a, A) == before
    silent = {each.action for each in registry.operations()} - answered
    assert silent <= NEVER_ANSWERED


def test_what_a_has_is_there_for_a(worlds: tuple[World, World, Mapping[str, str]]) -> None:
    """The same requests, asked by A: else the walk would look for what nobody has."""
    with_a, _, by_chance = worlds
    shown = {
        operation.action
        for operation in registry.operations()
        if operation.name.startswith(READS)
        for asked in requests_of(operation, by_chance)
        if SECRET in str(with_a.ask(ROOTS[A], asked.service, asked.operation, asked.members))
    }
    assert shown >= SHOWN


PAGED: list[tuple[str, str, str, Mapping[str, Any]]] = [
    ("sagemaker", "ListModels", "NextToken", {"MaxResults": 1}),
    ("sagemaker", "ListEndpointConfigs", "NextToken", {"MaxResults": 1}),
    ("cloudwatch", "DescribeAlarms", "NextToken", {"MaxRecords": 1}),
    ("cloudwatch", "DescribeAlarmHistory", "NextToken", {"MaxRecords": 1}),
    ("logs", "DescribeLogGroups", "nextToken", {"limit": 1}),
    ("iam", "ListUsers", "Marker", {"MaxItems": 1}),
    ("resourcegroupstaggingapi", "GetResources", "PaginationToken", {"ResourcesPerPage": 1}),
]


@pytest.mark.parametrize(
    ("service", "operation", "token", "members"), PAGED, ids=[each[1] for each in PAGED]
)
def test_a_page_of_another_account_is_none(
    worlds: tuple[World, World, Mapping[str, str]],
    service: str,
    operation: str,
    token: str,
    members: Mapping[str, Any],
) -> None:
    """The token that A was given for the next page leads B to nothing of A's."""
    with_a, without_a, _ = worlds
    a = ROOTS[A]
    with_a.ask(a, "sagemaker", "CreateModel", {"ModelName": "n", "PrimaryContainer": CONTAINER})
    two = {"EndpointConfigName": "c2", "ProductionVariants": VARIANTS}
    with_a.ask(a, "sagemaker", "CreateEndpointConfig", two)
    with_a.ask(a, "cloudwatch", "PutMetricAlarm", {**ALARM, "AlarmName": "am"})
    with_a.ask(a, "logs", "CreateLogGroup", {"logGroupName": "h"})
    with_a.ask(a, "iam", "CreateUser", {"UserName": "v"})
    answer = with_a.ask(a, service, operation, members)
    given = answer[token]
    again = {**members, token: given}
    assert "Error" not in with_a.ask(a, service, operation, again)
    told = with_a.ask(ROOTS[B], service, operation, again)
    assert comparable(told) == comparable(without_a.ask(ROOTS[B], service, operation, again))


def test_a_server_shows_an_account_its_own_instances(
    worlds: tuple[World, World, Mapping[str, str]],
) -> None:
    with_a, _, _ = worlds

    def seen(account: str) -> tuple[list[tuple[str, str]], list[str], bool]:
        told = with_a.ask(ROOTS[account], "inservice", "DescribeServer", {})
        return (
            [(one["EndpointName"], one.get("AccountId", "")) for one in told["Instances"]],
            [one["EndpointName"] for one in told["Endpoints"]],
            "ModelIsolation" in told,
        )

    assert seen(A) == ([("e", A)], ["e"], False)
    assert seen(B) == ([], [], False)
    assert seen(OWN) == ([("e", A), ("", "")], ["e"], True)


def test_what_is_set_aside_is_told_to_the_server_s_own_account_alone(
    worlds: tuple[World, World, Mapping[str, str]], tmp_path: Path
) -> None:
    with_a, _, _ = worlds
    damaged = tmp_path / "metrics.db.damaged"
    damaged.touch()
    with_a.runs.aside = (damaged,)
    for account, told in ((A, False), (B, False), (OWN, True)):
        answer = with_a.ask(ROOTS[account], "inservice", "DescribeServer", {})
        assert (str(damaged) in str(answer)) is told
