"""CloudWatch's pure half: metrics, alarms and logs, as values and decisions."""
