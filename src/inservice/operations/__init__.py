"""One typed function for each AWS operation. Importing the package fills the registry."""

from inservice.operations import deployments, endpoint_configs, endpoints, models, server, tags

__all__ = ["deployments", "endpoint_configs", "endpoints", "models", "server", "tags"]
