"""Which bucket a request names by its Host, as SDKs do that put it before the server's name.

    bucket.localhost:7420              what SDKs make of an endpoint `http://localhost:7420`
    bucket.s3.us-east-1.amazonaws.com  and whatever else has a label `s3`, or one that begins `s3-`

Of any other name nobody can tell where a bucket ends and the server's own name begins: there the
bucket is the first part of the path.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

_LOCAL: Final = ".localhost"
_SERVICE: Final = re.compile(r"(?:(.+)\.)?s3(?:-[a-z0-9-]+)?(?:\..+)?")


@lru_cache(maxsize=1024)
def bucket_of_host(host: str) -> str:
    """The bucket in the value of a Host header; "" if it names none."""
    name = host.lower()
    if not name.startswith("["):
        name = name.rpartition(":")[0] or name
    name = name.rstrip(".")
    local = name.endswith(_LOCAL)
    if local:
        name = name.removesuffix(_LOCAL)
        first, _, last = name.rpartition(".")
        if last == "s3" or last.startswith("s3-"):
            return first
        if not re.search(r"(^|\.)s3[.-]", name):
            return name
    match = _SERVICE.fullmatch(name)
    return match[1] or "" if match else ""


def copied_from(header: str) -> tuple[str, str, str]:
    """Bucket, key and version in `x-amz-copy-source`: `bucket/key`, escaped as in a path, where a
    plus is a space; perhaps with a slash before it, and `?versionId=` behind. What is not there is
    "". Who may read it is decided by this as well as what is read."""
    path, _, version = header.partition("?versionId=")
    bucket, _, key = unquote_plus(path).removeprefix("/").partition("/")
    return bucket, key, version
