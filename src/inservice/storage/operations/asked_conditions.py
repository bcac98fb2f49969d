"""The conditions of a request, read from its members. How they are judged is in
`objects.conditions`: of a read here, of a write in the transaction that changes what is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inservice.blobs.base import Conditions
from inservice.storage.operations.refusals import ConditionNotTaken


def of_read(members: Mapping[str, Any]) -> Conditions:
    """Those of GetObject and HeadObject."""
    return Conditions(
        if_match=members.get("IfMatch"),
        if_none_match=members.get("IfNoneMatch"),
        if_modified_since=members.get("IfModifiedSince"),
        if_unmodified_since=members.get("IfUnmodifiedSince"),
    )


def of_source(members: Mapping[str, Any], now: float) -> Conditions:
    """Those on what is copied. A date that is still to come says nothing of what was modified."""
    since = members.get("CopySourceIfModifiedSince")
    return Conditions(
        if_match=members.get("CopySourceIfMatch"),
        if_none_match=members.get("CopySourceIfNoneMatch"),
        if_modified_since=None if since is not None and since > now else since,
        if_unmodified_since=members.get("CopySourceIfUnmodifiedSince"),
    )


def of_write(members: Mapping[str, Any]) -> Conditions:
    """Those of PutObject, CopyObject and CompleteMultipartUpload: that what is there is this, or
    that nothing is. Raises ConditionNotTaken for whatever else S3 does not take."""
    match, none_match = members.get("IfMatch"), members.get("IfNoneMatch")
    if match is not None and none_match is not None:
        raise ConditionNotTaken(
            "If-Match,If-None-Match", "Multiple conditional request headers present in the request"
        )
    for name, value, taken in (
        ("If-Match", match, match != "*"),
        ("If-None-Match", none_match, none_match == "*"),
    ):
        if value is not None and not taken:
            raise ConditionNotTaken(
                name, f"We don't accept the provided value of {name} header for this API"
            )
    return Conditions(if_match=match, if_none_match=none_match)


def of_delete(members: Mapping[str, Any]) -> Conditions:
    """That of DeleteObject. Raises ConditionNotTaken for those that S3 has for directory buckets
    alone."""
    for member, name in (
        ("IfMatchLastModifiedTime", "x-amz-if-match-last-modified-time"),
        ("IfMatchSize", "x-amz-if-match-size"),
    ):
        if members.get(member) is not None:
            raise ConditionNotTaken(name)
    return Conditions(if_match=members.get("IfMatch"))
