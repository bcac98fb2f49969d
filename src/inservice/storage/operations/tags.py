"""Tags of buckets and objects: which may be, in S3's words for each that may not.

They come as a document, or with an object as the header `x-amz-tagging`, `a=1&b=2`, which has words
of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from inservice.s3_errors import InvalidTag, MalformedXML
from inservice.storage.operations.refusals import BadRequest, invalid_argument

OBJECT_TAGS_MAX = 10
BUCKET_TAGS_MAX = 50
_KEY_MAX, _VALUE_MAX = 128, 256  # UTF-16 units, as Java counts
_CHARACTERS = re.compile(r"[\w\s+\-=.:/@]*")
"""Letters of any script, digits, space, and `+ - = . _ : / @`."""

_HEADER = (
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
    "without tag name duplicates."
)


def object_tags(tag_set: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The tags that a document says. Raises InvalidTag, BadRequest, MalformedXML."""
    if len(tag_set) > OBJECT_TAGS_MAX:
        raise BadRequest("Object tags cannot be greater than 10")
    return _checked(tag_set, "Your TagKey cannot be prefixed with aws:")


def bucket_tags(tag_set: Sequence[Mapping[str, Any]], *, creating: bool = False) -> dict[str, str]:
    """The same of a bucket's."""
    if len(tag_set) > BUCKET_TAGS_MAX:
        raise BadRequest("Bucket tag count cannot be greater than 50")
    if creating and any(str(tag.get("Key")).startswith("aws:") for tag in tag_set):
        raise InvalidTag(
            'User-defined tag keys can\'t start with "aws:". This prefix is reserved for system '
            'tags. Remove "aws:" from your tag keys and try again.',
        )
    return _checked(tag_set, "System tags cannot be added/updated by requester")


def header_tags(header: str) -> dict[str, str]:
    """What the header `x-amz-tagging` says. Raises InvalidArgument, InvalidTag, BadRequest."""
    tags: list[dict[str, str]] = []
    for pair in header.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            tags.append({"Key": unquote_plus(key), "Value": unquote_plus(value)})
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) != len(keys) or any("," in tag["Key"] + tag["Value"] for tag in tags):
        raise invalid_argument(_HEADER, "x-amz-tagging", header)
    return object_tags(tags)


def _checked(tag_set: Sequence[Mapping[str, Any]], reserved: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in tag_set:
        key, value = tag.get("Key"), tag.get("Value")
        if key is None or value is None:
            raise MalformedXML
        if key in tags:
            raise InvalidTag("Cannot provide multiple Tags with the same key", TagKey=key)
        if key.startswith("aws:"):
            raise InvalidTag(reserved, TagKey=key)
        if not key or not _fits(key, _KEY_MAX):
            raise InvalidTag("The TagKey you have provided is invalid", TagKey=key)
        if not _fits(value, _VALUE_MAX):
            raise InvalidTag(
                "The TagValue you have provided is invalid",
                TagKey=key,
                TagValue=value,
            )
        tags[key] = value
    return tags


def _fits(text: str, most: int) -> bool:
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    return units <= most and _CHARACTERS.fullmatch(text) is not None
