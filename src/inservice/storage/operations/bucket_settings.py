"""Settings of a bucket that are kept, and what they do here.

Versioning and encryption are said rather than done: a bucket whose versioning was suspended before
it ever was on keeps one version of each object, which is what it is; what an object is said to be
encrypted with is what the client reads back, and what lies on the disk is as the disk has it.
"""

from __future__ import annotations

from typing import Any

from inservice.errors import NotImplementedYet
from inservice.s3_errors import (
    InvalidArgument,
    InvalidRequest,
    MalformedXML,
    NoSuchCORSConfiguration,
    NoSuchPublicAccessBlockConfiguration,
    NoSuchTagSet,
    OwnershipControlsNotFoundError,
)
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard
from inservice.storage.operations.refusals import IllegalVersioningConfigurationException
from inservice.storage.operations.settings import packed, setting
from inservice.storage.operations.tags import bucket_tags
from inservice.values import tags_told

_METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
_CORS_RULES_MAX = 100
_CORS_MEMBERS = frozenset(
    (
        *("ID", "AllowedHeaders", "AllowedMethods", "AllowedOrigins"),
        *("ExposeHeaders", "MaxAgeSeconds"),
    )
)

# ── versioning ───────────────────────────────────────────────────────────────────────────────────


@operation("GetBucketVersioning")
def get_bucket_versioning(call: Call) -> Answer:
    """Nothing of a bucket that nobody said anything of, or that it is suspended."""
    heard(call)
    status = setting(bucket_of(call), "versioning")
    return Answer({"Status": status} if status else {})


@operation("PutBucketVersioning")
def put_bucket_versioning(call: Call) -> Answer:
    """Suspend it. To switch it on would be to keep what is overwritten, and nothing here does."""
    heard(call, "VersioningConfiguration", "MFA")
    bucket = bucket_of(call)
    asked = call.members.get("VersioningConfiguration") or {}
    if asked.get("MFADelete") == "Enabled":
        raise NotImplementedYet("MFADelete")
    if asked.get("Status") is None:
        raise IllegalVersioningConfigurationException
    if asked["Status"] == "Enabled":
        raise NotImplementedYet("versioning of buckets (VersioningConfiguration.Status Enabled)")
    if asked["Status"] != "Suspended":
        raise MalformedXML
    call.blobs.set_bucket(bucket.name, "versioning", packed("Suspended"))
    return Answer()


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────


@operation("GetBucketTagging")
def get_bucket_tagging(call: Call) -> Answer:
    """Its tags."""
    heard(call)
    bucket = bucket_of(call)
    tags = setting(bucket, "tagging")
    if not tags:
        raise NoSuchTagSet(BucketName=bucket.name)
    return Answer({"TagSet": tags_told(tags)})


@operation("PutBucketTagging")
def put_bucket_tagging(call: Call) -> Answer:
    """All of its tags at once."""
    heard(call, "Tagging")
    bucket = bucket_of(call)
    tags = bucket_tags((call.members.get("Tagging") or {}).get("TagSet") or [])
    call.blobs.set_bucket(bucket.name, "tagging", packed(tags) if tags else None)
    return Answer(status=204)


@operation("DeleteBucketTagging")
def delete_bucket_tagging(call: Call) -> Answer:
    """Have none."""
    return _delete(call, "tagging")


# ── CORS ─────────────────────────────────────────────────────────────────────────────────────────


@operation("GetBucketCors")
def get_bucket_cors(call: Call) -> Answer:
    """Its rules for web pages of other origins."""
    heard(call)
    bucket = bucket_of(call)
    rules = setting(bucket, "cors")
    if rules is None:
        raise NoSuchCORSConfiguration(BucketName=bucket.name)
    return Answer({"CORSRules": rules})


@operation("PutBucketCors")
def put_bucket_cors(call: Call) -> Answer:
    """All of its rules at once."""
    heard(call, "CORSConfiguration")
    bucket = bucket_of(call)
    rules = (call.members.get("CORSConfiguration") or {}).get("CORSRules") or []
    if not 1 <= len(rules) <= _CORS_RULES_MAX:
        raise MalformedXML
    for rule in rules:
        _check_cors(rule)
    call.blobs.set_bucket(bucket.name, "cors", packed(rules))
    return Answer()


@operation("DeleteBucketCors")
def delete_bucket_cors(call: Call) -> Answer:
    """Have none."""
    return _delete(call, "cors")


def _check_cors(rule: dict[str, Any]) -> None:
    if not rule.keys() <= _CORS_MEMBERS:
        raise MalformedXML
    if not rule.get("AllowedMethods") or not rule.get("AllowedOrigins"):
        raise MalformedXML
    for method in rule["AllowedMethods"]:
        if method not in _METHODS:
            raise InvalidRequest(
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            )
    for member, name in (("AllowedOrigins", "AllowedOrigin"), ("AllowedHeaders", "AllowedHeader")):
        for value in rule.get(member) or ():
            if value.count("*") > 1:
                raise InvalidRequest(f'{name} "{value}" can not have more than one wildcard.')
    for value in rule.get("ExposeHeaders") or ():
        if "*" in value:
            raise InvalidRequest(
                f'ExposeHeader "{value}" contains wildcard. We currently do not support wildcard '
                "for ExposeHeader."
            )
    if len(rule.get("ID") or "") > 255:
        raise MalformedXML


