"""One typed function for each AWS operation. Importing the package fills the registry."""

from inservice.operations.cloudwatch import alarms, dashboards, describe, metrics
from inservice.operations.logs import events, groups, reading
from inservice.operations.own import access_keys, deployment_reports, deployments, server
from inservice.operations.sagemaker import endpoint_configs, endpoints, models, tags
from inservice.operations.sts import caller

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
