"""DescribeRepositories and GetAuthorizationToken: there is no registry of images here.

An image is a name by which a server that is built in is chosen, so an account has no repositories,
and that is what lists say. A token would be for a registry that nobody can log in to: it is
refused, so that whoever asks hears why there, and not at the login that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inservice.errors import InvalidParameterException, NotImplementedYet, SenderError
from inservice.operations.registry import Call, Document, Touch, operation
from inservice.operations.touches import anything
from inservice.partitions import partition_of


class RepositoryNotFound(SenderError):
    """No such repository."""

    code = "RepositoryNotFoundException"


def _repositories(call: Call, members: Document) -> Iterable[Touch]:
    """Those of `repositoryNames`; all of the registry where none are named."""
    registry = members.get("registryId") or call.account
    where = f"arn:{partition_of(call.region)}:ecr:{call.region}:{registry}:repository"
    return (Touch(f"{where}/{name}") for name in members.get("repositoryNames") or ("*",))


@operation("ecr", "DescribeRepositories", on=(_repositories,))
def describe_repositories(
    call: Call,
    *,
    registry_id: str | None = None,
    repository_names: Sequence[str] | None = None,
    next_token: str | None = None,
    max_results: int | None = None,
) -> Document:
    """None. Raises RepositoryNotFound for each that is named."""
    if repository_names is not None and (next_token is not None or max_results is not None):
        raise InvalidParameterException(
            "Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'cannot be used "
            "with nextToken or maxResults'"
        )
    if next_token is not None:
        raise InvalidParameterException(
            "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"
        )
    if repository_names:
        raise RepositoryNotFound(
            f"The repository with name '{repository_names[0]}' does not exist in the registry with "
            f"id '{registry_id or call.account}'"
        )
    return {"repositories": []}


@operation("ecr", "GetAuthorizationToken", on=(anything,))
def get_authorization_token(call: Call, *, registry_ids: Sequence[str] = ()) -> Document:
    """Refused, by name."""
    del call, registry_ids
    raise NotImplementedYet(
        "ecr:GetAuthorizationToken",
        "there is no registry of images here to log in to; images are run by their names alone",
    )
