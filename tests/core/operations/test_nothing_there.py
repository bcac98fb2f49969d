"""What SDKs ask about that is not here: repositories, monitoring schedules, contexts of lineage."""

from __future__ import annotations

from typing import Any, cast

import pytest

from inservice.errors import (
    AwsError,
    InvalidParameterException,
    NotImplementedYet,
    ValidationException,
)
from inservice.operations import registry
from inservice.operations.ecr.repositories import RepositoryNotFound
from inservice.operations.live import Live
from inservice.operations.touches import asked
from inservice.store.base import Store
from tests.core.operations.conftest import ACCOUNT, NothingRuns

REGION = "eu-west-1"


def call_of(store: Store) -> registry.Call:
    root = f"arn:aws:iam::{ACCOUNT}:root"
    return registry.Call(ACCOUNT, REGION, root, "id", 1.0, store, cast(Live, NothingRuns()))


def ask(store: Store, service: str, name: str, **members: Any) -> Any:
    operation = registry.find(service, name)
    assert operation is not None
    return operation.perform(call_of(store), members)


@pytest.mark.parametrize(
    ("service", "name", "members", "answer"),
    [
        ("ecr", "DescribeRepositories", {}, {"repositories": []}),
        ("ecr", "DescribeRepositories", {"maxResults": 5}, {"repositories": []}),
        (
            "sagemaker",
            "ListMonitoringSchedules",
            {"EndpointName": "e"},
            {"MonitoringScheduleSummaries": []},
        ),
        ("sagemaker", "ListContexts", {"SourceUri": "arn"}, {"ContextSummaries": []}),
    ],
)
def test_lists_are_empty(
    store: Store, service: str, name: str, members: dict[str, Any], answer: Any
) -> None:
    assert ask(store, service, name, **members) == answer


REFUSED: list[tuple[str, str, dict[str, Any], type[AwsError], str]] = [
    (
        "ecr",
        "DescribeRepositories",
        {"repositoryNames": ["mine", "other"]},
        RepositoryNotFound,
        f"The repository with name 'mine' does not exist in the registry with id '{ACCOUNT}'",
    ),
    (
        "ecr",
        "DescribeRepositories",
        {"repositoryNames": ["a"], "registryId": "683313688378"},
        RepositoryNotFound,
        "The repository with name 'a' does not exist in the registry with id '683313688378'",
    ),
    (
        "ecr",
        "DescribeRepositories",
        {"repositoryNames": ["a"], "maxResults": 1},
        InvalidParameterException,
        "nextToken",
    ),
    ("ecr", "DescribeRepositories", {"nextToken": "x"}, InvalidParameterException, "nextToken"),
    ("ecr", "GetAuthorizationToken", {}, NotImplementedYet, "no registry of images here"),
    ("sagemaker", "ListContexts", {"NextToken": "x"}, ValidationException, "NextToken"),
    ("sagemaker", "ListMonitoringSchedules", {"NextToken": "x"}, ValidationException, "NextToken"),
]


@pytest.mark.parametrize(("service", "name", "members", "error", "why"), REFUSED)
def test_what_is_named_is_not_there(
    store: Store,
    service: str,
    name: str,
    members: dict[str, Any],
    error: type[AwsError],
    why: str,
) -> None:
    with pytest.raises(error) as refused:
        ask(store, service, name, **members)
    assert why in refused.value.message


def test_repositories_are_asked_for_by_arn(store: Store) -> None:
    operation = registry.find("ecr", "DescribeRepositories")
    assert operation is not None
    where = f"arn:aws:ecr:{REGION}"
    for members, arns in (
        ({}, [f"{where}:{ACCOUNT}:repository/*"]),
        (
            {"registryId": "444455556666", "repositoryNames": ["a", "b"]},
            [f"{where}:444455556666:repository/a", f"{where}:444455556666:repository/b"],
        ),
    ):
        touched = [each.resource for each, _ in asked(operation, call_of(store), members)]
        assert touched == arns
