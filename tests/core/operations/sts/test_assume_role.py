"""AssumeRole: who may, what comes of it, and how everybody else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from inservice.identity.principal import AccessKey
from inservice.identity.unique_ids import account_of
from inservice.operations.sts import given as giving
from tests.core.operations.conftest import ACCOUNT
from tests.core.operations.sts.conftest import ROOT, Place, allows, policy, trusts

ACCOUNT_ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ANA = f"arn:aws:iam::{ACCOUNT}:user/ana"
ALL = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")


def denial(key: AccessKey, arn: str, action: str = "sts:AssumeRole") -> tuple[str, str]:
    return (
        "AccessDeniedException",
        f"User: {key.principal.arn} is not authorized to perform: {action} on resource: {arn}",
    )


def test_what_comes_of_it(place: Place) -> None:
    ana = place.user("ana")
    role = place.role("r", trusts(ANA), Path="/team/")
    answer = place.answer(ana, role, DurationSeconds=900)
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role.id}:s1",
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s1",
    }
    given = answer["Credentials"]
    assert given["AccessKeyId"].startswith("ASIA")
    assert account_of(given["AccessKeyId"]) == ACCOUNT
    assert (len(given["AccessKeyId"]), len(given["SecretAccessKey"])) == (20, 40)
    assert given["Expiration"] == place.now + 900
    assert answer["PackedPolicySize"] == 0
    again = place.answer(ana, role)["Credentials"]
    assert {*given.values()}.isdisjoint({*again.values()} - {given["Expiration"]})
    key = place.assume(ana, role)
    assert place.ask("sts", "GetCallerIdentity", key) == {
        "UserId": f"{role.id}:s1",
        "Account": ACCOUNT,
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s1",
    }
    china = place.ask(
        "sts",
        "AssumeRole",
        ana,
        region="cn-north-1",
        RoleArn=role.arn.replace("aws", "aws-cn", 1),
        RoleSessionName="s1",
    )
    assert china["AssumedRoleUser"]["Arn"].startswith("arn:aws-cn:sts::")


# Whom the trust policy names, what the caller's own policy says, and whether it comes of it.
WHO: list[tuple[Any, tuple[dict[str, Any], ...], bool]] = [
    ({"AWS": ANA}, (), True),
    ({"AWS": ANA}, (allows("sts:AssumeRole", Effect="Deny"),), False),
    ({"AWS": ACCOUNT_ROOT}, (), False),
    ({"AWS": ACCOUNT_ROOT}, (allows("sts:AssumeRole"),), True),
    ({"AWS": ACCOUNT}, (allows("sts:*"),), True),
    ({"AWS": "*"}, (), True),
    ({"Service": "sagemaker.amazonaws.com"}, (allows("*"),), False),
    ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bea"}, (allows("*"),), False),
    ({"AWS": "444455556666"}, (allows("*"),), False),
]


@pytest.mark.parametrize(("principal", "own", "may"), WHO)
def test_both_policies_have_their_say(
    place: Place, principal: Any, own: tuple[dict[str, Any], ...], may: bool
) -> None:
    place.user("bea")
    ana = place.user("ana", *own)
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    role = place.role("r", statement)
    if may:
        place.assume(ana, role)
    else:
        assert place.refused(ana, role) == denial(ana, role.arn)


def test_a_role_that_is_not_there_looks_like_one_that_does_not_trust(place: Place) -> None:
    poor, rich = place.user("ana"), place.user("bea", allows("*"))
    there = place.role(
        "r",
        {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT_ROOT},
            "Action": "sts:AssumeRole",
            "Condition": {"Bool": {"a:b": "true"}},
        },
    )
    denied = place.role("s", trusts("*", Effect="Deny"))
    for key in (poor, rich):
        refusals = {
            json.dumps(place.refused(key, arn)).replace(arn, "")
            for arn in (
                there.arn,
                denied.arn,
                f"{there.arn}x",
                there.arn.replace("role/r", "role/R"),
                there.arn.replace("role/r", "role/path/r"),
                there.arn.replace("role/r", "user/r"),
                there.arn.replace("arn:aws:", "arn:aws-cn:"),
                there.arn.replace(ACCOUNT, "444455556666"),
                "x" * 20,
            )
        }
        assert len(refusals) == 1, refusals


def test_root_assumes_nothing(place: Place) -> None:
    role = place.role("r", trusts("*"))
    for arn in (role.arn, f"{role.arn}x"):
        assert place.refused(ROOT, arn) == (
            "AccessDeniedException",
            "Roles may not be assumed by root accounts.",
        )


def test_somebody_of_the_same_name_is_somebody_else(place: Place) -> None:
    ana = place.user("ana")
    role = place.role("r", trusts(ANA))
    place.assume(ana, role)
    another = place.user("ana")
    assert place.refused(another, role) == denial(another, role.arn)
    place.ask(
        "iam",
        "UpdateAssumeRolePolicy",
        ROOT,
        RoleName="r",
        PolicyDocument=policy(trusts(ANA)),
    )
    place.assume(another, role)


CONDITIONS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"StringEquals": {"sts:ExternalId": "x1"}}, {"ExternalId": "x1"}, True),
    ({"StringEquals": {"sts:ExternalId": "x1"}}, {"ExternalId": "x2"}, False),
    ({"StringEquals": {"sts:ExternalId": "x1"}}, {}, False),
    (
        {"StringLike": {"sts:RoleSessionName": "${aws:username}-*"}},
        {"RoleSessionName": "ana-1"},
        True,
    ),
    (
        {"StringLike": {"sts:RoleSessionName": "${aws:username}-*"}},
        {"RoleSessionName": "bea-1"},
        False,
    ),
    (
        {"StringEquals": {"aws:RequestTag/Team": "a"}},
        {"Tags": [{"Key": "team", "Value": "a"}]},
        True,
    ),
    (
        {"StringEquals": {"aws:RequestTag/Team": "a"}},
        {"Tags": [{"Key": "team", "Value": "b"}]},
        False,
    ),
    (
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
        {"Tags": [{"Key": "c", "Value": ""}]},
        False,
    ),
    (
        {"ForAnyValue:StringEquals": {"sts:TransitiveTagKeys": "a"}},
        {"Tags": [{"Key": "a", "Value": ""}], "TransitiveTagKeys": ["a"]},
        True,
    ),
    (
        {"ForAnyValue:StringEquals": {"sts:TransitiveTagKeys": "a"}},
        {"Tags": [{"Key": "a", "Value": ""}]},
        False,
    ),
    ({"StringLike": {"sts:SourceIdentity": "ana*"}}, {"SourceIdentity": "ana1"}, True),
    ({"StringLike": {"sts:SourceIdentity": "ana*"}}, {"SourceIdentity": "bea1"}, False),
    ({"StringEquals": {"aws:ResourceTag/stage": "prod"}}, {}, True),
    ({"StringEquals": {"aws:PrincipalArn": ANA}}, {}, True),
    ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, {}, False),
    ({"NumericLessThan": {"aws:EpochTime": "1000"}}, {}, False),
]


@pytest.mark.parametrize(("condition", "members", "may"), CONDITIONS)
def test_conditions_of_the_trust_policy(
    place: Place, condition: dict[str, Any], members: dict[str, Any], may: bool
) -> None:
    ana = place.user("ana")
    trust = trusts(ANA, actions=ALL, Condition=condition)
    role = place.role("r", trust, Tags=[{"Key": "stage", "Value": "prod"}])
    if may:
        place.assume(ana, role, **members)
    else:
        assert place.refused(ana, role, **members)[0] == "AccessDeniedException"


def test_tags_and_a_source_identity_want_to_be_trusted_too(place: Place) -> None:
    ana = place.user("ana", allows(*ALL))
    bare = place.role("bare", trusts(ANA))
    open_to_all = place.role("open", trusts(ANA, actions=ALL))
    tags = [{"Key": "team", "Value": "a"}]
    assert place.refused(ana, bare, Tags=tags) == denial(ana, bare.arn, "sts:TagSession")
    assert place.refused(ana, bare, SourceIdentity="ana") == denial(
        ana, bare.arn, "sts:SetSourceIdentity"
    )
    more = {"Tags": tags, "TransitiveTagKeys": ["team"], "SourceIdentity": "ana"}
    assert place.answer(ana, open_to_all, **more)["SourceIdentity"] == "ana"
    first = place.assume(ana, open_to_all, **more)
    # What a session inherits has to be trusted as well, though nobody gives it.
    me = first.principal.arn
    untagged = place.role(
        "untagged", trusts(me, actions=("sts:AssumeRole", "sts:SetSourceIdentity"))
    )
    unnamed = place.role("unnamed", trusts(me, actions=("sts:AssumeRole", "sts:TagSession")))
    last = place.role("last", trusts(me, actions=ALL))
    assert place.refused(first, untagged) == denial(first, untagged.arn, "sts:TagSession")
    assert place.refused(first, unnamed) == denial(first, unnamed.arn, "sts:SetSourceIdentity")
    second = place.assume(first, last).session
    assert second is not None
    assert (second.tags, second.source_identity) == ({"team": "a"}, "ana")


def test_a_chain_of_roles(place: Place) -> None:
    ana = place.user("ana")
    one = place.role("one", trusts(ANA), allows("sts:AssumeRole"), MaxSessionDuration=43_200)
    two = place.role("two", trusts(one.arn), MaxSessionDuration=43_200)
    three = place.role("three", trusts(f"arn:aws:sts::{ACCOUNT}:assumed-role/two/s2"))
    first = place.assume(ana, one, DurationSeconds=43_200)
    second = place.assume(first, two, RoleSessionName="s2")
    assert place.assume(second, three).principal.name == "s1"
    other = place.assume(first, two, RoleSessionName="other")
    assert place.refused(other, three) == denial(other, three.arn)
    assert place.refused(ana, two) == denial(ana, two.arn)
    code, words = place.refused(first, two, DurationSeconds=3_601)
    assert (code, "role chaining" in words) == ("ValidationError", True)
    bound = place.assume(ana, one, Policy=policy(allows("sagemaker:*")))
    assert place.refused(bound, two) == denial(bound, two.arn), (
        "its session policy says nothing of it"
    )


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"DurationSeconds": 7_200}, "ValidationError", "MaxSessionDuration set for this role"),
    ({"Policy": "{}"}, "MalformedPolicyDocument", "Syntax errors in policy."),
    ({"Policy": " " * 2_049}, "MalformedPolicyDocument", "Syntax"),
    (
        {"PolicyArns": [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/none"}]},
        "MalformedPolicyDocument",
        "not found",
    ),
    (
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/NoSuchAccess"}]},
        "MalformedPolicyDocument",
        "not found",
    ),
    (
        {"PolicyArns": [{"arn": "arn:aws:iam::444455556666:policy/x"}]},
        "MalformedPolicyDocument",
        "not found",
    ),
    ({"PolicyArns": [{"arn": ANA}]}, "MalformedPolicyDocument", "not found"),
    ({"PolicyArns": [{}]}, "MalformedPolicyDocument", "not found"),
    (
        {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/ana", "TokenCode": "123456"},
        "AccessDeniedException",
        "MFA",
    ),
    (
        {"ProvidedContexts": [{"ProviderArn": ANA, "ContextAssertion": "abcd"}]},
        "NotImplemented",
        "ProvidedContexts",
    ),
    (
        {"Tags": [{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}]},
        "InvalidParameterValue",
        "Duplicate",
    ),
]


@pytest.mark.parametrize(("members", "code", "words"), REFUSED)
def test_what_cannot_be_asked_is_refused_and_nothing_kept(
    place: Place, members: dict[str, Any], code: str, words: str
) -> None:
    ana = place.user("ana")
    role = place.role("r", trusts(ANA, actions=ALL))
    refusal = place.refused(ana, role, **members)
    assert refusal[0] == code
    assert words in refusal[1]


def test_managed_session_policies_are_kept_by_their_names(place: Place) -> None:
    ana = place.user("ana")
    role = place.role("r", trusts(ANA))
    arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"] * 2
    kept = place.assume(ana, role, PolicyArns=[{"arn": arn} for arn in arns])
    assert kept.session is not None
    assert kept.session.policy_arns == ("arn:aws:iam::aws:policy/ReadOnlyAccess",)


def test_there_may_be_so_many_sessions_and_those_that_ended_do_not_count(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving, "SESSIONS_PER_HOLDER_MAX", 3)
    monkeypatch.setattr(giving, "SESSIONS_MAX", 4)
    ana = place.user("ana")
    one, two = place.role("one", trusts(ANA)), place.role("two", trusts(ANA))
    for _ in range(3):
        place.assume(ana, one, DurationSeconds=900)
    assert place.refused(ana, one) == (
        "LimitExceeded",
        "Cannot exceed quota for SessionsPerRole: 3",
    )
    place.assume(ana, two)
    assert place.refused(ana, two) == (
        "LimitExceeded",
        "Cannot exceed quota for SessionsPerAccount: 4",
    )
    place.now += 901
    place.assume(ana, one)


def test_a_role_that_is_deleted_takes_its_sessions_along(place: Place) -> None:
    ana = place.user("ana")
    role, other = place.role("r", trusts(ANA)), place.role("other", trusts(ANA))
    place.assume(ana, role)
    left = place.assume(ana, other)
    place.ask("iam", "DeleteRole", ROOT, RoleName="r")
    with place.store.reading() as records:
        assert list(records.sessions.all()) == [left]


def test_an_access_key_says_whose_account_it_is_of(place: Place) -> None:
    ana = place.user("ana", allows("sts:GetAccessKeyInfo", "sts:DecodeAuthorizationMessage"))
    key = place.assume(ana, place.role("r", trusts(ANA)))
    info = place.ask("sts", "GetAccessKeyInfo", ana, AccessKeyId=key.id)
    assert info == {"Account": ACCOUNT}
    for key_id in ("AKIAIOSFODNN7EXAMPLE", "notakeyatallreally"):
        with pytest.raises(Exception, match="Invalid access key id"):
            place.ask("sts", "GetAccessKeyInfo", ana, AccessKeyId=key_id)
    with pytest.raises(Exception, match="not issued by this server"):
        place.ask("sts", "DecodeAuthorizationMessage", ana, EncodedMessage="AAAA")
    bea = replace(ana, principal=place.user("bea").principal)
    with pytest.raises(Exception, match="sts:GetAccessKeyInfo"):
        place.ask("sts", "GetAccessKeyInfo", bea, AccessKeyId=key.id)
