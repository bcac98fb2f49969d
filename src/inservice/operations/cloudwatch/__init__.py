"""CloudWatch's operations: alarms, metrics, dashboards."""

from inservice.operations.cloudwatch import alarms, dashboards, describe, metrics

__all__ = ["alarms", "dashboards", "describe", "metrics"]
