"""S3's words for headers and parameters that are not what they have to be, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from inservice.s3_errors import InvalidArgument, InvalidRequest, InvalidStorageClass, S3Error

_ENUMS: Mapping[str, str] = {
    "encoding-type": "Invalid Encoding Method specified in Request",
    "x-amz-metadata-directive": "Unknown metadata directive.",
    "x-amz-object-attributes": "Invalid attribute name specified.",
    "x-amz-server-side-encryption": "The encryption method specified is not supported",
    "x-amz-tagging-directive": "Unknown tagging directive.",
}

_REQUESTS: Mapping[str, str] = {
    "x-amz-checksum-algorithm": "Checksum algorithm provided is unsupported. Please try again with "
    "any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
    "x-amz-checksum-type": "Value for x-amz-checksum-type header is invalid.",
    "x-amz-sdk-checksum-algorithm": "Value for x-amz-sdk-checksum-algorithm header is invalid.",
}


def refuse_enum(at: str, value: str) -> S3Error:
    """One that is none of those that there are."""
    if at == "x-amz-storage-class":
        return InvalidStorageClass(StorageClassRequested=value)
    if at in _REQUESTS:
        return InvalidRequest(_REQUESTS[at])
    return InvalidArgument(_ENUMS.get(at, ""), ArgumentName=at, ArgumentValue=value)


def refuse_value(at: str, value: str) -> S3Error:
    """One that is not of its type."""
    return InvalidArgument(ArgumentName=at, ArgumentValue=value)


def refuse_number(at: str, value: str) -> S3Error:
    """One that is no number, or not one that may be."""
    if at == "partNumber":
        words = "Part number must be an integer between 1 and 10000, inclusive"
    elif re.fullmatch(r"-[0-9]{1,9}", value):
        words = f"Argument {at} must be an integer between 0 and 2147483647"
    else:
        words = f"Provided {at} not an integer or within integer range"
    return InvalidArgument(words, ArgumentName=at, ArgumentValue=value)


def refuse_missing(at: str, *, header: bool) -> S3Error:
    """One without which nothing is asked."""
    if header:
        return InvalidRequest(f"Missing required header for this request: {at}")
    return InvalidArgument(
        f"This operation requires the query parameter '{at}'", ArgumentName=at, ArgumentValue=""
    )
