"""CloudWatch metrics, the pure half: statistics, math, queries."""
