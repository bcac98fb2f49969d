"""EC2's operations, as far as instance types are concerned."""

from inservice.operations.ec2 import instance_types

__all__ = ["instance_types"]
