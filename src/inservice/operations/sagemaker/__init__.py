"""SageMaker's operations: models, endpoint configs, endpoints, tags; and what is not there."""

from inservice.operations.sagemaker import absent, endpoint_configs, endpoints, models, tags

__all__ = ["absent", "endpoint_configs", "endpoints", "models", "tags"]
