"""Conditional requests: what If-Match and its kin ask of an object, in the order of RFC 9110, 13.2.

    If-Match, else If-Unmodified-Since      does not hold → PreconditionFailed (412)
    If-None-Match, else If-Modified-Since   does not hold → NotModified (304) of a read, else 412

So a date counts only where its ETag was not asked about, as S3 documents of each pair. An object's
time has milliseconds and a header's has not: what is compared is the object's second.
"""

from __future__ import annotations

import math
from typing import Protocol

from inservice.s3_errors import NoSuchKey, NotModified, PreconditionFailed


class Asked(Protocol):
    """The headers of a request; an ETag with its quotes or without, several with commas, or `*`."""

    @property
    def if_match(self) -> str | None: ...
    @property
    def if_none_match(self) -> str | None: ...
    @property
    def if_modified_since(self) -> float | None: ...
    @property
    def if_unmodified_since(self) -> float | None: ...


def bare(etag: str) -> str:
    """An ETag without quotes and without the W/ of a weak one, which S3 takes for a strong one."""
    return etag.strip().removeprefix("W/").strip('"')


def matches(asked: str, etag: str) -> bool:
    """Whether an object's ETag is among those of a header."""
    return asked.strip() == "*" or etag in map(bare, asked.split(","))


def judge_read(asked: Asked, etag: str, modified_at: float) -> None:
    """Of GetObject and HeadObject. Raises PreconditionFailed and NotModified."""
    if (unmet := _unmet(asked, etag, modified_at)) is None:
        return
    if unmet in (_IF_NONE_MATCH, _IF_MODIFIED_SINCE):
        raise NotModified
    raise PreconditionFailed(Condition=unmet)


def judge_source(asked: Asked, etag: str, modified_at: float) -> None:
    """Of what is copied: there is nothing that the client has. Raises PreconditionFailed."""
    if (unmet := _unmet(asked, etag, modified_at)) is not None:
        raise PreconditionFailed(Condition=f"x-amz-copy-source-{unmet}")


def judge_write(asked: Asked, key: str, there: tuple[str, float] | None) -> None:
    """Of a write or a delete, by the ETag and time of what would be there no more. Raises
    PreconditionFailed, and NoSuchKey where something has to match and there is nothing."""
    if there is None:
        if asked.if_match is not None:
            raise NoSuchKey(Key=key)
        return
    if (unmet := _unmet(asked, *there)) is not None:
        raise PreconditionFailed(Condition=unmet)


_IF_MATCH = "If-Match"
_IF_NONE_MATCH = "If-None-Match"
_IF_MODIFIED_SINCE = "If-Modified-Since"
_IF_UNMODIFIED_SINCE = "If-Unmodified-Since"


def _unmet(asked: Asked, etag: str, modified_at: float) -> str | None:
    """The first condition that does not hold of an object that is there."""
    second = math.floor(modified_at)
    if asked.if_match is not None:
        if not matches(asked.if_match, etag):
            return _IF_MATCH
    elif asked.if_unmodified_since is not None and second > asked.if_unmodified_since:
        return _IF_UNMODIFIED_SINCE
    if asked.if_none_match is not None:
        if matches(asked.if_none_match, etag):
            return _IF_NONE_MATCH
    elif asked.if_modified_since is not None and second <= asked.if_modified_since:
        return _IF_MODIFIED_SINCE
    return None
