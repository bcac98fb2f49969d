"""CloudWatch Logs' operations."""