# ── encryption ───────────────────────────────────────────────────────────────────────────────────

DEFAULT_ENCRYPTION = [
    {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BucketKeyEnabled": False,
    }
]
"""Of every bucket, since 2023."""

ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")


@operation("GetBucketEncryption")
def get_bucket_encryption(call: Call) -> Answer:
    """What objects are said to be encrypted with, if whoever puts them says nothing."""
    heard(call)
    rules = setting(bucket_of(call), "encryption", DEFAULT_ENCRYPTION)
    return Answer({"ServerSideEncryptionConfiguration": {"Rules": rules}})


@operation("PutBucketEncryption")
def put_bucket_encryption(call: Call) -> Answer:
    """What new objects are said to be encrypted with: one rule."""
    heard(call, "ServerSideEncryptionConfiguration")
    bucket = bucket_of(call)
    rules = (call.members.get("ServerSideEncryptionConfiguration") or {}).get("Rules") or []
    if len(rules) != 1:
        raise MalformedXML
    rule = {"BucketKeyEnabled": False, **rules[0]}
    default = rule.get("ApplyServerSideEncryptionByDefault") or {"SSEAlgorithm": "AES256"}
    if default.get("SSEAlgorithm") not in ENCRYPTIONS:
        raise MalformedXML
    if default.get("KMSMasterKeyID") and default["SSEAlgorithm"] == "AES256":
        raise InvalidArgument(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or "
            "aws:kms:dsse",
            ArgumentName="ApplyServerSideEncryptionByDefault",
        )
    kept = [{**rule, "ApplyServerSideEncryptionByDefault": default}]
    call.blobs.set_bucket(bucket.name, "encryption", packed(kept))
    return Answer()


@operation("DeleteBucketEncryption")
def delete_bucket_encryption(call: Call) -> Answer:
    """Back to what every bucket has."""
    return _delete(call, "encryption")


# ── who owns what is put, and who of the public may ──────────────────────────────────────────────

PUBLIC_ACCESS_BLOCK = (
    *("BlockPublicAcls", "IgnorePublicAcls"),
    *("BlockPublicPolicy", "RestrictPublicBuckets"),
)


@operation("GetPublicAccessBlock")
def get_public_access_block(call: Call) -> Answer:
    """All of it is on in a new bucket, as on AWS since 2023."""
    heard(call)
    bucket = bucket_of(call)
    block = setting(bucket, "publicAccessBlock", dict.fromkeys(PUBLIC_ACCESS_BLOCK, True))
    if block is None:
        raise NoSuchPublicAccessBlockConfiguration(BucketName=bucket.name)
    return Answer({"PublicAccessBlockConfiguration": block})


@operation("PutPublicAccessBlock")
def put_public_access_block(call: Call) -> Answer:
    """All four at once: what is not said is off."""
    heard(call, "PublicAccessBlockConfiguration")
    bucket = bucket_of(call)
    asked = call.members.get("PublicAccessBlockConfiguration") or {}
    block = {name: bool(asked.get(name)) for name in PUBLIC_ACCESS_BLOCK}
    call.blobs.set_bucket(bucket.name, "publicAccessBlock", packed(block))
    return Answer()


@operation("DeletePublicAccessBlock")
def delete_public_access_block(call: Call) -> Answer:
    """Block nothing."""
    heard(call)
    call.blobs.set_bucket(bucket_of(call).name, "publicAccessBlock", packed(None))
    return Answer()


@operation("GetBucketOwnershipControls")
def get_bucket_ownership_controls(call: Call) -> Answer:
    """The bucket's owner owns what is in it."""
    heard(call)
    bucket = bucket_of(call)
    if setting(bucket, "ownershipControls", True) is None:
        raise OwnershipControlsNotFoundError(BucketName=bucket.name)
    return Answer({"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}})


@operation("PutBucketOwnershipControls")
def put_bucket_ownership_controls(call: Call) -> Answer:
    """That its owner owns what is in it; anything else would need ACLs."""
    heard(call, "OwnershipControls")
    bucket = bucket_of(call)
    rules = (call.members.get("OwnershipControls") or {}).get("Rules") or []
    if len(rules) != 1:
        raise MalformedXML
    ownership = rules[0].get("ObjectOwnership")
    if ownership in ("BucketOwnerPreferred", "ObjectWriter"):
        raise NotImplementedYet(f"ObjectOwnership {ownership}", "there are no access control lists")
    if ownership != "BucketOwnerEnforced":
        raise MalformedXML
    call.blobs.set_bucket(bucket.name, "ownershipControls", None)
    return Answer()


@operation("DeleteBucketOwnershipControls")
def delete_bucket_ownership_controls(call: Call) -> Answer:
    """Say nothing of it any more. Its owner still owns what is in it: there are no ACLs."""
    heard(call)
    call.blobs.set_bucket(bucket_of(call).name, "ownershipControls", packed(None))
    return Answer()


def _delete(call: Call, name: str) -> Answer:
    heard(call)
    call.blobs.set_bucket(bucket_of(call).name, name, None)
    return Answer()
