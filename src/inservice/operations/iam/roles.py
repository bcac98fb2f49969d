"""CreateRole, GetRole, ListRoles, UpdateRole, UpdateAssumeRolePolicy, DeleteRole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inservice.identity import unique_ids
from inservice.identity.iam.arns import kept, taken_apart
from inservice.identity.iam.entities import Role
from inservice.identity.iam.errors import DeleteConflict, EntityAlreadyExists, LimitExceeded
from inservice.identity.iam.limits import ROLES_MAX, with_tags
from inservice.identity.policies.document import TRUST_SIZE_MAX, parse_policy
from inservice.identity.policies.grammar import PolicyKind, invalid_principal
from inservice.operations.iam import touches
from inservice.operations.iam.found import attachable, own_role_named, role_named
from inservice.operations.iam.made import new_id
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.iam.shown import role_line, role_whole
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.partitions import partition_of
from inservice.store.base import Reading
from inservice.store.listing import EntityQuery

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import TagTypeDef

SESSION_SECONDS = 3_600
"""How long a session of a role may last at most, unless it says otherwise."""


@operation("iam", "CreateRole", on=(touches.new_role,), told=(touches.named_policy,))
def create_role(
    call: Call,
    *,
    role_name: str,
    assume_role_policy_document: str,
    path: str = "/",
    description: str = "",
    max_session_duration: int = SESSION_SECONDS,
    permissions_boundary: str | None = None,
    tags: Sequence[TagTypeDef] = (),
) -> Document:
    """Make a role. Its trust policy says who may become it."""
    with call.store.transaction() as tx:
        bound = _bound(tx, call, assume_role_policy_document)
        if tx.roles.named(call.account, role_name) is not None:
            raise EntityAlreadyExists(f"Role with name {role_name} already exists.")
        if tx.roles.count(call.account) >= ROLES_MAX:
            raise LimitExceeded.of("RolesPerAccount", ROLES_MAX)
        role = Role(
            account=call.account,
            name=role_name,
            path=path,
            id=new_id(unique_ids.ROLE),
            created_at=call.now,
            trust=assume_role_policy_document,
            bound=bound,
            description=description,
            max_session_seconds=max_session_duration,
            tags=with_tags({}, tags, case_matters=False),
            boundary=None
            if permissions_boundary is None
            else attachable(tx, call, permissions_boundary, "Scope ARN:"),
        )
        tx.roles.save(role)
        return {"Role": role_whole(call, tx, role)}


@operation("iam", "GetRole", on=(touches.role,))
def get_role(call: Call, *, role_name: str) -> Document:
    """A role, with who may become it and when it last was."""
    with call.store.reading() as records:
        return {"Role": role_whole(call, records, role_named(records, call, role_name))}


@operation("iam", "ListRoles", on=(anything,))
def list_roles(
    call: Call, *, path_prefix: str = "/", marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """Roles of the account, by name."""
    pages = Pages.of(call, ("ListRoles", path_prefix), marker, max_items)
    query = EntityQuery(call.account, path_prefix, pages.after, limit=max_items + 1)
    with call.store.reading() as records:
        shown, more = pages.cut(records.roles.select(query), lambda role: role.name.lower())
        return {"Roles": [role_line(call, records, role) for role in shown], **more}


@operation("iam", "UpdateRole", on=(touches.role,))
def update_role(
    call: Call,
    *,
    role_name: str,
    description: str | None = None,
    max_session_duration: int | None = None,
) -> Document:
    """Change what is given of a role. The rest stays: AWS's reference says that the duration goes
    back to an hour, which AWS itself was seen not to do."""
    with call.store.transaction() as tx:
        role = own_role_named(tx, call, role_name)
        if description is not None:
            role = replace(role, description=description)
        if max_session_duration is not None:
            role = replace(role, max_session_seconds=max_session_duration)
        tx.roles.save(role)
    return {}


@operation("iam", "UpdateRoleDescription", on=(touches.role,))
def update_role_description(call: Call, *, role_name: str, description: str) -> Document:
    """What UpdateRole replaced; a service's own role may be described too."""
    with call.store.transaction() as tx:
        role = replace(role_named(tx, call, role_name), description=description)
        tx.roles.save(role)
        return {"Role": role_whole(call, tx, role)}


@operation("iam", "UpdateAssumeRolePolicy", on=(touches.role,))
def update_assume_role_policy(call: Call, *, role_name: str, policy_document: str) -> None:
    """Say anew who may become a role."""
    with call.store.transaction() as tx:
        role = own_role_named(tx, call, role_name)
        bound = _bound(tx, call, policy_document)
        tx.roles.save(replace(role, trust=policy_document, bound=bound))


@operation("iam", "DeleteRole", on=(touches.role,))
def delete_role(call: Call, *, role_name: str) -> None:
    """Forget a role and end its sessions. Raises DeleteConflict while a policy hangs on it."""
    with call.store.transaction() as tx:
        role = own_role_named(tx, call, role_name)
        if role.attached:
            raise DeleteConflict("Cannot delete entity, must detach all policies first.")
        if role.inline:
            raise DeleteConflict("Cannot delete entity, must delete policies first.")
        tx.roles.delete(role)
        tx.sessions.end(role.account, role.id)


def _bound(records: Reading, call: Call, document: str) -> Mapping[str, str]:
    """Whom of this account a trust policy names, by ARN, with the id that each has now. Raises
    MalformedPolicyDocument, for who is not there too, and LimitExceeded."""
    policy = parse_policy(document, PolicyKind.TRUST)
    if policy.size > TRUST_SIZE_MAX:
        raise LimitExceeded.of("ACLSizePerRole", TRUST_SIZE_MAX)
    bound = {}
    for kind, value in policy.principals:
        if kind == "AWS" and value.startswith((unique_ids.USER, unique_ids.ROLE)):
            if not _is_there(records, call.account, value):
                raise invalid_principal(kind, value)
            continue
        own = kept(value, partition_of(call.region)) if kind == "AWS" else None
        parts = taken_apart(own) if own is not None else None
        if own is None or parts is None or parts[2] not in ("user", "role"):
            continue
        if parts[1] != call.account:
            continue  # kept by ARN, there or not: nobody learns what another account has
        noun = records.users if parts[2] == "user" else records.roles
        named = noun.named(parts[1], parts[4])
        if named is None or named.arn != own:
            raise invalid_principal(kind, value)
        bound[value] = named.id
    return bound


def _is_there(records: Reading, account: str, entity_id: str) -> bool:
    """Whether a user or a role has this id: a document is told with ids of who is gone."""
    users, roles = records.users, records.roles
    return (users.by_id(account, entity_id) or roles.by_id(account, entity_id)) is not None
