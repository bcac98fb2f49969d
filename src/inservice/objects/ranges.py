"""Ranges of bytes: of a GetObject, and of an object that a part is copied from.

What is no range, or several, S3 ignores as RFC 9110 lets it: the whole object is answered. One that
no byte is in is refused.
"""

from __future__ import annotations

import re

from inservice.s3_errors import InvalidArgument, InvalidRange, InvalidRequest

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.ASCII | re.IGNORECASE)
_COPIED = re.compile(r"bytes=([0-9]{1,20})-([0-9]{1,20})", re.ASCII)
_FAR = 10**20
"""Beyond any object; a number of more digits is not read, for that can take long."""


def wanted(header: str, size: int) -> tuple[int, int] | None:
    """Where the range of an object of this size begins and how long it is; None for the whole
    object. Raises InvalidRange."""
    found = _RANGE.fullmatch(header)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(_number(found[2]), size)
        first, last = size - length, size - 1
        if length == 0:
            raise InvalidRange(RangeRequested=header, ActualObjectSize=size)
    else:
        first, last = _number(found[1]), _number(found[2]) if found[2] else _FAR
        if last < first:
            return None
    if first >= size:
        raise InvalidRange(RangeRequested=header, ActualObjectSize=size)
    return first, min(last, size - 1) - first + 1


def copied(header: str, size: int) -> tuple[int, int]:
    """The same for UploadPartCopy, which takes `bytes=first-last` of what is there and nothing
    else. Raises InvalidArgument, and InvalidRequest where nothing of it is there."""
    found = _COPIED.fullmatch(header)
    if found is None or not int(found[1]) <= int(found[2]):
        raise InvalidArgument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    if int(found[1]) >= size:
        raise InvalidRequest("The specified copy range is invalid for the source object size")
    if int(found[2]) >= size:
        raise InvalidArgument(
            f"Range specified is not valid for source object of size: {size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    return int(found[1]), int(found[2]) - int(found[1]) + 1


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= 20 else _FAR
