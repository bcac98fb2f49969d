"""SageMaker's operations."""
