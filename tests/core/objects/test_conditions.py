"""Conditions, beside the table of RFC 9110."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.errors import AwsError
from inservice.objects import conditions
from inservice.s3_errors import NoSuchKey, NotModified, PreconditionFailed

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
MODIFIED = 1000.75


@dataclass(frozen=True)
class Asked:
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: float | None = None
    if_unmodified_since: float | None = None


TAGS = st.sampled_from([None, "*", ETAG, f'"{ETAG}"', f'W/"{ETAG}"', '"other"', f'"x", "{ETAG}"'])
DATES = st.sampled_from([None, 0.0, 999.0, 1000.0, 1001.0])
ASKED = st.builds(Asked, TAGS, TAGS, DATES, DATES)


def naive(asked: Asked) -> int:
    """The steps of RFC 9110, 13.2.2, as they stand there."""
    if asked.if_match is not None:  # 1
        if "other" in asked.if_match:
            return 412
    elif asked.if_unmodified_since is not None and asked.if_unmodified_since < 1000:  # 2
        return 412
    if asked.if_none_match is not None:  # 3
        if "other" not in asked.if_none_match:
            return 304
    elif asked.if_modified_since is not None and asked.if_modified_since >= 1000:  # 4
        return 304
    return 200


@given(ASKED)
def test_a_read_is_judged_as_the_rfc_says(asked: Asked) -> None:
    assert outcome(lambda: conditions.judge_read(asked, ETAG, MODIFIED)) == naive(asked)


@given(ASKED)
def test_writes_and_copies_know_no_304(asked: Asked) -> None:
    expected = 200 if naive(asked) == 200 else 412
    there = (ETAG, MODIFIED)
    assert outcome(lambda: conditions.judge_write(asked, "k", there)) == expected
    assert outcome(lambda: conditions.judge_source(asked, ETAG, MODIFIED)) == expected


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        (Asked(), 200),
        (Asked(if_match="*"), 404),
        (Asked(if_match=ETAG), 404),
        (Asked(if_none_match="*"), 200),
        (Asked(if_none_match=ETAG), 200),
        (Asked(if_unmodified_since=0.0), 200),
    ],
)
def test_where_there_is_nothing(asked: Asked, written: int) -> None:
    assert outcome(lambda: conditions.judge_write(asked, "k", None)) == written


def test_a_refusal_names_the_header() -> None:
    for asked, header in [
        (Asked(if_match="x"), "If-Match"),
        (Asked(if_unmodified_since=1.0), "If-Unmodified-Since"),
    ]:
        with pytest.raises(PreconditionFailed) as refused:
            conditions.judge_read(asked, ETAG, MODIFIED)
        assert refused.value.members == {"Condition": header}
    with pytest.raises(PreconditionFailed) as refused:
        conditions.judge_write(Asked(if_none_match="*"), "k", (ETAG, MODIFIED))
    assert refused.value.members == {"Condition": "If-None-Match"}
    with pytest.raises(NoSuchKey):
        conditions.judge_write(Asked(if_match=ETAG), "k", None)
    with pytest.raises(NotModified):
        conditions.judge_read(Asked(if_none_match="*"), ETAG, MODIFIED)


def outcome(judged: object) -> int:
    assert callable(judged)
    try:
        judged()
    except AwsError as error:
        return error.status
    return 200
