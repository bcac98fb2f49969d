"""One typed function for each AWS operation. Importing the package fills the registry."""

from inservice.operations import (
    cloudwatch_alarms,
    cloudwatch_describe,
    cloudwatch_metrics,
    deployment_reports,
    deployments,
    endpoint_configs,
    endpoints,
    logs,
    models,
    server,
    sts,
    tags,
)

__all__ = [
    "cloudwatch_alarms",
    "cloudwatch_describe",
    "cloudwatch_metrics",
    "deployment_reports",
    "deployments",
    "endpoint_configs",
    "endpoints",
    "logs",
    "models",
    "server",
    "sts",
    "tags",
]
