"""Filters, sorting and pages, as all List operations have them; shown on models."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from inservice.errors import ValidationException

from .conftest import Perform

CONTAINER = {"Image": "registry/image:1"}


def create(perform: Perform, *names: str, **members: Any) -> None:
    for name in names:
        perform("CreateModel", ModelName=name, PrimaryContainer=CONTAINER, **members)


def listed(page: Mapping[str, Any]) -> list[str]:
    return [line["ModelName"] for line in page["Models"]]


def walk(perform: Perform, **members: Any) -> list[str]:
    names, page = [], perform("ListModels", **members)
    names += listed(page)
    while "NextToken" in page:
        page = perform("ListModels", **members, NextToken=page["NextToken"])
        assert page["Models"], "a page that a token leads to is not empty"
        names += listed(page)
    return names


def test_a_line_says_what_aws_says(perform: Perform) -> None:
    create(perform, "Demo", now=5.0)
    arn = "arn:aws:sagemaker:us-east-1:111122223333:model/Demo"
    assert perform("ListModels") == {
        "Models": [{"ModelName": "Demo", "ModelArn": arn, "CreationTime": 5.0}]
    }


def test_nothing_is_an_empty_list(perform: Perform) -> None:
    assert perform("ListModels") == {"Models": []}


def test_the_newest_ten_come_first_unless_asked_otherwise(perform: Perform) -> None:
    names = [f"m{n}" for n in range(12)]
    create(perform, *names)
    page = perform("ListModels")
    assert listed(page) == names[:1:-1]
    assert walk(perform) == names[::-1]


def test_a_full_last_page_has_no_token(perform: Perform) -> None:
    create(perform, "a", "b")
    assert "NextToken" not in perform("ListModels", MaxResults=2)
    assert "NextToken" in perform("ListModels", MaxResults=1)


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("sort_by", ["Name", "CreationTime"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_are_the_sorted_whole(perform: Perform, order: str, sort_by: str, size: int) -> None:
    draw = random.Random(7)
    made = [(float(draw.randrange(3)), name) for name in ["a", "B", "c", "D", "e", "F", "g"]]
    for at, name in made:  # several at one moment, so that ties are broken too
        create(perform, name, now=at)

    def key(line: tuple[float, str]) -> tuple[Any, ...]:
        return (line[1].lower(),) if sort_by == "Name" else (line[0], line[1].lower())

    expected = [name for _, name in sorted(made, key=key, reverse=order == "Descending")]
    assert walk(perform, SortBy=sort_by, SortOrder=order, MaxResults=size) == expected


def test_what_comes_and_goes_between_pages_neither_repeats_nor_hides_a_line(
    perform: Perform,
) -> None:
    create(perform, "a", "c", "e", "g")
    query = {"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 2}
    first = perform("ListModels", **query)
    perform("DeleteModel", ModelName="a")
    create(perform, "b", "f")
    second = perform("ListModels", **query, NextToken=first["NextToken"])
    assert (listed(first), listed(second)) == (["a", "c"], ["e", "f"])


def test_names_are_filtered_with_regard_to_case(perform: Perform) -> None:
    create(perform, "churn-1", "Churn-2", "other")
    assert walk(perform, NameContains="churn") == ["churn-1"]
    assert walk(perform, NameContains="hurn-") == ["Churn-2", "churn-1"]
    assert walk(perform, NameContains="x") == []


def test_creation_times_before_are_strict_and_after_are_not(perform: Perform) -> None:
    for at in (1.0, 2.0, 3.0):
        create(perform, f"m{at:.0f}", now=at)
    assert walk(perform, CreationTimeBefore=2.0) == ["m1"]
    assert walk(perform, CreationTimeAfter=2.0) == ["m3", "m2"]
    assert walk(perform, CreationTimeAfter=2.0, CreationTimeBefore=3.0) == ["m2"]


def test_a_time_that_was_listed_finds_its_line_again(perform: Perform) -> None:
    create(perform, "m", now=1.0006)
    (line,) = perform("ListModels")["Models"]
    assert walk(perform, CreationTimeAfter=line["CreationTime"]) == ["m"]


def token_of(perform: Perform) -> str:
    create(perform, "a", "b")
    token = perform("ListModels", MaxResults=1)["NextToken"]
    assert isinstance(token, str)
    return token


def test_a_token_outlives_a_change_of_the_page_size(perform: Perform) -> None:
    token = token_of(perform)
    assert listed(perform("ListModels", MaxResults=7, NextToken=token)) == ["a"]


@pytest.mark.parametrize(
    "members",
    [
        {"SortBy": "Name"},
        {"SortOrder": "Ascending"},
        {"NameContains": "a"},
        {"CreationTimeAfter": 1.0},
        {"region": "eu-west-1"},
        {"account": "999999999999"},
    ],
)
def test_a_token_is_good_for_its_list_alone(perform: Perform, members: dict[str, Any]) -> None:
    token = token_of(perform)
    with pytest.raises(ValidationException, match="NextToken"):
        perform("ListModels", NextToken=token, **members)


def test_a_token_of_another_operation(perform: Perform) -> None:
    with pytest.raises(ValidationException, match="NextToken"):
        perform("ListEndpointConfigs", NextToken=token_of(perform))


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "ü",
        "\ud800",
        "AAAA",
        "=" * 8192,
        base64.urlsafe_b64encode(b"[" * 6000).decode(),
        base64.urlsafe_b64encode(rb'["0","\ud800","a"]').decode(),
        base64.urlsafe_b64encode(b'["0",NaN,"a"]').decode(),
        forged("0" * 16, 1000.0, "a"),
        forged("0" * 16, "a", "a"),
        forged("0" * 16, None, "a"),
        forged("0" * 16),
        forged(),
    ],
)
def test_a_token_that_was_never_given(perform: Perform, token: str) -> None:
    create(perform, "a", "b")
    with pytest.raises(ValidationException, match="NextToken is not valid"):
        perform("ListModels", NextToken=token)


def test_a_changed_token(perform: Perform) -> None:
    digest, value, key = msgspec.json.decode(base64.urlsafe_b64decode(token_of(perform)))
    for changed in (forged(digest, value + 1, key), forged(digest, value, "z")):
        with pytest.raises(ValidationException, match="NextToken is not valid"):
            perform("ListModels", NextToken=changed)
