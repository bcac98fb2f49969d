"""InService's own operations: deployments by hand, keys, the server."""

from inservice.operations.own import access_keys, deployment_reports, deployments, server

__all__ = ["access_keys", "deployment_reports", "deployments", "server"]
