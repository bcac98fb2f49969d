"""InService: Amazon SageMaker's model hosting, self-hosted."""

__version__ = "0.1.0"
