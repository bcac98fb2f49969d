"""Which policies a bucket keeps, and which are for everybody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inservice.storage.operations.policy_rules import is_public
from tests.storage.asking import OTHER, with_bucket


def policy(**said: Any) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::bucket/*",
        **said,
    }
    statement = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_the_text_is_kept_as_it_was_put() -> None:
    s3 = with_bucket()
    text = policy().replace(",", " ,\n")
    assert s3.answer("PutBucketPolicy", Bucket="bucket", Policy=text).status == 204
    assert s3.ask("GetBucketPolicy", Bucket="bucket") == {"Policy": text}
    assert s3.blobs.bucket("bucket").settings["policy"] == text.encode()
    status = s3.ask("GetBucketPolicyStatus", Bucket="bucket")
    assert status == {"PolicyStatus": {"IsPublic": False}}
    s3.ask("DeleteBucketPolicy", Bucket="bucket")
    assert s3.refused("GetBucketPolicy", Bucket="bucket").code == "NoSuchBucketPolicy"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Policies must be valid JSON and the first byte must be '{'"),
        ("random", "Policies must be valid JSON and the first byte must be '{'"),
        ("[]", "Policies must be valid JSON and the first byte must be '{'"),
        ("{", "Policies must be valid JSON and the first byte must be '{'"),
        ("{}", "Missing required field Statement"),
        ('{"Statement": [], "Id": "x"}', "Could not parse the policy: Statement is empty!"),
        ('{"Statement": "x"}', "Invalid policy syntax."),
        ('{"Statement": {}, "More": 1}', "Unknown field More"),
        ('{"Version": "2020-01-01", "Statement": {}}', "The policy must contain a valid version"),
        (policy(Effect=None), "Missing required field Effect"),
        (policy(Effect="Maybe"), "Invalid effect: Maybe"),
        (policy(Principal=None), "Missing required field Principal"),
        (policy(Principal={"AWS": "nobody"}), "Invalid principal in policy"),
        (policy(Principal={}), "Missing required field Principal cannot be empty!"),
        (policy(Action=None), "Missing required field Action"),
        (policy(Action="GetObject"), "Policy has invalid action"),
        (policy(Action="ec2:RunInstances"), "Policy has invalid action"),
        (policy(Resource=None), "Missing required field Resource"),
        (policy(Resource="bucket/*"), "Policy has invalid resource"),
        (policy(Resource="arn:aws:s3:::other/*"), "Policy has invalid resource"),
        (policy(Resource="arn:aws:s3:::bucketeer/*"), "Policy has invalid resource"),
        (policy(Resource="*"), "Policy has invalid resource"),
        (policy(Resource="arn:aws:s3:::bucket"), "Action does not apply to any resource(s)"),
        (policy(Action="s3:ListBucket"), None),
        (
            policy(Action="s3:ListBucket", Resource="arn:aws:s3:::bucket/key"),
            "Action does not apply to any resource(s) in statement",
        ),
        (policy(Condition={"NoOperator": {"aws:x": "y"}}), "Invalid policy syntax."),
        (policy(Sid="x" * 21_000), "Policy exceeds the maximum allowed document size."),
    ],
)
def test_what_is_no_policy_of_this_bucket(text: str, words: str | None) -> None:
    s3 = with_bucket()
    error = s3.refused("PutBucketPolicy", Bucket="bucket", Policy=text)
    assert (error.code, error.status) == ("MalformedPolicy", 400)
    assert (words or "Action does not apply") in error.message
    assert s3.refused("GetBucketPolicy", Bucket="bucket").code == "NoSuchBucketPolicy"


@pytest.mark.parametrize(
    "said",
    [
        {"Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"], "Action": "s3:*"},
        {"Resource": "arn:aws:s3:::bucket*", "Action": ["s3:ListBucket", "s3:GetObject"]},
        {"Resource": "arn:aws:s3:::bucket", "Action": "s3:ListBucket*"},
        {"Effect": "Deny", "Principal": "*", "Action": "*"},
        {"Sid": "with spaces, as S3 lets it"},
        {"Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject"},
    ],
)
def test_what_is_kept(said: dict[str, Any]) -> None:
    s3 = with_bucket()
    s3.ask("PutBucketPolicy", Bucket="bucket", Policy=policy(**said))
    assert json.loads(s3.ask("GetBucketPolicy", Bucket="bucket")["Policy"])


EVERYBODY: dict[str, Any] = {"Principal": "*"}


@pytest.mark.parametrize(
    ("said", "public"),
    [
        ({}, False),
        (EVERYBODY, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": ["*", OTHER]}}, True),
        ({**EVERYBODY, "Effect": "Deny"}, False),
        ({"Principal": None, "NotPrincipal": {"AWS": OTHER}}, True),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}, False),
        ({**EVERYBODY, "Condition": {"StringLike": {"aws:SourceVpc": "vpc-*"}}}, True),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, False),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:UserAgent": "curl"}}}, True),
        ({**EVERYBODY, "Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}}, True),
        ({**EVERYBODY, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, False),
        ({**EVERYBODY, "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}}, True),
        ({**EVERYBODY, "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, True),
        (
            {**EVERYBODY, "Condition": {"StringLike": {"aws:userid": "AROAAAAAAAAAAAAAAAAAA:*"}}},
            False,
        ),
        ({**EVERYBODY, "Condition": {"StringLike": {"aws:userid": "*"}}}, True),
        ({**EVERYBODY, "Condition": {"StringEquals": {"aws:PrincipalArn": "${aws:arn}"}}}, True),
        ({**EVERYBODY, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, True),
    ],
)
def test_what_is_public(said: dict[str, Any], public: bool) -> None:
    assert is_public(policy(**said)) is public


def test_nothing_public_is_put_while_that_is_blocked() -> None:
    """Every bucket begins so, as on AWS since 2023."""
    s3 = with_bucket()
    text = policy(Principal="*")
    error = s3.refused("PutBucketPolicy", Bucket="bucket", Policy=text)
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert "BlockPublicPolicy" in error.message
    s3.ask("DeletePublicAccessBlock", Bucket="bucket")
    s3.ask("PutBucketPolicy", Bucket="bucket", Policy=text)
    status = s3.ask("GetBucketPolicyStatus", Bucket="bucket")
    assert status == {"PolicyStatus": {"IsPublic": True}}
