"""CloudWatch Logs' operations: what instances wrote, and what clients write."""

from inservice.operations.logs import events, groups, reading

__all__ = ["events", "groups", "reading"]
