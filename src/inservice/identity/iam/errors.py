"""What can be wrong with a request to IAM, in IAM's codes.

    SenderError
    ├── InvalidInput            400  a value that no rule of the model caught
    ├── UnmodifiableEntity      400  a service's own role
    ├── PolicyNotAttachable     400  a policy that only a service's own role may have
    ├── NoSuchEntity            404
    ├── EntityAlreadyExists     409
    ├── DeleteConflict          409  something still hangs on what is to be deleted
    └── LimitExceeded           409  a quota

What breaks a rule of IAM's model is a ValidationError, as in every query service; a policy document
that is none is a MalformedPolicyDocument.
"""

from __future__ import annotations

from inservice.errors import SenderError


class InvalidInput(SenderError):
    """A value that cannot be; the message says which."""

    code = "InvalidInput"


class UnmodifiableEntity(SenderError):
    """The role belongs to a service, which alone may change it."""

    code = "UnmodifiableEntity"

    def __init__(self, role_name: str) -> None:
        super().__init__(
            f"Cannot perform the operation on the protected role '{role_name}' - this role is only "
            "modifiable by AWS"
        )


class PolicyNotAttachable(SenderError):
    """Only a service's own role may have this policy."""

    code = "PolicyNotAttachable"


class NoSuchEntity(SenderError):
    """It is not there."""

    code = "NoSuchEntity"
    status = 404


class EntityAlreadyExists(SenderError):
    """The name is taken, perhaps in another case."""

    code = "EntityAlreadyExists"
    status = 409


class DeleteConflict(SenderError):
    """Something has to be deleted or detached first."""

    code = "DeleteConflict"
    status = 409


class LimitExceeded(SenderError):
    """A quota of the account, or of one entity."""

    code = "LimitExceeded"
    status = 409

    @classmethod
    def of(cls, quota: str, most: int) -> LimitExceeded:
        """In the words that AWS has for most of them."""
        return cls(f"Cannot exceed quota for {quota}: {most}")
