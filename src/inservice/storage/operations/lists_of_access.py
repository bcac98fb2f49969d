"""Access control lists: each bucket and each object has the one by which its owner may do
everything, and there is no other. Policies say who else may."""

from __future__ import annotations

from typing import Any

from inservice.blobs.base import Bucket
from inservice.s3_errors import InvalidRequest
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, canonical_id, heard, owner, versioned
from inservice.storage.operations.object_headers import check_access
from inservice.storage.operations.reading import found
from inservice.storage.operations.refusals import (
    AccessControlListNotSupported,
    MalformedACLError,
    MissingSecurityHeader,
    UnexpectedContent,
    invalid_argument,
)

_GRANTS = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")
_HEARD = ("ACL", "AccessControlPolicy", *_GRANTS)
_PERMISSIONS = ("FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP")


@operation("GetBucketAcl")
def get_bucket_acl(call: Call) -> Answer:
    """Its owner may do everything."""
    heard(call)
    return Answer(_acl(bucket_of(call)))


@operation("GetObjectAcl")
def get_object_acl(call: Call) -> Answer:
    """The owner of its bucket may do everything."""
    heard(call, "VersionId")
    bucket = bucket_of(call)
    versioned(call)
    found(call, bucket.name, call.members["Key"])
    return Answer(_acl(bucket))


@operation("PutBucketAcl")
def put_bucket_acl(call: Call) -> Answer:
    """Say what is so already; anything else is refused as S3 refuses it."""
    heard(call, *_HEARD)
    _check(call, bucket_of(call))
    return Answer()


@operation("PutObjectAcl")
def put_object_acl(call: Call) -> Answer:
    """Say what is so already; anything else is refused as S3 refuses it."""
    heard(call, *_HEARD, "VersionId")
    bucket = bucket_of(call)
    versioned(call)
    found(call, bucket.name, call.members["Key"])
    _check(call, bucket)
    return Answer()


def _acl(bucket: Bucket) -> dict[str, Any]:
    grantee = {"Type": "CanonicalUser", **owner(bucket)}
    return {
        "Owner": owner(bucket),
        "Grants": [{"Grantee": grantee, "Permission": "FULL_CONTROL"}],
    }


def _check(call: Call, bucket: Bucket) -> None:
    grants = any(call.members.get(grant) for grant in _GRANTS)
    canned, policy = call.members.get("ACL"), call.members.get("AccessControlPolicy")
    if policy is not None and (canned or grants):
        raise UnexpectedContent
    if canned and grants:
        raise InvalidRequest("Specifying both Canned ACLs and Header Grants is not allowed")
    if policy is not None:
        _check_policy(policy, bucket)
    elif canned is None and not grants:
        raise MissingSecurityHeader(MissingHeaderName="x-amz-acl")
    if call.members.get("GrantWrite"):
        raise AccessControlListNotSupported
    check_access(call.members)


def _check_policy(policy: dict[str, Any], bucket: Bucket) -> None:
    grants, whose = policy.get("Grants"), (policy.get("Owner") or {}).get("ID")
    if grants is None or whose is None:
        raise MalformedACLError
    mine = canonical_id(bucket.account)
    for grant in grants:
        if grant.get("Permission") not in _PERMISSIONS or not grant.get("Grantee"):
            raise MalformedACLError
    if whose != mine:
        raise invalid_argument("Invalid id", "CanonicalUser/ID", whose)
    given = [(grant["Grantee"].get("ID"), grant["Permission"]) for grant in grants]
    if given != [(mine, "FULL_CONTROL")]:
        raise AccessControlListNotSupported
