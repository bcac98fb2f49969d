"""STS's operations: who is asking."""

from inservice.operations.sts import caller

__all__ = ["caller"]
