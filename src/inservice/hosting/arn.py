"""Names of hosting resources and their ARNs, and the two sentences AWS makes of them.

An ARN keeps the case of the name. Names of one kind are unique without regard to case within an
account and region, so a name is looked for by its `name_key`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from inservice.errors import ValidationException
from inservice.partitions import partition_of


class ResourceKind(StrEnum):
    """What can be created here; the value is the word in the ARN."""

    MODEL = "model"
    ENDPOINT_CONFIG = "endpoint-config"
    ENDPOINT = "endpoint"

    @property
    def words(self) -> str:
        """How AWS's messages call it."""
        return "endpoint configuration" if self is ResourceKind.ENDPOINT_CONFIG else self.value


@dataclass(frozen=True, slots=True)
class ResourceArn:
    """One model, endpoint config or endpoint. `str()` of it is the ARN."""

    kind: ResourceKind
    account: str
    region: str
    name: str

    def __str__(self) -> str:
        partition = partition_of(self.region)
        return f"arn:{partition}:sagemaker:{self.region}:{self.account}:{self.kind}/{self.name}"


_ARN = re.compile(
    rf"arn:(aws[a-z-]*):sagemaker:([a-z0-9-]*):([0-9]{{12}}):({'|'.join(ResourceKind)})/(.+)"
)


def parse_arn(text: str) -> ResourceArn | None:
    """Take an ARN apart; None when it is not one of ours, so that the caller says what that means.

    A partition that its region does not belong to makes it none of ours.
    """
    match = _ARN.fullmatch(text)
    if match is None:
        return None
    partition, region, account, kind, name = match.groups()
    if partition != partition_of(region):
        return None
    return ResourceArn(ResourceKind(kind), account, region, name)


def name_key(name: str) -> str:
    """What two names that AWS calls the same have in common."""
    return name.lower()


def could_not_find(arn: ResourceArn) -> ValidationException:
    """Not-found is a ValidationException with status 400; SDKs match the words "Could not find"."""
    return ValidationException(f'Could not find {arn.kind.words} "{arn}".')


def already_exists(arn: ResourceArn) -> ValidationException:
    """The name is taken. `arn` is the resource that has it, in the case it was created with."""
    return ValidationException(f'Cannot create already existing {arn.kind.words} "{arn}".')
