"""What a plain bucket is asked by Terraform and others, and has not: answered as AWS answers for a
bucket of which nobody ever said anything.

A put of such a setting is taken if it says what is so already, since clients that compare what
should be with what is put everything; any other is refused by the name of what it would need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from inservice.errors import NotImplementedYet
from inservice.s3_errors import (
    MalformedXML,
    NoSuchLifecycleConfiguration,
    NoSuchWebsiteConfiguration,
    ObjectLockConfigurationNotFoundError,
    ReplicationConfigurationNotFoundError,
    S3Error,
)
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard
from inservice.storage.operations.refusals import NoSuchConfiguration
from inservice.storage.operations.settings import packed, setting

# ── there is none of it ──────────────────────────────────────────────────────────────────────────

_ABSENT: Mapping[str, type[S3Error]] = {
    "GetBucketLifecycleConfiguration": NoSuchLifecycleConfiguration,
    "GetBucketLifecycle": NoSuchLifecycleConfiguration,
    "GetBucketReplication": ReplicationConfigurationNotFoundError,
    "GetObjectLockConfiguration": ObjectLockConfigurationNotFoundError,
    "GetBucketWebsite": NoSuchWebsiteConfiguration,
}
"""Reads → the error that says that there is none."""

_NOTHING = ("GetBucketLogging", "GetBucketNotificationConfiguration", "GetBucketNotification")
"""Reads whose answer is empty."""

_DELETES = ("DeleteBucketLifecycle", "DeleteBucketReplication", "DeleteBucketWebsite")
"""Of what is not there, which S3 takes for done."""

_LISTS = ("Analytics", "Inventory", "Metrics", "IntelligentTiering")
"""Configurations of which a bucket can have several, by name."""

_REFUSED = {
    "PutBucketLifecycleConfiguration": "lifecycle rules of buckets",
    "PutBucketLifecycle": "lifecycle rules of buckets",
    "PutBucketReplication": "replication of buckets",
    "PutBucketWebsite": "website hosting",
    "PutObjectLockConfiguration": "locks on objects (Object Lock)",
    **{f"PutBucket{kind}Configuration": f"{kind} configurations of buckets" for kind in _LISTS},
}
"""Puts → what is not built, by its name."""


def _register_plain() -> None:
    for name, error in _ABSENT.items():
        operation(name)(_raising(error))
    for name in _NOTHING:
        operation(name)(_answering({}))
    for name in _DELETES:
        operation(name)(_answering({}))
    for kind in _LISTS:
        operation(f"ListBucket{kind}Configurations")(_answering({"IsTruncated": False}))
        operation(f"GetBucket{kind}Configuration")(_unknown)
        operation(f"DeleteBucket{kind}Configuration")(_unknown)
    for name, what in _REFUSED.items():
        operation(name)(_refusing(what))


def _raising(error: type[S3Error]) -> Callable[[Call], Answer]:
    def read(call: Call) -> Answer:
        """There is none."""
        heard(call)
        raise error(BucketName=bucket_of(call).name)

    return read


def _answering(members: dict[str, Any]) -> Callable[[Call], Answer]:
    def read(call: Call) -> Answer:
        """Nothing."""
        heard(call, "ContinuationToken")
        bucket_of(call)
        return Answer(members)

    return read


def _unknown(call: Call) -> Answer:
    """There is none of that name."""
    heard(call, "Id")
    bucket_of(call)
    raise NoSuchConfiguration


def _refusing(what: str) -> Callable[[Call], Answer]:
    def put(call: Call) -> Answer:
        bucket_of(call)
        raise NotImplementedYet(what)

    put.__doc__ = f"Refused by name: {what}."
    return put


_register_plain()


# ── one of two is so ─────────────────────────────────────────────────────────────────────────────


@operation("GetBucketRequestPayment")
def get_bucket_request_payment(call: Call) -> Answer:
    """Its owner pays."""
    heard(call)
    bucket_of(call)
    return Answer({"Payer": "BucketOwner"})


@operation("PutBucketRequestPayment")
def put_bucket_request_payment(call: Call) -> Answer:
    """Say that its owner pays."""
    heard(call, "RequestPaymentConfiguration")
    bucket_of(call)
    payer = (call.members.get("RequestPaymentConfiguration") or {}).get("Payer")
    if payer == "Requester":
        raise NotImplementedYet("buckets whose requesters pay (Payer Requester)")
    if payer != "BucketOwner":
        raise MalformedXML
    return Answer()


@operation("GetBucketAccelerateConfiguration")
def get_bucket_accelerate_configuration(call: Call) -> Answer:
    """Nothing, or that it was suspended."""
    heard(call)
    status = setting(bucket_of(call), "accelerate")
    return Answer({"Status": status} if status else {})


@operation("PutBucketAccelerateConfiguration")
def put_bucket_accelerate_configuration(call: Call) -> Answer:
    """Suspend it."""
    heard(call, "AccelerateConfiguration")
    bucket = bucket_of(call)
    status = (call.members.get("AccelerateConfiguration") or {}).get("Status")
    if status == "Enabled":
        raise NotImplementedYet("transfer acceleration")
    if status != "Suspended":
        raise MalformedXML
    call.blobs.set_bucket(bucket.name, "accelerate", packed(status))
    return Answer()


@operation("GetBucketAbac")
def get_bucket_abac(call: Call) -> Answer:
    """Tags of a bucket decide nothing about who may use it."""
    heard(call)
    bucket_of(call)
    return Answer({"AbacStatus": {"Status": "Disabled"}})


@operation("PutBucketAbac")
def put_bucket_abac(call: Call) -> Answer:
    """Say that they do not."""
    heard(call, "AbacStatus")
    bucket_of(call)
    status = (call.members.get("AbacStatus") or {}).get("Status")
    if status == "Enabled":
        raise NotImplementedYet("access by the tags of a bucket (AbacStatus Enabled)")
    if status != "Disabled":
        raise MalformedXML
    return Answer()


@operation("PutBucketLogging")
def put_bucket_logging(call: Call) -> Answer:
    """Log nothing."""
    heard(call, "BucketLoggingStatus")
    bucket_of(call)
    if (call.members.get("BucketLoggingStatus") or {}).get("LoggingEnabled"):
        raise NotImplementedYet("access logs of buckets (LoggingEnabled)")
    return Answer()


@operation("PutBucketNotificationConfiguration")
def put_bucket_notification_configuration(call: Call) -> Answer:
    """Tell nobody."""
    return _put_notification(call)


@operation("PutBucketNotification")
def put_bucket_notification(call: Call) -> Answer:
    """The same by its older name."""
    return _put_notification(call)


def _put_notification(call: Call) -> Answer:
    heard(call, "NotificationConfiguration", "SkipDestinationValidation")
    bucket_of(call)
    asked = call.members.get("NotificationConfiguration") or {}
    for name, value in asked.items():
        if value or name == "EventBridgeConfiguration":
            raise NotImplementedYet(f"notifications of buckets ({name})")
    return Answer()
