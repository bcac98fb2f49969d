"""ETags and checksums of an object that came in parts, by those of the parts.

              whole                in parts
    ETag      MD5 of the data      MD5 of the parts' MD5s, "-<parts>"
    checksum  that of the data     COMPOSITE: that of the parts' checksums, "-<parts>"
                                   FULL_OBJECT: that of the data, combined from the parts' CRCs

Values of checksums are base64, as they are on the wire; ETags are hex and without quotes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence

from inservice import checksums
from inservice.s3_errors import InvalidRequest

COMPOSITE = "COMPOSITE"
FULL_OBJECT = "FULL_OBJECT"


def multipart_etag(etags: Sequence[str]) -> str:
    """Of an object in parts, by the ETags of these."""
    content = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}-{len(etags)}"


def checksum_type(algorithm: str, asked: str | None) -> str:
    """COMPOSITE or FULL_OBJECT, of an upload: what is asked for, else what the algorithm has first.
    Raises InvalidRequest where the one that is asked for cannot be had of the algorithm."""
    adds_up = checksums.ALGORITHMS[algorithm].crc is not None
    types = (COMPOSITE, FULL_OBJECT) if adds_up else (COMPOSITE,)
    if algorithm == "CRC64NVME":  # which S3 has for whole objects alone
        types = (FULL_OBJECT,)
    if asked is None:
        return types[0]
    if asked not in types:
        raise InvalidRequest(
            f"The {asked} checksum type cannot be used with the {algorithm.lower()} checksum "
            "algorithm."
        )
    return asked


def composite(algorithm: str, values: Iterable[str]) -> str:
    """A checksum of checksums."""
    digests = [base64.b64decode(value) for value in values]
    return f"{checksums.told(checksums.composite(algorithm, digests))}-{len(digests)}"


def full_object(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """The checksum of the whole, by the checksum and the length of each part. Of a CRC only."""
    pairs = ((base64.b64decode(value), length) for value, length in parts)
    return checksums.told(checksums.whole(algorithm, pairs))
