"""IAM's operations: who there is, and what they may do."""

from inservice.operations.iam import (
    absent,
    access_keys,
    account,
    attachments,
    boundaries,
    groups,
    inline,
    oidc_providers,
    policies,
    roles,
    service_linked_roles,
    simulation,
    tags,
    users,
)

__all__ = [
    "absent",
    "access_keys",
    "account",
    "attachments",
    "boundaries",
    "groups",
    "inline",
    "oidc_providers",
    "policies",
    "roles",
    "service_linked_roles",
    "simulation",
    "tags",
    "users",
]
