"""Users, groups and access keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from inservice.identity.unique_ids import account_of
from inservice.store.base import Store
from tests.core.operations.conftest import ACCOUNT, Perform
from tests.core.operations.iam.conftest import READ_ONLY, Refused, document

ANA = f"arn:aws:iam::{ACCOUNT}:user/Ana"


def test_a_user_is_made_and_told_whole(perform: Perform) -> None:
    boundary = {"PermissionsBoundary": READ_ONLY, "Tags": [{"Key": "Team", "Value": "x"}]}
    made = perform("CreateUser", UserName="Ana", Path="/eng/", now=5.0, **boundary)["User"]
    assert re.fullmatch("AIDA[A-Z2-7]{17}", made["UserId"])
    expected = {
        "Path": "/eng/",
        "UserName": "Ana",
        "UserId": made["UserId"],
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/eng/Ana",
        "CreateDate": 5.0,
        "PermissionsBoundary": {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": READ_ONLY,
        },
        "Tags": [{"Key": "Team", "Value": "x"}],
    }
    assert made == expected
    assert perform("GetUser", UserName="aNA")["User"] == expected
    (line,) = perform("ListUsers")["Users"]
    assert line == {k: v for k, v in expected.items() if k not in ("PermissionsBoundary", "Tags")}


def test_a_name_is_taken_whatever_its_case(perform: Perform, refused: Refused) -> None:
    perform("CreateUser", UserName="Ana")
    perform("CreateGroup", GroupName="Ana")
    assert refused("CreateUser", UserName="ANA") == (
        "EntityAlreadyExists",
        "User with name ANA already exists.",
    )
    assert refused("CreateGroup", GroupName="ana") == (
        "EntityAlreadyExists",
        "Group with name ana already exists.",
    )
    perform("CreateUser", UserName="Bea")
    assert refused("UpdateUser", UserName="bea", NewUserName="anA")[0] == "EntityAlreadyExists"
    perform("UpdateUser", UserName="ana", NewUserName="ANA")
    assert perform("GetUser", UserName="ana")["User"]["UserName"] == "ANA"


def test_what_is_not_there_is_named(refused: Refused, perform: Perform) -> None:
    perform("CreateUser", UserName="Ana")
    perform("CreateGroup", GroupName="g")
    user, group = "The user with name x cannot be found.", "The group with name x cannot be found."
    calls: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("GetUser", {"UserName": "x"}, user),
        ("UpdateUser", {"UserName": "x"}, user),
        ("DeleteUser", {"UserName": "x"}, user),
        ("CreateAccessKey", {"UserName": "x"}, user),
        ("ListAccessKeys", {"UserName": "x"}, user),
        ("TagUser", {"UserName": "x", "Tags": []}, user),
        ("ListUserPolicies", {"UserName": "x"}, user),
        ("AttachUserPolicy", {"UserName": "x", "PolicyArn": READ_ONLY}, user),
        ("AddUserToGroup", {"UserName": "x", "GroupName": "g"}, user),
        ("ListGroupsForUser", {"UserName": "x"}, user),
        ("ListMFADevices", {"UserName": "x"}, user),
        ("GetGroup", {"GroupName": "x"}, group),
        ("DeleteGroup", {"GroupName": "x"}, group),
        ("AddUserToGroup", {"UserName": "Ana", "GroupName": "x"}, group),
        ("GetLoginProfile", {"UserName": "Ana"}, "Login Profile for User Ana cannot be found."),
    )
    for name, members, says in calls:
        assert refused(name, **members) == ("NoSuchEntity", says), name


class TestWhoAsks:
    """GetUser and the operations of keys without a name mean the caller."""

    def test_root(self, perform: Perform, refused: Refused) -> None:
        root = perform("GetUser")["User"]
        assert root == {"UserId": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:root"}
        assert refused("CreateAccessKey")[0] == "NotImplemented"
        assert perform("ListAccessKeys")["AccessKeyMetadata"] == []
        assert perform("ListMFADevices")["MFADevices"] == []

    def test_a_user(self, perform: Perform, refused: Refused) -> None:
        perform("CreateUser", UserName="Ana")
        assert perform("GetUser", principal=ANA)["User"]["Arn"] == ANA
        key = perform("CreateAccessKey", principal=ANA)["AccessKey"]
        assert key["UserName"] == "Ana"
        (line,) = perform("ListAccessKeys", principal=ANA)["AccessKeyMetadata"]
        assert line["AccessKeyId"] == key["AccessKeyId"]
        gone = f"arn:aws:iam::{ACCOUNT}:user/gone"
        assert refused("GetUser", principal=gone)[0] == "NoSuchEntity"

    def test_a_session_is_no_user(self, refused: Refused) -> None:
        session = f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"
        for name in ("GetUser", "CreateAccessKey", "ListAccessKeys", "ListMFADevices"):
            assert refused(name, principal=session) == (
                "ValidationError",
                "Must specify userName when calling with non-User credentials",
            )

    def test_arns_are_told_in_the_partition_that_is_asked(self, perform: Perform) -> None:
        perform("CreateUser", UserName="Ana", PermissionsBoundary=READ_ONLY)
        user = perform("GetUser", UserName="Ana", region="cn-north-1")["User"]
        assert user["Arn"] == f"arn:aws-cn:iam::{ACCOUNT}:user/Ana"
        bound = user["PermissionsBoundary"]["PermissionsBoundaryArn"]
        assert bound == READ_ONLY.replace("arn:aws:", "arn:aws-cn:")
        found = perform("GetPolicy", PolicyArn=bound, region="cn-north-1")["Policy"]
        assert (found["Arn"], found["PermissionsBoundaryUsageCount"]) == (bound, 1)


class TestKeys:
    def test_a_key_is_told_once(self, perform: Perform, store: Store) -> None:
        user = perform("CreateUser", UserName="Ana")["User"]
        key = perform("CreateAccessKey", UserName="ana", now=9.0)["AccessKey"]
        assert re.fullmatch("AKIA[A-Z2-7]{16}", key["AccessKeyId"])
        assert account_of(key["AccessKeyId"]) == ACCOUNT
        assert re.fullmatch("[A-Za-z0-9/+]{40}", key["SecretAccessKey"])
        (line,) = perform("ListAccessKeys", UserName="Ana")["AccessKeyMetadata"]
        secretless = {k: v for k, v in key.items() if k != "SecretAccessKey"}
        assert line == secretless == {**secretless, "Status": "Active", "CreateDate": 9.0}
        with store.reading() as records:
            kept = records.access_keys.find(key["AccessKeyId"])
        assert kept is not None
        assert (kept.secret, kept.principal.arn) == (key["SecretAccessKey"], ANA)
        assert kept.principal.id == user["UserId"]

    def test_two_and_no_more(self, perform: Perform, refused: Refused) -> None:
        perform("CreateUser", UserName="Ana")
        keys = [perform("CreateAccessKey", UserName="Ana")["AccessKey"] for _ in range(2)]
        perform(
            "UpdateAccessKey", AccessKeyId=keys[0]["AccessKeyId"], UserName="Ana", Status="Inactive"
        )
        limit = ("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
        assert refused("CreateAccessKey", UserName="Ana") == limit
        perform("DeleteAccessKey", AccessKeyId=keys[0]["AccessKeyId"], UserName="Ana")
        perform("CreateAccessKey", UserName="Ana")

    def test_a_key_is_its_owner_s(self, perform: Perform, refused: Refused) -> None:
        for name in ("Ana", "Bea"):
            perform("CreateUser", UserName=name)
        key_id = perform("CreateAccessKey", UserName="Ana")["AccessKey"]["AccessKeyId"]
        missing = ("NoSuchEntity", f"The Access Key with id {key_id} cannot be found")
        assert refused("DeleteAccessKey", AccessKeyId=key_id, UserName="Bea") == missing
        switched = {"AccessKeyId": key_id, "UserName": "Bea", "Status": "Inactive"}
        assert refused("UpdateAccessKey", **switched) == missing
        assert (
            refused("UpdateAccessKey", **{**switched, "UserName": "Ana", "Status": "Expired"})[0]
            == "InvalidInput"
        )
        elsewhere = refused("GetAccessKeyLastUsed", AccessKeyId=key_id, account="000000000000")
        assert elsewhere == missing
        assert perform("GetAccessKeyLastUsed", AccessKeyId=key_id) == {
            "UserName": "Ana",
            "AccessKeyLastUsed": {"ServiceName": "N/A", "Region": "N/A"},
        }

    def test_they_go_with_a_new_name(self, perform: Perform, store: Store) -> None:
        perform("CreateUser", UserName="Ana")
        key = perform("CreateAccessKey", UserName="Ana")["AccessKey"]
        perform("UpdateUser", UserName="Ana", NewUserName="Bea", NewPath="/b/")
        (line,) = perform("ListAccessKeys", UserName="Bea")["AccessKeyMetadata"]
        assert (line["AccessKeyId"], line["UserName"]) == (key["AccessKeyId"], "Bea")
        with store.reading() as records:
            kept = records.access_keys.find(key["AccessKeyId"])
        assert kept is not None
        assert kept.principal.arn == f"arn:aws:iam::{ACCOUNT}:user/b/Bea"


class TestGroups:
    def test_members_come_and_go(self, perform: Perform, refused: Refused) -> None:
        group = perform("CreateGroup", GroupName="Team", Path="/t/")["Group"]
        assert re.fullmatch("AGPA[A-Z2-7]{17}", group["GroupId"])
        for name in ("bea", "Ana", "cid"):
            perform("CreateUser", UserName=name)
            perform("AddUserToGroup", GroupName="team", UserName=name.upper())
            perform("AddUserToGroup", GroupName="team", UserName=name)  # again is nothing
        perform("UpdateUser", UserName="bea", NewUserName="Dan")
        perform("UpdateGroup", GroupName="team", NewGroupName="Crew")
        told = perform("GetGroup", GroupName="crew")
        assert [user["UserName"] for user in told["Users"]] == ["Ana", "cid", "Dan"]
        assert told["Group"] == {**group, "GroupName": "Crew", "Arn": group["Arn"][:-4] + "Crew"}
        (line,) = perform("ListGroupsForUser", UserName="dan")["Groups"]
        assert line["GroupName"] == "Crew"
        perform("RemoveUserFromGroup", GroupName="crew", UserName="dan")
        assert refused("RemoveUserFromGroup", GroupName="crew", UserName="dan")[0] == "NoSuchEntity"
        assert perform("ListGroupsForUser", UserName="dan")["Groups"] == []

    def test_ten_for_a_user(self, perform: Perform, refused: Refused) -> None:
        perform("CreateUser", UserName="Ana")
        for n in range(11):
            perform("CreateGroup", GroupName=f"g{n}")
        for n in range(10):
            perform("AddUserToGroup", GroupName=f"g{n}", UserName="Ana")
        assert refused("AddUserToGroup", GroupName="g10", UserName="Ana") == (
            "LimitExceeded",
            "Cannot exceed quota for GroupsPerUser: 10",
        )


def test_what_hangs_on_a_user_or_a_group_goes_first(
    perform: Perform, refused: Refused, everything: Callable[[], Mapping[str, Any]]
) -> None:
    perform("CreateUser", UserName="Ana")
    perform("CreateGroup", GroupName="g")
    key = perform("CreateAccessKey", UserName="Ana")["AccessKey"]["AccessKeyId"]
    put = {"PolicyName": "p", "PolicyDocument": document()}
    perform("PutUserPolicy", UserName="Ana", **put)
    perform("PutGroupPolicy", GroupName="g", **put)
    perform("AttachUserPolicy", UserName="Ana", PolicyArn=READ_ONLY)
    perform("AttachGroupPolicy", GroupName="g", PolicyArn=READ_ONLY)
    perform("AddUserToGroup", UserName="Ana", GroupName="g")
    ana, g = {"UserName": "Ana"}, {"GroupName": "g"}
    steps: tuple[tuple[str, dict[str, str], str, str, dict[str, str]], ...] = (
        ("User", ana, "remove users from group", "RemoveUserFromGroup", {**ana, **g}),
        ("User", ana, "detach all policies", "DetachUserPolicy", {**ana, "PolicyArn": READ_ONLY}),
        ("User", ana, "delete policies", "DeleteUserPolicy", {**ana, "PolicyName": "P"}),
        ("User", ana, "delete access keys", "DeleteAccessKey", {**ana, "AccessKeyId": key}),
        ("Group", g, "detach all policies", "DetachGroupPolicy", {**g, "PolicyArn": READ_ONLY}),
        ("Group", g, "delete policies", "DeleteGroupPolicy", {**g, "PolicyName": "P"}),
    )
    assert refused("DeleteGroup", **g)[0] == "DeleteConflict"  # somebody is in it
    for kind, which, must, instead, members in steps:
        before = everything()
        conflict = ("DeleteConflict", f"Cannot delete entity, must {must} first.")
        assert refused(f"Delete{kind}", **which) == conflict
        assert everything() == before
        perform(instead, **members)
    perform("DeleteUser", **ana)
    perform("DeleteGroup", **g)
    assert everything() == {
        "UserDetailList": [],
        "GroupDetailList": [],
        "RoleDetailList": [],
        "Policies": [],
        "IsTruncated": False,
    }


@pytest.mark.parametrize(
    ("quota", "create", "noun"),
    [("USERS_MAX", "CreateUser", "User"), ("GROUPS_MAX", "CreateGroup", "Group")],
)
def test_quotas(
    perform: Perform,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    quota: str,
    create: str,
    noun: str,
) -> None:
    monkeypatch.setattr(f"inservice.operations.iam.{noun.lower()}s.{quota}", 2)
    for name in ("a", "b"):
        perform(create, **{f"{noun}Name": name})
    assert refused(create, **{f"{noun}Name": "c"}) == (
        "LimitExceeded",
        f"Cannot exceed quota for {noun}sPerAccount: 2",
    )
