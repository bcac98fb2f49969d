"""The policy of a bucket: who else may use it, and whether that is everybody."""

from __future__ import annotations

from inservice.blobs.base import Bucket
from inservice.s3_errors import AccessDenied, NoSuchBucketPolicy
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import arn_of, bucket_of, heard
from inservice.storage.operations.policy_rules import check_policy, is_public
from inservice.storage.operations.settings import setting


@operation("GetBucketPolicy")
def get_bucket_policy(call: Call) -> Answer:
    """The text, as it was put."""
    heard(call)
    return Answer({"Policy": _policy(bucket_of(call))})


@operation("PutBucketPolicy")
def put_bucket_policy(call: Call) -> Answer:
    """Keep one, if it says something of this bucket, and not to everybody while that is blocked."""
    # Who confirms that they may shut themselves out needs not to: nobody is kept from it.
    heard(call, "Policy", "ConfirmRemoveSelfBucketAccess")
    bucket = bucket_of(call)
    policy = call.members.get("Policy") or ""
    text = policy.decode("utf-8", "replace") if isinstance(policy, bytes) else policy
    check_policy(text, bucket.name)
    block = setting(bucket, "publicAccessBlock", {"BlockPublicPolicy": True})
    if block and block["BlockPublicPolicy"] and is_public(text):
        raise AccessDenied(
            f"User: {call.caller.arn} is not authorized to perform: s3:PutBucketPolicy on resource:"
            f' "{arn_of(call, bucket.name)}" because public policies are prevented by the '
            "BlockPublicPolicy setting in S3 Block Public Access."
        )
    call.blobs.set_bucket(bucket.name, "policy", text.encode())
    return Answer(status=204)


@operation("DeleteBucketPolicy")
def delete_bucket_policy(call: Call) -> Answer:
    """Have none."""
    heard(call)
    call.blobs.set_bucket(bucket_of(call).name, "policy", None)
    return Answer()


@operation("GetBucketPolicyStatus")
def get_bucket_policy_status(call: Call) -> Answer:
    """Whether it is for everybody."""
    heard(call)
    return Answer({"PolicyStatus": {"IsPublic": is_public(_policy(bucket_of(call)))}})


def _policy(bucket: Bucket) -> str:
    text = bucket.settings.get("policy")
    if text is None:
        raise NoSuchBucketPolicy(BucketName=bucket.name)
    return text.decode()
