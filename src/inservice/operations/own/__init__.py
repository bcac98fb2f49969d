"""InService's own operations: deployments by hand, accounts, keys, images, the server."""

from inservice.operations.own import (
    access_keys,
    accounts,
    deployment_reports,
    deployments,
    images,
    role_sessions,
    server,
)

__all__ = [
    "access_keys",
    "accounts",
    "deployment_reports",
    "deployments",
    "images",
    "role_sessions",
    "server",
]
