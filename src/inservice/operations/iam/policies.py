"""Managed policies and their versions: the account's own, which can be changed, and AWS's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inservice.identity import managed, unique_ids
from inservice.identity.iam.entities import CustomerPolicy, Entity, PolicyVersion
from inservice.identity.iam.errors import (
    DeleteConflict,
    EntityAlreadyExists,
    LimitExceeded,
    NoSuchEntity,
)
from inservice.identity.iam.held import AnyPolicy, boundary_of
from inservice.identity.iam.limits import POLICIES_MAX, VERSIONS_MAX, with_tags
from inservice.identity.policies.document import MANAGED_SIZE_MAX, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.operations.iam import touches
from inservice.operations.iam.found import every_entity, known_policy, own_policy
from inservice.operations.iam.made import new_id
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.iam.shown import (
    default_version,
    encoded,
    policy_line,
    policy_whole,
    version_line,
    versions_of,
)
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.store.base import Reading
from inservice.store.listing import EntityQuery

if TYPE_CHECKING:
    from types_boto3_iam.literals import PolicyScopeTypeType, PolicyUsageTypeType
    from types_boto3_iam.type_defs import TagTypeDef


@dataclass(frozen=True, slots=True)
class Usage:
    """How many entities have each policy, by ARN."""

    attached: Mapping[str, int]
    boundaries: Mapping[str, int]

    @classmethod
    def of(cls, entities: Sequence[Entity]) -> Usage:
        """Counted over these."""
        return cls(
            Counter(arn for each in entities for arn in each.attached),
            Counter(arn for each in entities if (arn := boundary_of(each)) is not None),
        )

    def __contains__(self, arn: str) -> bool:
        return arn in self.attached or arn in self.boundaries

    def line(self, call: Call, policy: AnyPolicy) -> dict[str, object]:
        """The policy in a list."""
        return policy_line(call, policy, *self._counts(policy))

    def whole(self, call: Call, policy: AnyPolicy) -> dict[str, object]:
        """The policy by itself."""
        return policy_whole(call, policy, *self._counts(policy))

    def _counts(self, policy: AnyPolicy) -> tuple[int, int]:
        return self.attached.get(policy.arn, 0), self.boundaries.get(policy.arn, 0)


@operation("iam", "CreatePolicy", on=(touches.new_policy,))
def create_policy(
    call: Call,
    *,
    policy_name: str,
    policy_document: str,
    path: str = "/",
    description: str = "",
    tags: Sequence[TagTypeDef] = (),
) -> Document:
    """Make a managed policy, with its first version."""
    _check(policy_document)
    with call.store.transaction() as tx:
        if tx.policies.named(call.account, policy_name) is not None:
            raise EntityAlreadyExists(
                f"A policy called {policy_name} already exists. Duplicate names are not allowed."
            )
        if tx.policies.count(call.account) >= POLICIES_MAX:
            raise LimitExceeded.of("PoliciesPerAccount", POLICIES_MAX)
        policy = CustomerPolicy(
            account=call.account,
            name=policy_name,
            path=path,
            id=new_id(unique_ids.MANAGED_POLICY),
            created_at=call.now,
            modified_at=call.now,
            versions=(PolicyVersion(1, policy_document, call.now),),
            default=1,
            newest=1,
            description=description,
            tags=with_tags({}, tags, case_matters=True),
        )
        tx.policies.save(policy)
    return {"Policy": policy_whole(call, policy, 0, 0)}


@operation("iam", "GetPolicy", on=(touches.policy,))
def get_policy(call: Call, *, policy_arn: str) -> Document:
    """A managed policy, without its document."""
    with call.store.reading() as records:
        policy = known_policy(records, call, policy_arn)
        usage = Usage.of(holders(records, call, policy.arn))
    return {"Policy": usage.whole(call, policy)}


@operation("iam", "ListPolicies", on=(anything,))
def list_policies(
    call: Call,
    *,
    scope: PolicyScopeTypeType = "All",
    only_attached: bool = False,
    path_prefix: str = "/",
    policy_usage_filter: PolicyUsageTypeType | None = None,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """The account's own policies, AWS's, or both, by name."""
    asked = ("ListPolicies", scope, only_attached, path_prefix, policy_usage_filter)
    pages = Pages.of(call, asked, marker, max_items)
    found: list[AnyPolicy] = []
    with call.store.reading() as records:
        if scope != "AWS":
            found += records.policies.select(EntityQuery(call.account, path_prefix))
        if scope != "Local":
            found += [each for each in managed.all() if each.path.startswith(path_prefix)]
        usage = Usage.of(every_entity(records, EntityQuery(call.account)))
    if policy_usage_filter == "PermissionsPolicy":
        found = [each for each in found if each.arn in usage.attached]
    elif policy_usage_filter == "PermissionsBoundary":
        found = [each for each in found if each.arn in usage.boundaries]
    if only_attached:
        found = [each for each in found if each.arn in usage]
    shown, more = pages.cut(found, _position)
    return {"Policies": [usage.line(call, policy) for policy in shown], **more}


@operation("iam", "DeletePolicy", on=(touches.policy,))
def delete_policy(call: Call, *, policy_arn: str) -> None:
    """Forget a policy. Raises DeleteConflict while anybody has it, or it has other versions."""
    with call.store.transaction() as tx:
        policy = own_policy(tx, call, policy_arn)
        if holders(tx, call, policy.arn):
            raise DeleteConflict("Cannot delete a policy attached to entities.")
        if len(policy.versions) > 1:
            raise DeleteConflict(
                "This policy has more than one version. Before you delete a policy, you must "
                "delete the policy's versions. The default version is deleted with the policy."
            )
        tx.policies.delete(policy)


# ── versions ────────────────────────────────────────────────────────────────────────────────────
@operation("iam", "CreatePolicyVersion", on=(touches.policy,))
def create_policy_version(
    call: Call, *, policy_arn: str, policy_document: str, set_as_default: bool = False
) -> Document:
    """Add a version, which counts from now on if it is to be the default."""
    _check(policy_document)
    with call.store.transaction() as tx:
        policy = own_policy(tx, call, policy_arn)
        if len(policy.versions) >= VERSIONS_MAX:
            raise LimitExceeded(
                f"A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new "
                "version, you must delete an existing version."
            )
        version = PolicyVersion(policy.newest + 1, policy_document, call.now)
        tx.policies.save(
            replace(
                policy,
                versions=(*policy.versions, version),
                newest=version.number,
                default=version.number if set_as_default else policy.default,
                modified_at=call.now,
            )
        )
    return {"PolicyVersion": version_line(version, default=set_as_default)}


@operation("iam", "GetPolicyVersion", on=(touches.policy,))
def get_policy_version(call: Call, *, policy_arn: str, version_id: str) -> Document:
    """One version, with its document."""
    with call.store.reading() as records:
        policy = known_policy(records, call, policy_arn)
    version = _version(policy, policy_arn, version_id)
    is_default = version.number == default_version(policy).number
    line = version_line(version, default=is_default)
    return {"PolicyVersion": {"Document": encoded(version.document), **line}}


@operation("iam", "ListPolicyVersions", on=(touches.policy,))
def list_policy_versions(
    call: Call, *, policy_arn: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """All versions, the newest first, without their documents."""
    with call.store.reading() as records:
        policy = known_policy(records, call, policy_arn)
    pages = Pages.of(call, ("ListPolicyVersions", policy.arn), marker, max_items)
    # Positions sort upwards: what is newer comes first by how far it is from the last number.
    shown, more = pages.cut(versions_of(policy), lambda version: f"{2**63 - version.number:020d}")
    default = default_version(policy).number
    lines = [version_line(each, default=each.number == default) for each in shown]
    return {"Versions": lines, **more}


@operation("iam", "SetDefaultPolicyVersion", on=(touches.policy,))
def set_default_policy_version(call: Call, *, policy_arn: str, version_id: str) -> None:
    """Have a version count from now on."""
    with call.store.transaction() as tx:
        policy = own_policy(tx, call, policy_arn)
        version = _version(policy, policy_arn, version_id)
        tx.policies.save(replace(policy, default=version.number, modified_at=call.now))


@operation("iam", "DeletePolicyVersion", on=(touches.policy,))
def delete_policy_version(call: Call, *, policy_arn: str, version_id: str) -> None:
    """Forget a version that does not count. Its number never comes again."""
    with call.store.transaction() as tx:
        policy = own_policy(tx, call, policy_arn)
        version = _version(policy, policy_arn, version_id)
        if version.number == policy.default:
            raise DeleteConflict("Cannot delete the default version of a policy.")
        kept = tuple(each for each in policy.versions if each != version)
        tx.policies.save(replace(policy, versions=kept, modified_at=call.now))


def holders(records: Reading, call: Call, arn: str) -> list[Entity]:
    """Users, groups and roles that have a policy, attached or as their boundary."""
    mentioning = EntityQuery(call.account, mentioning=f'"{arn}"')
    return [
        each
        for each in every_entity(records, mentioning)
        if arn in each.attached or boundary_of(each) == arn
    ]


def _check(document: str) -> None:
    """Raises MalformedPolicyDocument and LimitExceeded."""
    if parse_policy(document, PolicyKind.MANAGED).size > MANAGED_SIZE_MAX:
        raise LimitExceeded.of("PolicySize", MANAGED_SIZE_MAX)


def _version(policy: AnyPolicy, arn: str, version_id: str) -> PolicyVersion:
    for version in versions_of(policy):
        if version.id == version_id:
            return version
    raise NoSuchEntity(f"Policy {arn} version {version_id} does not exist or is not attachable.")


def _position(policy: AnyPolicy) -> str:
    """Two may have one name, of which one is AWS's."""
    own = isinstance(policy, CustomerPolicy)
    return f"{policy.name.lower()} {'own' if own else 'aws'}"
