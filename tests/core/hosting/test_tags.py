"""Which tags may be put on a resource."""

from __future__ import annotations

import pytest

from inservice.errors import ValidationException
from inservice.hosting.tags import TAGS_MAX, with_tags


def tag(key: str, value: str = "") -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_a_tag_is_added_or_overwrites_that_of_its_key() -> None:
    assert with_tags({"a": "1", "b": "2"}, [tag("b", "3"), tag("c")]) == {
        "a": "1",
        "b": "3",
        "c": "",
    }


def test_keys_differ_by_case() -> None:
    assert with_tags({}, [tag("a"), tag("A")]) == {"a": "", "A": ""}


def test_a_key_is_given_once() -> None:
    with pytest.raises(ValidationException, match="Duplicate tag keys found: a"):
        with_tags({}, [tag("a", "1"), tag("a", "2")])


@pytest.mark.parametrize("key", ["aws:x", "AWS:x", "aws:"])
def test_the_prefix_of_aws_is_reserved(key: str) -> None:
    with pytest.raises(ValidationException, match="reserved"):
        with_tags({}, [tag(key)])


def test_fifty_are_enough() -> None:
    full = {f"k{n}": "" for n in range(TAGS_MAX)}
    assert len(with_tags(full, [tag("k0", "new")])) == TAGS_MAX
    with pytest.raises(ValidationException, match="would have 51"):
        with_tags(full, [tag("one-more")])
