"""What a bucket may be called, and an object.

A bucket's name is part of host names elsewhere, hence its rules; they are those of AWS's page
"General purpose bucket naming rules". A key is any text of 1 to 1,024 bytes in UTF-8: `a//b`,
`..`, `/`, a key that is the prefix of another, a NUL. Nothing of a key is a path.
"""

from __future__ import annotations

import re

from inservice.s3_errors import InvalidArgument, InvalidBucketName, InvalidURI, KeyTooLongError

KEY_BYTES_MAX = 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", re.ASCII)
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def is_bucket_name(name: str) -> bool:
    """Whether a bucket can be called so."""
    return (
        _NAME.fullmatch(name) is not None
        and ".." not in name
        and _ADDRESS.fullmatch(name) is None
        and not name.startswith(_PREFIXES)
        and not name.endswith(_SUFFIXES)
    )


def check_bucket_name(name: str) -> None:
    """Raises InvalidBucketName."""
    if not is_bucket_name(name):
        raise InvalidBucketName(BucketName=name)


def key_bytes(key: str) -> bytes:
    """A key as it is kept and ordered. Raises InvalidArgument (it is empty), KeyTooLongError,
    InvalidURI (half a character)."""
    if not key:
        raise InvalidArgument("A key cannot be empty", ArgumentName="key", ArgumentValue="")
    content = text_bytes(key)
    if len(content) > KEY_BYTES_MAX:
        raise KeyTooLongError(Size=len(content), MaxSizeAllowed=KEY_BYTES_MAX)
    return content


def text_bytes(text: str) -> bytes:
    """A prefix, a delimiter or a marker, of any length. Raises InvalidURI."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidURI from error
