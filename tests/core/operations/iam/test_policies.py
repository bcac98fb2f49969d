"""Managed and inline policies, boundaries and tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.core.operations.conftest import ACCOUNT, Perform
from tests.core.operations.iam.conftest import (
    READ_ONLY,
    Refused,
    decoded,
    document,
    statement,
    trust,
)

P = f"arn:aws:iam::{ACCOUNT}:policy/P"
KINDS = ("User", "Group", "Role")


def make(perform: Perform, kind: str, name: str = "e") -> dict[str, str]:
    """A user, group or role; the member that names it."""
    more = {"AssumeRolePolicyDocument": trust()} if kind == "Role" else {}
    perform(f"Create{kind}", **{f"{kind}Name": name}, **more)
    return {f"{kind}Name": name}


class TestVersions:
    def test_the_first_counts_until_another_does(self, perform: Perform) -> None:
        made = perform("CreatePolicy", PolicyName="P", PolicyDocument=document(), now=3.0)["Policy"]
        assert re.fullmatch("ANPA[A-Z2-7]{17}", made["PolicyId"])
        assert made == {
            "PolicyName": "P",
            "PolicyId": made["PolicyId"],
            "Arn": P,
            "Path": "/",
            "DefaultVersionId": "v1",
            "AttachmentCount": 0,
            "PermissionsBoundaryUsageCount": 0,
            "IsAttachable": True,
            "CreateDate": 3.0,
            "UpdateDate": 3.0,
            "Tags": [],
        }
        other = document(statement(Effect="Deny"))
        second = perform("CreatePolicyVersion", PolicyArn=P, PolicyDocument=other, now=4.0)
        assert second["PolicyVersion"] == {
            "VersionId": "v2",
            "IsDefaultVersion": False,
            "CreateDate": 4.0,
        }
        perform("SetDefaultPolicyVersion", PolicyArn=P, VersionId="v2")
        told = perform("GetPolicyVersion", PolicyArn=P, VersionId="v2")["PolicyVersion"]
        assert decoded(told["Document"])["Statement"][0]["Effect"] == "Deny"
        assert told["IsDefaultVersion"] is True
        listed = perform("ListPolicyVersions", PolicyArn=P)["Versions"]
        assert [(v["VersionId"], v["IsDefaultVersion"]) for v in listed] == [
            ("v2", True),
            ("v1", False),
        ]
        assert perform("GetPolicy", PolicyArn=P)["Policy"]["DefaultVersionId"] == "v2"

    def test_five_at_a_time_and_no_number_twice(self, perform: Perform, refused: Refused) -> None:
        perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
        more = {"PolicyArn": P, "PolicyDocument": document(), "SetAsDefault": True}
        for _ in range(4):
            perform("CreatePolicyVersion", **more)
        assert refused("CreatePolicyVersion", **more) == (
            "LimitExceeded",
            (
                "A managed policy can have up to 5 versions. Before you create a new version, you "
                "must delete an existing version."
            ),
        )
        assert refused("DeletePolicyVersion", PolicyArn=P, VersionId="v5") == (
            "DeleteConflict",
            "Cannot delete the default version of a policy.",
        )
        perform("SetDefaultPolicyVersion", PolicyArn=P, VersionId="v1")
        perform("DeletePolicyVersion", PolicyArn=P, VersionId="v5")
        made = perform("CreatePolicyVersion", **more)["PolicyVersion"]
        assert made["VersionId"] == "v6"
        for name in ("GetPolicyVersion", "DeletePolicyVersion", "SetDefaultPolicyVersion"):
            assert refused(name, PolicyArn=P, VersionId="v5") == (
                "NoSuchEntity",
                f"Policy {P} version v5 does not exist or is not attachable.",
            )


def test_a_policy_that_is_used_or_has_versions_stays(perform: Perform, refused: Refused) -> None:
    perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
    user = make(perform, "User")
    perform("AttachUserPolicy", **user, PolicyArn=P)
    used = ("DeleteConflict", "Cannot delete a policy attached to entities.")
    assert refused("DeletePolicy", PolicyArn=P) == used
    perform("DetachUserPolicy", **user, PolicyArn=P)
    perform("PutUserPermissionsBoundary", **user, PermissionsBoundary=P)
    assert refused("DeletePolicy", PolicyArn=P) == used
    perform("DeleteUserPermissionsBoundary", **user)
    perform("CreatePolicyVersion", PolicyArn=P, PolicyDocument=document())
    assert refused("DeletePolicy", PolicyArn=P)[1].startswith("This policy has more than one")
    perform("DeletePolicyVersion", PolicyArn=P, VersionId="v2")
    perform("DeletePolicy", PolicyArn=P)
    assert refused("GetPolicy", PolicyArn=P) == ("NoSuchEntity", f"Policy {P} was not found.")


def test_policies_of_aws_are_there_and_nobody_s_to_change(
    perform: Perform, refused: Refused
) -> None:
    policy = perform("GetPolicy", PolicyArn=READ_ONLY)["Policy"]
    assert policy == perform("GetPolicy", PolicyArn=READ_ONLY, account="000000000000")["Policy"]
    version = {"PolicyArn": READ_ONLY, "VersionId": policy["DefaultVersionId"]}
    assert decoded(perform("GetPolicyVersion", **version)["PolicyVersion"]["Document"])["Statement"]
    for name, members in (
        ("DeletePolicy", {"PolicyArn": READ_ONLY}),
        ("CreatePolicyVersion", {"PolicyArn": READ_ONLY, "PolicyDocument": document()}),
        ("DeletePolicyVersion", version),
        ("SetDefaultPolicyVersion", version),
        ("TagPolicy", {"PolicyArn": READ_ONLY, "Tags": []}),
    ):
        assert refused(name, **members)[0] == "InvalidInput", name
    assert perform("ListPolicyTags", PolicyArn=READ_ONLY)["Tags"] == []


def test_nobody_sees_or_uses_the_policies_of_another_account(
    perform: Perform, refused: Refused
) -> None:
    perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
    other = {"account": "000000000000"}
    perform("CreateUser", UserName="e", **other)
    assert perform("ListPolicies", Scope="Local", **other)["Policies"] == []
    assert refused("GetPolicy", PolicyArn=P, **other)[0] == "NoSuchEntity"
    assert refused("DeletePolicy", PolicyArn=P, **other)[0] == "NoSuchEntity"
    assert refused("AttachUserPolicy", UserName="e", PolicyArn=P, **other)[0] == "NoSuchEntity"


@pytest.mark.parametrize("kind", KINDS)
class TestOfEachKind:
    def test_managed_policies_come_and_go(
        self, perform: Perform, refused: Refused, kind: str
    ) -> None:
        which = make(perform, kind)
        perform("CreatePolicy", PolicyName="P", Path="/x/", PolicyDocument=document())
        own = P.replace("/P", "/x/P")
        for _ in range(2):
            for arn in (own, READ_ONLY):
                perform(f"Attach{kind}Policy", **which, PolicyArn=arn)
        listed = perform(f"ListAttached{kind}Policies", **which)["AttachedPolicies"]
        assert listed == [
            {"PolicyName": "P", "PolicyArn": own},
            {"PolicyName": "ReadOnlyAccess", "PolicyArn": READ_ONLY},
        ]
        below = perform(f"ListAttached{kind}Policies", **which, PathPrefix="/x/")
        assert below["AttachedPolicies"] == listed[:1]
        assert perform("GetPolicy", PolicyArn=own)["Policy"]["AttachmentCount"] == 1
        perform(f"Detach{kind}Policy", **which, PolicyArn=own)
        gone = ("NoSuchEntity", f"Policy {own} was not found.")
        assert refused(f"Detach{kind}Policy", **which, PolicyArn=own) == gone

    def test_what_cannot_be_attached_is_not(
        self, perform: Perform, refused: Refused, kind: str
    ) -> None:
        which = make(perform, kind)
        perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
        for arn in (P + "2", P[:-1] + "p", P.replace("policy/", "policy/x/"), READ_ONLY + "2"):
            says = ("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")
            assert refused(f"Attach{kind}Policy", **which, PolicyArn=arn) == says
        for arn in (
            "arn:aws:iam::aws:policy",
            "nonsense, and long enough",
            f"arn:aws:iam::{ACCOUNT}:user/P",
            P.replace("arn:aws:", "arn:aws-cn:"),
            P + "\n",
        ):
            says = ("InvalidInput", f"ARN {arn} is not valid.")
            assert refused(f"Attach{kind}Policy", **which, PolicyArn=arn) == says
        for n in range(10):
            perform("CreatePolicy", PolicyName=f"p{n}", PolicyDocument=document())
            perform(f"Attach{kind}Policy", **which, PolicyArn=P[:-1] + f"p{n}")
        assert refused(f"Attach{kind}Policy", **which, PolicyArn=P) == (
            "LimitExceeded",
            f"Cannot exceed quota for PoliciesPer{kind}: 10",
        )

    def test_inline_policies_have_names_without_case(
        self, perform: Perform, refused: Refused, kind: str
    ) -> None:
        which = make(perform, kind)
        text = document()
        perform(f"Put{kind}Policy", **which, PolicyName="Read", PolicyDocument=text)
        denies = document(statement(Effect="Deny"))
        perform(f"Put{kind}Policy", **which, PolicyName="READ", PolicyDocument=denies)
        perform(f"Put{kind}Policy", **which, PolicyName="a", PolicyDocument=text)
        assert perform(f"List{kind}Policies", **which)["PolicyNames"] == ["a", "Read"]
        told = perform(f"Get{kind}Policy", **which, PolicyName="rEAD")
        assert decoded(told["PolicyDocument"])["Statement"][0]["Effect"] == "Deny"
        assert (told["PolicyName"], told[f"{kind}Name"]) == ("rEAD", "e")
        perform(f"Delete{kind}Policy", **which, PolicyName="read")
        missing = f"The {kind.lower()} policy with name Read cannot be found."
        for verb in ("Get", "Delete"):
            said = refused(f"{verb}{kind}Policy", **which, PolicyName="Read")
            assert said == ("NoSuchEntity", missing)

    def test_inline_policies_have_a_size_together(
        self,
        perform: Perform,
        refused: Refused,
        everything: Callable[[], Mapping[str, Any]],
        kind: str,
    ) -> None:
        which = make(perform, kind)
        most = {"User": 2048, "Group": 5120, "Role": 10240}[kind]
        half = most // 2
        fits = document(padding=half - len("".join(document(padding=1).split())) + 1)
        assert len("".join(fits.split())) == half
        perform(f"Put{kind}Policy", **which, PolicyName="a", PolicyDocument=fits + " " * 500)
        perform(f"Put{kind}Policy", **which, PolicyName="b", PolicyDocument=fits)
        before = everything()
        one_more = fits.replace("xx", "xxx", 1)
        for name in ("a", "c"):
            put = {**which, "PolicyName": name, "PolicyDocument": one_more}
            says = f"Maximum policy size of {most} bytes exceeded for {kind.lower()} e"
            assert refused(f"Put{kind}Policy", **put) == ("LimitExceeded", says)
        assert everything() == before


class TestBoundaries:
    @pytest.mark.parametrize("kind", ["User", "Role"])
    def test_a_boundary_is_put_replaced_and_taken_away(
        self, perform: Perform, refused: Refused, kind: str
    ) -> None:
        which = make(perform, kind)
        perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
        for arn in (READ_ONLY, P):
            perform(f"Put{kind}PermissionsBoundary", **which, PermissionsBoundary=arn)
            told = perform(f"Get{kind}", **which)[kind]["PermissionsBoundary"]
            assert told["PermissionsBoundaryArn"] == arn
        gone = f"Scope ARN: {P}2 does not exist or is not attachable."
        put = {**which, "PermissionsBoundary": P + "2"}
        assert refused(f"Put{kind}PermissionsBoundary", **put) == ("NoSuchEntity", gone)
        perform(f"Delete{kind}PermissionsBoundary", **which)
        assert "PermissionsBoundary" not in perform(f"Get{kind}", **which)[kind]
        assert refused(f"Delete{kind}PermissionsBoundary", **which)[0] == "NoSuchEntity"

    @pytest.mark.parametrize("kind", ["User", "Role"])
    def test_nobody_is_made_with_one_that_is_not_there(
        self, perform: Perform, refused: Refused, kind: str
    ) -> None:
        more = {"AssumeRolePolicyDocument": trust()} if kind == "Role" else {}
        made = {f"{kind}Name": "e", "PermissionsBoundary": P, **more}
        assert refused(f"Create{kind}", **made)[0] == "NoSuchEntity"
        assert refused(f"Get{kind}", **{f"{kind}Name": "e"})[0] == "NoSuchEntity"


class TestWhoHasAPolicy:
    def test_entities_and_counts(self, perform: Perform) -> None:
        perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
        perform("CreatePolicy", PolicyName="P2", PolicyDocument=document())
        for kind in KINDS:
            perform(f"Attach{kind}Policy", **make(perform, kind, "a"), PolicyArn=P)
            perform(f"Attach{kind}Policy", **make(perform, kind, "b"), PolicyArn=P + "2")
        perform("PutUserPermissionsBoundary", UserName="b", PermissionsBoundary=P)

        def found(**asked: Any) -> list[str]:
            told = perform("ListEntitiesForPolicy", PolicyArn=P, **asked)
            return [
                f"{kind} {each[f'{kind}Name']}" for kind in KINDS for each in told[f"Policy{kind}s"]
            ]

        assert found() == ["User a", "User b", "Group a", "Role a"]
        assert found(EntityFilter="Role") == ["Role a"]
        assert found(PolicyUsageFilter="PermissionsBoundary") == ["User b"]
        assert found(PolicyUsageFilter="PermissionsPolicy") == ["User a", "Group a", "Role a"]
        assert found(PathPrefix="/x/") == []
        policy = perform("GetPolicy", PolicyArn=P)["Policy"]
        assert (policy["AttachmentCount"], policy["PermissionsBoundaryUsageCount"]) == (3, 1)

        def listed(**asked: Any) -> list[str]:
            return [each["PolicyName"] for each in perform("ListPolicies", **asked)["Policies"]]

        assert listed(Scope="Local") == ["P", "P2"]
        assert "ReadOnlyAccess" in listed(Scope="AWS")
        assert set(listed(MaxItems=1000)) == {*listed(Scope="AWS"), "P", "P2"}
        assert listed(OnlyAttached=True) == ["P", "P2"]
        assert listed(PolicyUsageFilter="PermissionsBoundary") == ["P"]
        assert listed(Scope="Local", PathPrefix="/x/") == []


class TestTags:
    @pytest.mark.parametrize("kind", ["User", "Role"])
    def test_keys_have_no_case_and_the_newest_spelling(
        self, perform: Perform, refused: Refused, kind: str
    ) -> None:
        which = make(perform, kind)
        perform(f"Tag{kind}", **which, Tags=[{"Key": "Team", "Value": "a"}])
        more = [{"Key": "TEAM", "Value": "b"}, {"Key": "x", "Value": ""}]
        perform(f"Tag{kind}", **which, Tags=more)
        assert perform(f"List{kind}Tags", **which)["Tags"] == more
        twice = [{"Key": "k", "Value": "1"}, {"Key": "K", "Value": "2"}]
        assert refused(f"Tag{kind}", **which, Tags=twice) == (
            "InvalidInput",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        )
        reserved = [{"Key": "AWS:x", "Value": "1"}]
        assert refused(f"Tag{kind}", **which, Tags=reserved)[0] == "InvalidInput"
        perform(f"Untag{kind}", **which, TagKeys=["team", "nothing"])
        assert perform(f"List{kind}Tags", **which)["Tags"] == more[1:]

    def test_those_of_policies_have(self, perform: Perform) -> None:
        both = [{"Key": "Team", "Value": "a"}, {"Key": "team", "Value": "b"}]
        perform("CreatePolicy", PolicyName="P", PolicyDocument=document(), Tags=both)
        assert perform("ListPolicyTags", PolicyArn=P)["Tags"] == both
        perform("UntagPolicy", PolicyArn=P, TagKeys=["TEAM", "team"])
        assert perform("ListPolicyTags", PolicyArn=P)["Tags"] == both[:1]

    def test_fifty(self, perform: Perform, refused: Refused) -> None:
        which = make(perform, "User")
        tags = [{"Key": f"k{n}", "Value": "v"} for n in range(50)]
        perform("TagUser", **which, Tags=tags)
        perform("TagUser", **which, Tags=tags)
        said = refused("TagUser", **which, Tags=[{"Key": "k50", "Value": "v"}])
        assert said[0] == "LimitExceeded"
        assert len(perform("ListUserTags", **which)["Tags"]) == 50


MALFORMED = {
    "no JSON": "{",
    "no object": "[]",
    "no statement": '{"Version": "2012-10-17"}',
    "an unknown element": document().replace('"Effect"', '"effect"'),
    "a principal": document(statement(Principal="*")),
    "no resource": document({"Effect": "Allow", "Action": "s3:GetObject"}),
    "no action": document({"Effect": "Allow", "Resource": "*"}),
    "an action without a service": document(statement(Action="GetObject")),
    "a Sid twice": document(statement(Sid="a"), statement(Sid="a")),
    "a key twice": '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_document_changes_nothing(
    perform: Perform,
    refused: Refused,
    everything: Callable[[], Mapping[str, Any]],
    text: str,
) -> None:
    perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
    puts = [(f"Put{kind}Policy", {**make(perform, kind), "PolicyName": "p"}) for kind in KINDS]
    before = everything()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("CreatePolicy", {"PolicyName": "Q"}),
        ("CreatePolicyVersion", {"PolicyArn": P, "SetAsDefault": True}),
        *puts,
    ]
    for name, members in calls:
        code, words = refused(name, **members, PolicyDocument=text)
        assert (code, bool(words)) == ("MalformedPolicyDocument", True), name
    assert everything() == before


def test_a_managed_policy_is_of_the_newer_version_and_not_too_long(
    perform: Perform, refused: Refused
) -> None:
    older = document().replace("2012-10-17", "2008-10-17")
    assert refused("CreatePolicy", PolicyName="P", PolicyDocument=older) == (
        "MalformedPolicyDocument",
        "Policy document must be version 2012-10-17 or greater.",
    )
    perform("PutUserPolicy", **make(perform, "User"), PolicyName="p", PolicyDocument=older)
    short = len("".join(document(padding=1).split()))
    long = document(padding=6144 - short + 2)
    limit = ("LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
    assert refused("CreatePolicy", PolicyName="P", PolicyDocument=long) == limit
    fits = document(padding=6144 - short + 1)
    perform("CreatePolicy", PolicyName="P", PolicyDocument=fits)
    version = {"PolicyArn": P, "PolicyDocument": long}
    assert refused("CreatePolicyVersion", **version) == limit
