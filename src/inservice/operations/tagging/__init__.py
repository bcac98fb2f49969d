"""The Resource Groups Tagging API's operations: what there is, of any service, by its tags."""

from inservice.operations.tagging import resources

__all__ = ["resources"]
