"""One typed function for each AWS operation. Importing the package fills the registry."""

from inservice.operations import (
    access_keys,
    cloudwatch_alarms,
    cloudwatch_dashboards,
    cloudwatch_describe,
    cloudwatch_metrics,
    deployment_reports,
    deployments,
    endpoint_configs,
    endpoints,
    log_events,
    log_groups,
    logs,
    models,
    server,
    sts,
    tags,
)

__all__ = [
    "access_keys",
    "cloudwatch_alarms",
    "cloudwatch_dashboards",
    "cloudwatch_describe",
    "cloudwatch_metrics",
    "deployment_reports",
    "deployments",
    "endpoint_configs",
    "endpoints",
    "log_events",
    "log_groups",
    "logs",
    "models",
    "server",
    "sts",
    "tags",
]
