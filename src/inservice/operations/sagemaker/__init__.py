"""SageMaker's operations: models, endpoint configs, endpoints, tags."""

from inservice.operations.sagemaker import endpoint_configs, endpoints, models, tags

__all__ = ["endpoint_configs", "endpoints", "models", "tags"]
