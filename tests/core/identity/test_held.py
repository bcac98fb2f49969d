"""What an entity holds; and that nothing it refers to is passed over when it is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inservice.identity.authority import Authority
from inservice.identity.decide import Outcome, Question, decide
from inservice.identity.iam.entities import (
    CustomerPolicy,
    Group,
    InlinePolicy,
    PolicyVersion,
    Role,
    User,
)
from inservice.identity.iam.held import Lookups, Lost, held_by

ACCOUNT = "111122223333"
ALLOW = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}'
DENY = ALLOW.replace("Allow", "Deny").replace("s3:*", "s3:Put*")

GROUP = Group(ACCOUNT, "crew", "/", "AGPA1", 1.0, inline=(InlinePolicy("no", DENY),))
POLICY = CustomerPolicy(
    ACCOUNT,
    "P",
    "/x/",
    "ANPA1",
    1.0,
    1.0,
    (PolicyVersion(1, DENY, 1.0), PolicyVersion(2, ALLOW, 1.0)),
    2,
    2,
)
USER = User(ACCOUNT, "ana", "/", "AIDA1", 1.0, groups=(GROUP.id,), attached=(POLICY.arn,))


def lookups(*there: Group | CustomerPolicy) -> Lookups:
    groups = {each.id: each for each in there if isinstance(each, Group)}
    policies = {each.name: each for each in there if isinstance(each, CustomerPolicy)}
    return Lookups(
        group=lambda _, group_id: groups.get(group_id), policy=lambda _, name: policies.get(name)
    )


def test_what_is_held_decides() -> None:
    held = held_by(USER, lookups(GROUP, POLICY))
    assert held.principal is not None
    assert held.principal.arn == USER.arn
    assert [(p.name, p.arn, p.holder) for p in held.policies] == [
        ("P", POLICY.arn, USER.arn),
        ("group_crew_no", "", GROUP.arn),
    ]
    authority = Authority(held.principal, held.policies, held.boundary, tags=held.tags)
    decided = [decide(authority, Question(f"s3:{verb}")) for verb in ("Get", "Put")]
    assert [each.outcome for each in decided] == [Outcome.ALLOWED, Outcome.EXPLICIT_DENY]


@pytest.mark.parametrize(
    "entity",
    [
        USER,
        replace(USER, groups=()),
        replace(USER, attached=()),
        replace(USER, groups=(), attached=(), boundary=POLICY.arn),
        replace(GROUP, attached=(POLICY.arn,)),
        Role(ACCOUNT, "R", "/", "AROA1", 1.0, "{}", boundary=POLICY.arn),
        replace(USER, groups=(), attached=("arn:aws:iam::aws:policy/Nonsense",)),
        replace(USER, groups=(), attached=("nonsense",)),
    ],
    ids=str,
)
def test_what_is_lost_is_never_passed_over(entity: User | Group | Role) -> None:
    with pytest.raises(Lost):
        held_by(entity, lookups())


def test_an_arn_is_found_as_it_is_and_no_other_way() -> None:
    found = lookups(POLICY)
    assert found.policy_at(POLICY.arn) is POLICY
    for arn in (
        POLICY.arn.replace("/x/", "/"),
        POLICY.arn.replace(":policy/", ":user/"),
        POLICY.arn.replace(ACCOUNT, "000000000000"),
        POLICY.arn + "/",
        "",
    ):
        assert found.policy_at(arn) is None, arn
