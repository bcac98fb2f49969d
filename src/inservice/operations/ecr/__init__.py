"""ECR's operations, as far as there is anything to say without a registry."""

from inservice.operations.ecr import repositories

__all__ = ["repositories"]
