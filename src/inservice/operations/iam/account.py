"""GetAccountSummary and GetAccountAuthorizationDetails: all of an account at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.identity import managed
from inservice.identity.iam.entities import CustomerPolicy, Entity, Group, Role, User
from inservice.identity.iam.held import AnyPolicy
from inservice.identity.iam.limits import (
    ATTACHED_MAX,
    GROUPS_MAX,
    GROUPS_PER_USER_MAX,
    KEYS_PER_USER_MAX,
    POLICIES_MAX,
    ROLES_MAX,
    USERS_MAX,
    VERSIONS_MAX,
)
from inservice.identity.policies.document import (
    GROUP_INLINE_SIZE_MAX,
    MANAGED_SIZE_MAX,
    ROLE_INLINE_SIZE_MAX,
    TRUST_SIZE_MAX,
    USER_INLINE_SIZE_MAX,
)
from inservice.operations.iam.found import every_entity
from inservice.operations.iam.groups import groups_of
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.iam.policies import Usage
from inservice.operations.iam.shown import (
    attached_of,
    default_version,
    encoded,
    group_line,
    inline_of,
    names,
    role_whole,
    user_whole,
    version_line,
    versions_of,
)
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.store.base import Reading
from inservice.store.listing import EntityQuery

if TYPE_CHECKING:
    from types_boto3_iam.literals import EntityTypeType

INSTANCE_PROFILES_MAX = 1_000
VERSIONS_IN_USE_MAX = 10_000
SERVER_CERTIFICATES_MAX = 20
SIGNING_CERTIFICATES_MAX = 2
"""What AWS tells of an account that has raised nothing."""


@operation("iam", "GetAccountSummary", on=(anything,))
def get_account_summary(call: Call) -> Document:
    """How much there is of what, and may be. Of what nobody can have here there is none."""
    with call.store.reading() as records:
        every = records.policies.select(EntityQuery(call.account))
        summary = {
            "Users": records.users.count(call.account),
            "UsersQuota": USERS_MAX,
            "Groups": records.groups.count(call.account),
            "GroupsQuota": GROUPS_MAX,
            "Roles": records.roles.count(call.account),
            "RolesQuota": ROLES_MAX,
            "Policies": len(every),
            "PoliciesQuota": POLICIES_MAX,
            "PolicyVersionsInUse": sum(len(policy.versions) for policy in every),
            "PolicyVersionsInUseQuota": VERSIONS_IN_USE_MAX,
            "VersionsPerPolicyQuota": VERSIONS_MAX,
            "PolicySizeQuota": MANAGED_SIZE_MAX,
            "UserPolicySizeQuota": USER_INLINE_SIZE_MAX,
            "GroupPolicySizeQuota": GROUP_INLINE_SIZE_MAX,
            "RolePolicySizeQuota": ROLE_INLINE_SIZE_MAX,
            "AssumeRolePolicySizeQuota": TRUST_SIZE_MAX,
            "GroupsPerUserQuota": GROUPS_PER_USER_MAX,
            "AccessKeysPerUserQuota": KEYS_PER_USER_MAX,
            "AttachedPoliciesPerUserQuota": ATTACHED_MAX,
            "AttachedPoliciesPerGroupQuota": ATTACHED_MAX,
            "AttachedPoliciesPerRoleQuota": ATTACHED_MAX,
            "AccountAccessKeysPresent": len(records.access_keys.of(call.account, "")),
            "InstanceProfilesQuota": INSTANCE_PROFILES_MAX,
            "ServerCertificatesQuota": SERVER_CERTIFICATES_MAX,
            "SigningCertificatesPerUserQuota": SIGNING_CERTIFICATES_MAX,
            "GlobalEndpointTokenVersion": 1,
            "Providers": records.oidc_providers.count(call.account),
        }
    absent = (
        "AccountMFAEnabled",
        "AccountPasswordPresent",
        "AccountSigningCertificatesPresent",
        "InstanceProfiles",
        "MFADevices",
        "MFADevicesInUse",
        "ServerCertificates",
    )
    return {"SummaryMap": {**summary, **dict.fromkeys(absent, 0)}}


@operation("iam", "GetAccountAuthorizationDetails", on=(anything,))
def get_account_authorization_details(
    call: Call,
    *,
    filter: Sequence[EntityTypeType] = (),  # noqa: A002 - AWS's name for it
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """Users, groups, roles and policies with everything that hangs on them, page by page over all
    kinds. Of AWS's own policies those that somebody has."""
    wanted = set(filter) or {"User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"}
    asked = ("GetAccountAuthorizationDetails", sorted(wanted))
    pages = Pages.of(call, asked, marker, max_items)
    details: dict[str, list[Document]] = {
        "UserDetailList": [],
        "GroupDetailList": [],
        "RoleDetailList": [],
        "Policies": [],
    }
    with call.store.reading() as records:
        entities = every_entity(records, EntityQuery(call.account))
        usage = Usage.of(entities)
        policies: list[AnyPolicy] = list(records.policies.select(EntityQuery(call.account)))
        policies += [policy for policy in managed.all() if policy.arn in usage]
        lines = [line for line in (*entities, *policies) if _kind(line) in wanted]
        shown, more = pages.cut(lines, _position)
        for line in shown:
            match line:
                case User():
                    details["UserDetailList"].append(_user(call, records, line))
                case Group():
                    details["GroupDetailList"].append(_group(call, line))
                case Role():
                    details["RoleDetailList"].append(_role(call, records, line))
                case _:
                    details["Policies"].append(_policy(call, usage, line))
    return {**details, **more}


def _kind(line: Entity | AnyPolicy) -> str:
    if isinstance(line, User | Group | Role):
        return type(line).__name__
    return "LocalManagedPolicy" if isinstance(line, CustomerPolicy) else "AWSManagedPolicy"


def _position(line: Entity | AnyPolicy) -> str:
    order = ("User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy")
    return f"{order.index(_kind(line))} {line.name.lower()}"


def _user(call: Call, records: Reading, user: User) -> Document:
    inline = {"UserPolicyList": inline_of(user)} if user.inline else {}
    return {
        **user_whole(call, user),
        **inline,
        "GroupList": names(groups_of(records, user)),
        "AttachedManagedPolicies": attached_of(call, user),
    }


def _group(call: Call, group: Group) -> Document:
    return {
        **group_line(call, group),
        "GroupPolicyList": inline_of(group),
        "AttachedManagedPolicies": attached_of(call, group),
    }


def _role(call: Call, records: Reading, role: Role) -> Document:
    whole = role_whole(call, records, role)
    unseen = ("Description", "MaxSessionDuration")
    return {
        **{member: value for member, value in whole.items() if member not in unseen},
        "InstanceProfileList": [],
        "RolePolicyList": inline_of(role),
        "AttachedManagedPolicies": attached_of(call, role),
    }


def _policy(call: Call, usage: Usage, policy: AnyPolicy) -> Document:
    line = usage.line(call, policy)
    described = {"Description": policy.description} if policy.description else {}
    default = default_version(policy).number
    versions = [
        {
            "Document": encoded(version.document),
            **version_line(version, default=version.number == default),
        }
        for version in reversed(versions_of(policy))
    ]
    return {**line, **described, "PolicyVersionList": versions}
