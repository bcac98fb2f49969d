"""Buckets themselves: made, found, listed, deleted.

A bucket has a region, as on AWS, and this server answers for all of them: who asks with the
signature of another region is answered, not sent elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inservice.blobs.base import Bucket
from inservice.errors import NotImplementedYet
from inservice.s3_errors import (
    BucketAlreadyOwnedByYou,
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidLocationConstraint,
)
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import arn_of, bucket_of, canonical_id, heard
from inservice.storage.operations.refusals import (
    InvalidBucketAclWithObjectOwnership,
    invalid_argument,
)
from inservice.storage.operations.settings import packed
from inservice.storage.operations.tags import bucket_tags
from inservice.storage.operations.tokens import said_by, token_of

_FIRST_REGION = "us-east-1"
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
_GRANTS = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")
_CANNED = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "log-delivery-write",
)
_UNHEARD = ("bucket-owner-read", "bucket-owner-full-control")
"""Canned ACLs of objects. S3 takes them of a bucket that is made, and does not heed them."""


@operation("CreateBucket")
def create_bucket(call: Call) -> Answer:
    """Make one. What cannot be kept truthfully is refused: a lock on its objects, an ACL."""
    configuration = call.members.get("CreateBucketConfiguration") or {}
    heard(
        call,
        *("ACL", *_GRANTS, "CreateBucketConfiguration", "ObjectLockEnabledForBucket"),
        *("ObjectOwnership", "BucketNamespace"),
    )
    for name in ("Location", "Bucket"):
        if configuration.get(name):
            raise NotImplementedYet(f"directory buckets (CreateBucketConfiguration.{name})")
    if call.members.get("ObjectLockEnabledForBucket"):
        raise NotImplementedYet("ObjectLockEnabledForBucket", "objects have no versions here")
    if call.members.get("BucketNamespace", "global") != "global":
        raise NotImplementedYet("BucketNamespace account-regional", "bucket names are global")
    _check_ownership(call.members)
    region = _region(call.region, configuration.get("LocationConstraint"))
    tags = bucket_tags(configuration.get("Tags") or [], creating=True)
    settings = {"tagging": packed(tags)} if tags else {}
    name = call.members["Bucket"]
    made = call.blobs.create_bucket(Bucket(name, call.account, region, call.now, settings))
    regions = () if made else (call.region, region, call.blobs.bucket(name).region)
    if not made and (tags or set(regions) != {_FIRST_REGION}):
        # In its first region S3 takes a bucket that is made again for granted, as it always did.
        raise BucketAlreadyOwnedByYou(BucketName=name)
    return Answer({"Location": f"/{name}", "BucketArn": arn_of(call, name)})


@operation("HeadBucket")
def head_bucket(call: Call) -> Answer:
    """Whether it is there, and where."""
    heard(call)
    bucket = bucket_of(call)
    return Answer(
        {
            "BucketRegion": bucket.region,
            "BucketArn": arn_of(call, bucket.name),
            "AccessPointAlias": False,
        },
        headers=(("content-type", "application/xml"),),  # of the body that HEAD does not have
    )


@operation("GetBucketLocation")
def get_bucket_location(call: Call) -> Answer:
    """Its region; of those in S3's first one, nothing."""
    heard(call)
    region = bucket_of(call).region
    return Answer({"LocationConstraint": None if region == _FIRST_REGION else region})


@operation("ListBuckets")
def list_buckets(call: Call) -> Answer:
    """The account's, by name; those of other accounts are in no list, also if they may be used."""
    heard(call, "MaxBuckets", "ContinuationToken", "Prefix", "BucketRegion")
    most = call.members.get("MaxBuckets")
    token, region = call.members.get("ContinuationToken"), call.members.get("BucketRegion")
    if most is not None and not 1 <= most <= 10_000:
        raise invalid_argument(
            "Argument max-buckets must be an integer between 1 and 10000", "max-buckets", most
        )
    if region is not None and not _REGION.fullmatch(region):
        raise invalid_argument(
            f"Argument value {region} is not a valid AWS Region", "bucket-region"
        )
    prefix = call.members.get("Prefix") or ""
    found = call.blobs.buckets(call.account, prefix, said_by(token) if token else "")
    if region is not None:
        found = [bucket for bucket in found if bucket.region == region]
    page = found if most is None else found[:most]
    paged = most is not None or token is not None or region is not None or prefix
    shown = [_shown(call, bucket, with_region=bool(paged)) for bucket in page]
    members: dict[str, Any] = {"Buckets": shown, "Owner": {"ID": canonical_id(call.account)}}
    if prefix:
        members["Prefix"] = prefix
    if len(found) > len(page):
        members["ContinuationToken"] = token_of(page[-1].name)
    return Answer(members)


@operation("DeleteBucket")
def delete_bucket(call: Call) -> Answer:
    """An empty one."""
    heard(call)
    call.blobs.delete_bucket(bucket_of(call).name)
    return Answer()


def _region(asked: str, constraint: str | None) -> str:
    if asked == _FIRST_REGION:
        if not constraint:
            return asked
        if constraint == "EU":
            return "eu-west-1"
        if constraint == _FIRST_REGION or not _REGION.fullmatch(constraint):
            raise InvalidLocationConstraint(LocationConstraint=constraint)
        return constraint
    if constraint != asked and not (constraint == "EU" and asked == "eu-west-1"):
        raise IllegalLocationConstraintException(
            f"The {constraint or 'unspecified'} location constraint is incompatible for the region "
            "specific endpoint this request was sent to.",
        )
    return asked


def _check_ownership(members: Mapping[str, Any]) -> None:
    ownership = members.get("ObjectOwnership")
    if ownership is not None and ownership not in _OWNERSHIPS:
        raise InvalidArgument(
            f"Invalid x-amz-object-ownership header: {ownership}",
            ArgumentName="x-amz-object-ownership",
        )
    if ownership not in (None, _OWNERSHIPS[0]):
        raise NotImplementedYet(f"ObjectOwnership {ownership}", "there are no access control lists")
    acl = members.get("ACL")
    if acl is not None and acl not in (*_CANNED, *_UNHEARD):
        raise invalid_argument("", "x-amz-acl", acl)
    if acl not in (None, _CANNED[0], *_UNHEARD) or any(members.get(grant) for grant in _GRANTS):
        raise InvalidBucketAclWithObjectOwnership


def _shown(call: Call, bucket: Bucket, *, with_region: bool) -> dict[str, Any]:
    shown = {
        "Name": bucket.name,
        "CreationDate": bucket.created_at,
        "BucketArn": arn_of(call, bucket.name),
    }
    return {**shown, "BucketRegion": bucket.region} if with_region else shown
