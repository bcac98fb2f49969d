"""What InService's own operations touch beside endpoints, which are SageMaker's."""

from __future__ import annotations

from collections.abc import Iterable

from inservice.identity.principal import Account
from inservice.operations.iam import touches as iam
from inservice.operations.own import default_role
from inservice.operations.registry import Call, Document, Touch
from inservice.partitions import partition_of


def root(call: Call, members: Document) -> Iterable[Touch]:  # noqa: ARG001 - a part's shape
    """The account's root itself."""
    yield Touch(Account(call.account).root.arn)


def role_or_default(call: Call, members: Document) -> Iterable[Touch]:
    """The role of `RoleName`; the default execution role where none is named."""
    return iam.role(call, {"RoleName": default_role.NAME, **members})


def image(call: Call, members: Document) -> Iterable[Touch]:
    """The image of `Image`, as it is named."""
    partition = partition_of(call.region)
    name = members["Image"]
    yield Touch(f"arn:{partition}:inservice:{call.region}:{call.account}:image/{name}")
