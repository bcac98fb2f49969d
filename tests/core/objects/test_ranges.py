"""Ranges, beside Python's own slices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.objects import ranges
from inservice.s3_errors import InvalidArgument, InvalidRange, InvalidRequest

SMALL = st.integers(0, 12)


@given(st.one_of(st.none(), SMALL), st.one_of(st.none(), SMALL), SMALL)
def test_a_range_is_a_slice(first: int | None, last: int | None, size: int) -> None:
    data = bytes(range(size))
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if (first is None and last is None) or (None not in (first, last) and last < first):  # type: ignore[operator]
        assert ranges.wanted(header, size) is None
        return
    if first is None:
        assert last is not None
        expected = data[-last:] if last else b""
    else:
        expected = data[first:] if last is None else data[first : last + 1]
    if expected:
        start, length = ranges.wanted(header, size) or (0, 0)
        assert data[start : start + length] == expected
        assert len(data[start : start + length]) == length
    else:
        with pytest.raises(InvalidRange) as refused:
            ranges.wanted(header, size)
        assert refused.value.members == {"RangeRequested": header, "ActualObjectSize": size}


@pytest.mark.parametrize(
    "header",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "0-1"),
        *("bytes=0-1-2", "bytes=5-2", "bytes=+1-2", "bytes=--2", "bytes=0x0-1", "bytes=١-٢"),
    ],
)
def test_what_is_no_range_is_ignored(header: str) -> None:
    assert ranges.wanted(header, 100) is None


def test_numbers_of_any_length_are_ranges() -> None:
    nines = "9" * 10_000
    assert ranges.wanted(f"bytes=0-{nines}", 5) == (0, 5)
    assert ranges.wanted(f"bytes=-{nines}", 5) == (0, 5)
    assert ranges.wanted(" Bytes = 1 - 3 ", 5) == (1, 3)
    for header in (f"bytes={nines}-", f"bytes={nines}-{nines}", "bytes=5-", "bytes=-0"):
        with pytest.raises(InvalidRange):
            ranges.wanted(header, 5)


def test_a_copied_range_is_wholly_there() -> None:
    assert ranges.copied("bytes=0-4", 5) == (0, 5)
    assert ranges.copied("bytes=4-4", 5) == (4, 1)
    for header in ("bytes=0-5", "bytes=3-2", "bytes=0-", "bytes=-3", "0-1", "", "*"):
        with pytest.raises(InvalidArgument):
            ranges.copied(header, 5)
    with pytest.raises(InvalidRequest):
        ranges.copied("bytes=5-5", 5)
