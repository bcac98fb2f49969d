"""An account as a whole, and lists in pages."""

from __future__ import annotations

from typing import Any, cast

import botocore.session
import pytest

from tests.core.operations.conftest import ACCOUNT, Perform
from tests.core.operations.iam.conftest import READ_ONLY, Refused, decoded, document, trust

P = f"arn:aws:iam::{ACCOUNT}:policy/P"


def test_the_summary_has_every_figure_that_aws_has(perform: Perform) -> None:
    iam = botocore.session.Session().get_service_model("iam")
    figures = cast(Any, iam.shape_for("summaryMapType")).key.enum
    assert set(perform("GetAccountSummary")["SummaryMap"]) == set(figures)


def populate(perform: Perform, several: int = 3) -> None:
    """Some of everything, each with something on it."""
    perform("CreatePolicy", PolicyName="P", PolicyDocument=document())
    for _ in range(several):
        perform("CreatePolicyVersion", PolicyArn=P, PolicyDocument=document())
    for n in range(several):
        name = f"{'aBcDe'[n]}{n}"
        perform("CreateUser", UserName=name)
        perform("CreateGroup", GroupName=name)
        perform("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust())
        perform("CreatePolicy", PolicyName=name, PolicyDocument=document())
        perform("AddUserToGroup", GroupName=name, UserName="a0")
        for arn in (P.replace("/P", f"/{name}"), READ_ONLY):
            perform("AttachUserPolicy", UserName="a0", PolicyArn=arn)
        perform("PutUserPolicy", UserName="a0", PolicyName=name, PolicyDocument=document())
        perform("TagUser", UserName="a0", Tags=[{"Key": "ü" * 120 + name, "Value": "v"}])


LISTS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("ListUsers", {}, "Users"),
    ("ListGroups", {}, "Groups"),
    ("ListRoles", {}, "Roles"),
    ("ListPolicies", {}, "Policies"),
    ("ListPolicies", {"Scope": "Local"}, "Policies"),
    ("ListPolicyVersions", {"PolicyArn": P}, "Versions"),
    ("ListGroupsForUser", {"UserName": "a0"}, "Groups"),
    ("ListAttachedUserPolicies", {"UserName": "a0"}, "AttachedPolicies"),
    ("ListUserPolicies", {"UserName": "a0"}, "PolicyNames"),
    ("ListUserTags", {"UserName": "a0"}, "Tags"),
    ("ListEntitiesForPolicy", {"PolicyArn": READ_ONLY}, "PolicyUsers"),
)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_together_are_the_list(perform: Perform, refused: Refused, size: int) -> None:
    populate(perform)
    markers: list[str] = []
    for name, members, key in LISTS:
        whole = perform(name, **members)
        assert (whole["IsTruncated"], "Marker" in whole) == (False, False)
        found: list[Any] = []
        marker: dict[str, str] = {}
        while True:
            page = perform(name, **members, **marker, MaxItems=size)
            assert len(page[key]) <= size
            found += page[key]
            if not page["IsTruncated"]:
                break
            assert len(page[key]) == size
            assert len(page["Marker"]) <= 320  # which a model allows
            marker = {"Marker": page["Marker"]}
        assert found == whole[key], name
        markers += marker.values()
    for marker_of_another in (*markers, "x", "é", "W10=", "WyIxIiwgMV0="):
        code, words = refused("ListGroups", PathPrefix="/y/", Marker=marker_of_another)
        assert (code, words) == ("ValidationError", "Invalid Marker.")


def test_what_is_made_between_pages_hides_nothing(perform: Perform) -> None:
    for name in ("a", "c", "e"):
        perform("CreateUser", UserName=name)
    first = perform("ListUsers", MaxItems=2)
    perform("CreateUser", UserName="b")
    perform("CreateUser", UserName="D")
    perform("DeleteUser", UserName="c")
    rest = perform("ListUsers", Marker=first["Marker"])["Users"]
    assert [user["UserName"] for user in rest] == ["D", "e"]


def test_the_summary_counts(perform: Perform) -> None:
    before = perform("GetAccountSummary")["SummaryMap"]
    assert all(before[noun] == 0 for noun in ("Users", "Groups", "Roles", "Policies"))
    populate(perform)
    after = perform("GetAccountSummary")["SummaryMap"]
    counted = {"Users": 3, "Groups": 3, "Roles": 3, "Policies": 4, "PolicyVersionsInUse": 7}
    assert after == {**before, **counted}
    assert after["AccessKeysPerUserQuota"] == 2
    assert all(value >= 0 for value in after.values())


def test_details_are_all_there_is(perform: Perform) -> None:
    populate(perform)
    perform("PutRolePermissionsBoundary", RoleName="a0", PermissionsBoundary=P)
    details = perform("GetAccountAuthorizationDetails")
    ana = details["UserDetailList"][0]
    assert ana["GroupList"] == ["a0", "B1", "c2"]
    assert [each["PolicyName"] for each in ana["UserPolicyList"]] == ["B1", "a0", "c2"]
    assert decoded(ana["UserPolicyList"][0]["PolicyDocument"])["Version"] == "2012-10-17"
    attached = [each["PolicyName"] for each in ana["AttachedManagedPolicies"]]
    assert attached == ["a0", "ReadOnlyAccess", "B1", "c2"]
    role = details["RoleDetailList"][0]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == P
    assert role["InstanceProfileList"] == role["RolePolicyList"] == []
    policies = {each["PolicyName"]: each for each in details["Policies"]}
    assert list(policies) == ["a0", "B1", "c2", "P", "ReadOnlyAccess"]
    versions = policies["P"]["PolicyVersionList"]
    assert [each["VersionId"] for each in versions] == ["v4", "v3", "v2", "v1"]
    assert policies["P"]["PermissionsBoundaryUsageCount"] == 1
    assert policies["ReadOnlyAccess"]["AttachmentCount"] == 1


def test_details_can_be_had_by_kind_and_in_pages(perform: Perform) -> None:
    populate(perform)
    only = perform("GetAccountAuthorizationDetails", Filter=["Group", "AWSManagedPolicy"])
    assert [group["GroupName"] for group in only["GroupDetailList"]] == ["a0", "B1", "c2"]
    assert [policy["PolicyName"] for policy in only["Policies"]] == ["ReadOnlyAccess"]
    assert only["UserDetailList"] == only["RoleDetailList"] == []
    whole = perform("GetAccountAuthorizationDetails")
    kinds = [key for key in whole if key != "IsTruncated"]
    together: dict[str, list[Any]] = {key: [] for key in kinds}
    marker: dict[str, str] = {}
    pages = 0
    while pages == 0 or marker:
        page = perform("GetAccountAuthorizationDetails", MaxItems=2, **marker)
        pages += 1
        for key in kinds:
            together[key] += page[key]
        marker = {"Marker": page["Marker"]} if page["IsTruncated"] else {}
    assert {**together, "IsTruncated": False} == whole
    assert pages == 7  # of 14 lines
