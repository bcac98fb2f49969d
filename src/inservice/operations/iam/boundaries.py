"""Permission boundaries: Put… and Delete…PermissionsBoundary of users and roles."""

from __future__ import annotations

from dataclasses import replace

from inservice.identity.iam.errors import NoSuchEntity
from inservice.operations.iam import touches
from inservice.operations.iam.found import attachable, own_role_named, user_named
from inservice.operations.registry import Call, operation


@operation(
    "iam", "PutUserPermissionsBoundary", on=(touches.holding_user,), told=(touches.named_policy,)
)
def put_user_permissions_boundary(call: Call, *, user_name: str, permissions_boundary: str) -> None:
    """Bound what a user may do by a managed policy, in place of any other."""
    with call.store.transaction() as tx:
        user = user_named(tx, call, user_name)
        arn = attachable(tx, call, permissions_boundary, "Scope ARN:")
        tx.users.save(replace(user, boundary=arn))


@operation(
    "iam", "PutRolePermissionsBoundary", on=(touches.holding_role,), told=(touches.named_policy,)
)
def put_role_permissions_boundary(call: Call, *, role_name: str, permissions_boundary: str) -> None:
    """Bound what a role may do by a managed policy, in place of any other."""
    with call.store.transaction() as tx:
        role = own_role_named(tx, call, role_name)
        arn = attachable(tx, call, permissions_boundary, "Scope ARN:")
        tx.roles.save(replace(role, boundary=arn))


@operation("iam", "DeleteUserPermissionsBoundary", on=(touches.holding_user,))
def delete_user_permissions_boundary(call: Call, *, user_name: str) -> None:
    """Bound a user no more. Raises NoSuchEntity for one that was not."""
    with call.store.transaction() as tx:
        user = user_named(tx, call, user_name)
        if user.boundary is None:
            raise NoSuchEntity(f"User {user_name} does not have a permissions boundary.")
        tx.users.save(replace(user, boundary=None))


@operation("iam", "DeleteRolePermissionsBoundary", on=(touches.holding_role,))
def delete_role_permissions_boundary(call: Call, *, role_name: str) -> None:
    """Bound a role no more. Raises NoSuchEntity for one that was not."""
    with call.store.transaction() as tx:
        role = own_role_named(tx, call, role_name)
        if role.boundary is None:
            raise NoSuchEntity(f"Role {role_name} does not have a permissions boundary.")
        tx.roles.save(replace(role, boundary=None))
