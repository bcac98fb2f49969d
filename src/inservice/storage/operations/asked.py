"""What every operation looks at first: the bucket, whose it is said to be, and what is asked that
nobody here hears.

A member that an operation does not name is refused by its name. That is the whole rule by which
nothing is accepted and ignored; those that change nothing here are named in `_WITHOUT_EFFECT`, each
with why.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from inservice.blobs.base import Bucket
from inservice.errors import NotImplementedYet
from inservice.partitions import partition_of
from inservice.s3_errors import AccessDenied, NoSuchVersion
from inservice.storage.calls import Call
from inservice.storage.operations.refusals import InvalidBucketOwnerAWSAccountID, invalid_argument

_WITHOUT_EFFECT = {
    "Bucket": "the address",
    "Key": "the address",
    "ExpectedBucketOwner": "`bucket_of` has looked at it",
    "ContentMD5": "whoever took the body has",
    "ChecksumAlgorithm": "whoever took the body has",
    "RequestPayer": "S3 ignores it too, where a bucket's owner pays; and no other bucket is here",
}
"""Members that every operation takes → why that is the truth."""

_ACCOUNT = re.compile(r"[0-9]{12}")
_VERSION = re.compile(r"[A-Za-z0-9._]{32}")
_CUSTOMER_KEY = re.compile(r"(CopySource)?SSECustomer")


def heard(call: Call, *names: str) -> None:
    """Refuse what was given and is not among these. Raises NotImplementedYet."""
    for name, value in call.members.items():
        if value is None or name in names or name in _WITHOUT_EFFECT:
            continue
        if _CUSTOMER_KEY.match(name):
            raise NotImplementedYet(
                "encryption with a customer's key (SSE-C)", "nothing is encrypted here"
            )
        raise NotImplementedYet(f"{name} of {call.operation}")


def bucket_of(call: Call) -> Bucket:
    """The bucket that is addressed. Raises NoSuchBucket, InvalidBucketOwnerAWSAccountID, and
    AccessDenied if it is another's than was said."""
    bucket = call.blobs.bucket(call.members["Bucket"])
    check_owner(bucket, call.members.get("ExpectedBucketOwner"))
    return bucket


def check_owner(bucket: Bucket, account: str | None) -> None:
    """Refuse a bucket of another account than this. Raises AccessDenied."""
    if account is None:
        return
    if not _ACCOUNT.fullmatch(account):
        raise InvalidBucketOwnerAWSAccountID(account)
    if account != bucket.account:
        raise AccessDenied


def versioned(call: Call) -> str | None:
    """The version that is asked for: "null", the one that every object here has; None if nothing is
    said. Raises InvalidArgument, NoSuchVersion."""
    version: str | None = call.members.get("VersionId")
    if version is None or version == "null":
        return version
    if not _VERSION.fullmatch(version):
        raise invalid_argument("Invalid version id specified", "versionId", version)
    raise NoSuchVersion(Key=call.members["Key"], VersionId=version)


def arn_of(call: Call, bucket: str, key: str = "") -> str:
    """The name of a bucket, or of an object in it, as policies write it."""
    path = f"{bucket}/{key}" if key else bucket
    return f"arn:{partition_of(call.region)}:s3:::{path}"


def canonical_id(account: str) -> str:
    """The id that S3 has for an account beside its number: 64 hex digits, always the same ones."""
    return hashlib.sha256(f"canonical user of {account}".encode()).hexdigest()


def owner(bucket: Bucket) -> dict[str, Any]:
    """Who owns a bucket, and what is in it."""
    return {"ID": canonical_id(bucket.account)}


def number(call: Call, name: str, parameter: str, default: int, most: int = 1000) -> int:
    """How many are asked for, at most as many as S3 gives at once. Raises InvalidArgument."""
    asked: int | None = call.members.get(name)
    if asked is None:
        return default
    if not 0 <= asked <= 2**31 - 1:
        raise invalid_argument(
            f"Argument {parameter} must be an integer between 0 and 2147483647", parameter, asked
        )
    return min(asked, most)
