"""Buckets: made, found, listed, deleted, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.storage.asking import ACCOUNT, OTHER, S3, with_bucket

pytestmark = pytest.mark.usefixtures("stores")

PLAIN_ERRORS = {
    "GetBucketLifecycleConfiguration": "NoSuchLifecycleConfiguration",
    "GetBucketLifecycle": "NoSuchLifecycleConfiguration",
    "GetBucketReplication": "ReplicationConfigurationNotFoundError",
    "GetObjectLockConfiguration": "ObjectLockConfigurationNotFoundError",
    "GetBucketWebsite": "NoSuchWebsiteConfiguration",
    "GetBucketTagging": "NoSuchTagSet",
    "GetBucketCors": "NoSuchCORSConfiguration",
    "GetBucketPolicy": "NoSuchBucketPolicy",
    "GetBucketPolicyStatus": "NoSuchBucketPolicy",
}
BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
PLAIN_ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "GetBucketVersioning": {},
    "GetBucketAccelerateConfiguration": {},
    "GetBucketLogging": {},
    "GetBucketNotificationConfiguration": {},
    "GetBucketNotification": {},
    "GetBucketRequestPayment": {"Payer": "BucketOwner"},
    "GetBucketAbac": {"AbacStatus": {"Status": "Disabled"}},
    "GetBucketEncryption": {
        "ServerSideEncryptionConfiguration": {
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                    "BucketKeyEnabled": False,
                }
            ]
        }
    },
    "GetBucketOwnershipControls": {
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    },
    "GetPublicAccessBlock": {"PublicAccessBlockConfiguration": dict.fromkeys(BLOCK, True)},
    "ListBucketAnalyticsConfigurations": {"IsTruncated": False},
    "ListBucketInventoryConfigurations": {"IsTruncated": False},
    "ListBucketMetricsConfigurations": {"IsTruncated": False},
    "ListBucketIntelligentTieringConfigurations": {"IsTruncated": False},
}


class TestMade:
    @pytest.mark.parametrize(
        ("region", "constraint", "made_in"),
        [
            ("us-east-1", None, "us-east-1"),
            ("us-east-1", "us-west-2", "us-west-2"),
            ("us-east-1", "EU", "eu-west-1"),
            ("us-west-2", "us-west-2", "us-west-2"),
            ("eu-west-1", "EU", "eu-west-1"),
            ("cn-north-1", "cn-north-1", "cn-north-1"),
        ],
    )
    def test_where(self, region: str, constraint: str | None, made_in: str) -> None:
        s3 = S3(region=region)
        said = {"CreateBucketConfiguration": {"LocationConstraint": constraint}}
        made = s3.ask("CreateBucket", Bucket="bucket", **(said if constraint else {}))
        partition = "aws-cn" if region.startswith("cn") else "aws"
        assert made == {"Location": "/bucket", "BucketArn": f"arn:{partition}:s3:::bucket"}
        head = s3.ask("HeadBucket", Bucket="bucket")
        assert head["BucketRegion"] == made_in
        said_of = s3.ask("GetBucketLocation", Bucket="bucket")["LocationConstraint"]
        assert said_of == (None if made_in == "us-east-1" else made_in)

    @pytest.mark.parametrize(
        ("region", "constraint", "code", "words"),
        [
            ("us-east-1", "us-east-1", "InvalidLocationConstraint", "location-constraint is not"),
            ("us-east-1", "nowhere", "InvalidLocationConstraint", "location-constraint is not"),
            ("us-east-2", None, "IllegalLocationConstraintException", "The unspecified location"),
            ("us-east-2", "us-west-1", "IllegalLocationConstraintException", "The us-west-1 loc"),
            ("us-west-1", "EU", "IllegalLocationConstraintException", "The EU location"),
        ],
    )
    def test_where_not(self, region: str, constraint: str | None, code: str, words: str) -> None:
        s3 = S3(region=region)
        error = s3.refused(
            "CreateBucket",
            Bucket="bucket",
            CreateBucketConfiguration={"LocationConstraint": constraint} if constraint else {},
        )
        assert (error.code, error.status) == (code, 400)
        assert words in error.message
        assert s3.refused("HeadBucket", Bucket="bucket").code == "NoSuchBucket"

    def test_again(self) -> None:
        """In us-east-1 a bucket of one's own is made again for nothing, as it always was."""
        s3 = with_bucket()
        s3.put("bucket", "kept")
        assert s3.ask("CreateBucket", Bucket="bucket")["Location"] == "/bucket"
        assert s3.data("bucket", "kept") == b"data"
        tags = {"Tags": [{"Key": "a", "Value": "b"}]}
        error = s3.refused("CreateBucket", Bucket="bucket", CreateBucketConfiguration=tags)
        assert (error.code, error.status) == ("BucketAlreadyOwnedByYou", 409)
        s3.region = "us-west-2"
        where = {"LocationConstraint": "us-west-2"}
        error = s3.refused("CreateBucket", Bucket="bucket", CreateBucketConfiguration=where)
        assert error.code == "BucketAlreadyOwnedByYou"
        s3.region = "us-east-1"
        elsewhere = {"LocationConstraint": "us-west-2"}
        s3.ask("CreateBucket", Bucket="there", CreateBucketConfiguration=elsewhere)
        assert s3.refused("CreateBucket", Bucket="there").code == "BucketAlreadyOwnedByYou"
        s3.account = OTHER
        error = s3.refused("CreateBucket", Bucket="bucket")
        assert (error.code, error.status) == ("BucketAlreadyExists", 409)

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({"ObjectLockEnabledForBucket": True}, "NotImplemented"),
            ({"ObjectOwnership": "ObjectWriter"}, "NotImplemented"),
            ({"ObjectOwnership": "Nobody"}, "InvalidArgument"),
            ({"ACL": "public-read"}, "InvalidBucketAclWithObjectOwnership"),
            ({"GrantRead": 'id="x"'}, "InvalidBucketAclWithObjectOwnership"),
            ({"ACL": "fake"}, "InvalidArgument"),
            ({"BucketNamespace": "account-regional"}, "NotImplemented"),
            ({"CreateBucketConfiguration": {"Bucket": {"Type": "Directory"}}}, "NotImplemented"),
            (
                {"CreateBucketConfiguration": {"Tags": [{"Key": "aws:a", "Value": ""}]}},
                "InvalidTag",
            ),
            ({"Bucket": "Not_A_Name"}, "InvalidBucketName"),
        ],
    )
    def test_not(self, members: dict[str, Any], code: str) -> None:
        s3 = S3()
        assert s3.refused("CreateBucket", **{"Bucket": "bucket", **members}).code == code
        assert s3.ask("ListBuckets")["Buckets"] == []

    @pytest.mark.parametrize("acl", ["bucket-owner-read", "bucket-owner-full-control"])
    def test_with_an_acl_of_objects(self, acl: str) -> None:
        """S3 ignores it there; MLflow sends it with its bucket."""
        s3 = S3()
        s3.ask("CreateBucket", Bucket="bucket", ACL=acl)
        assert [each["Name"] for each in s3.ask("ListBuckets")["Buckets"]] == ["bucket"]

    def test_with_what_is_so(self) -> None:
        s3 = S3()
        s3.ask(
            "CreateBucket",
            Bucket="bucket",
            ACL="private",
            ObjectOwnership="BucketOwnerEnforced",
            ObjectLockEnabledForBucket=False,
            BucketNamespace="global",
            CreateBucketConfiguration={"Tags": [{"Key": "team", "Value": "ml"}]},
        )
        assert s3.ask("GetBucketTagging", Bucket="bucket") == {
            "TagSet": [{"Key": "team", "Value": "ml"}]
        }


class TestListed:
    def test_all_at_once(self) -> None:
        s3 = S3()
        for name in ("b-2", "a-1", "b-1"):
            s3.ask("CreateBucket", Bucket=name)
        s3.account = OTHER
        s3.ask("CreateBucket", Bucket="b-0")
        s3.account = ACCOUNT
        said = s3.ask("ListBuckets")
        assert [each["Name"] for each in said["Buckets"]] == ["a-1", "b-1", "b-2"]
        assert said["Buckets"][0].keys() == {"Name", "CreationDate", "BucketArn"}
        assert len(said["Owner"]["ID"]) == 64
        assert said.keys() == {"Buckets", "Owner"}

    def test_by_pages(self) -> None:
        s3 = S3()
        names = [f"bucket-{number}" for number in range(5)]
        for name in names:
            s3.ask("CreateBucket", Bucket=name)
        found, token = [], None
        while True:
            said: dict[str, Any] = {"ContinuationToken": token} if token else {}
            page = s3.ask("ListBuckets", MaxBuckets=2, Prefix="bucket-", **said)
            found += [each["Name"] for each in page["Buckets"]]
            assert page["Prefix"] == "bucket-"
            assert page["Buckets"][0]["BucketRegion"] == "us-east-1"
            token = page.get("ContinuationToken")
            if token is None:
                break
        assert found == names

    def test_by_region(self) -> None:
        s3 = with_bucket("here")
        s3.ask(
            "CreateBucket",
            Bucket="there",
            CreateBucketConfiguration={"LocationConstraint": "us-west-2"},
        )
        found = s3.ask("ListBuckets", BucketRegion="us-west-2")["Buckets"]
        assert [each["Name"] for each in found] == ["there"]
        assert s3.refused("ListBuckets", BucketRegion="not a region").code == "InvalidArgument"

    @pytest.mark.parametrize("members", [{"MaxBuckets": 0}, {"ContinuationToken": "!!"}])
    def test_not(self, members: dict[str, Any]) -> None:
        assert S3().refused("ListBuckets", **members).code == "InvalidArgument"


class TestPlain:
    @pytest.mark.parametrize(("operation", "code"), PLAIN_ERRORS.items())
    def test_what_a_plain_bucket_has_not(self, operation: str, code: str) -> None:
        error = with_bucket().refused(operation, Bucket="bucket")
        assert (error.code, error.status) == (code, 404)
        assert error.members == {"BucketName": "bucket"}

    @pytest.mark.parametrize(("operation", "members"), PLAIN_ANSWERS.items())
    def test_what_a_plain_bucket_says(self, operation: str, members: Mapping[str, Any]) -> None:
        assert with_bucket().ask(operation, Bucket="bucket") == members

    @pytest.mark.parametrize("kind", ["Analytics", "Inventory", "Metrics", "IntelligentTiering"])
    def test_named_configurations(self, kind: str) -> None:
        s3 = with_bucket()
        for verb in ("Get", "Delete"):
            error = s3.refused(f"{verb}Bucket{kind}Configuration", Bucket="bucket", Id="x")
            assert (error.code, error.status) == ("NoSuchConfiguration", 404)
        error = s3.refused(f"PutBucket{kind}Configuration", Bucket="bucket", Id="x")
        assert error.code == "NotImplemented"
        assert kind in error.message

    @pytest.mark.parametrize(
        ("operation", "members"),
        [
            ("PutBucketRequestPayment", {"RequestPaymentConfiguration": {"Payer": "BucketOwner"}}),
            ("PutBucketLogging", {"BucketLoggingStatus": {}}),
            ("PutBucketNotificationConfiguration", {"NotificationConfiguration": {}}),
            ("PutBucketNotification", {"NotificationConfiguration": {}}),
            ("PutBucketAbac", {"AbacStatus": {"Status": "Disabled"}}),
            ("PutBucketAcl", {"ACL": "private"}),
            ("DeleteBucketLifecycle", {}),
            ("DeleteBucketReplication", {}),
            ("DeleteBucketWebsite", {}),
            ("DeleteBucketTagging", {}),
            ("DeleteBucketCors", {}),
            ("DeleteBucketPolicy", {}),
            ("DeleteBucketEncryption", {}),
        ],
    )
    def test_a_put_of_what_is_so_changes_nothing(
        self, operation: str, members: dict[str, Any]
    ) -> None:
        s3 = with_bucket()
        s3.ask(operation, Bucket="bucket", **members)
        for read, code in PLAIN_ERRORS.items():
            assert s3.refused(read, Bucket="bucket").code == code
        for read, said in PLAIN_ANSWERS.items():
            assert s3.ask(read, Bucket="bucket") == said

    @pytest.mark.parametrize(
        ("operation", "members", "named"),
        [
            (
                "PutBucketVersioning",
                {"VersioningConfiguration": {"Status": "Enabled"}},
                "versioning",
            ),
            ("PutBucketVersioning", {"VersioningConfiguration": {"MFADelete": "Enabled"}}, "MFA"),
            ("PutBucketLifecycleConfiguration", {"LifecycleConfiguration": {}}, "lifecycle"),
            ("PutBucketReplication", {"ReplicationConfiguration": {}}, "replication"),
            ("PutBucketWebsite", {"WebsiteConfiguration": {}}, "website"),
            ("PutObjectLockConfiguration", {}, "Object Lock"),
            (
                "PutBucketRequestPayment",
                {"RequestPaymentConfiguration": {"Payer": "Requester"}},
                "Requester",
            ),
            (
                "PutBucketAccelerateConfiguration",
                {"AccelerateConfiguration": {"Status": "Enabled"}},
                "acceleration",
            ),
            ("PutBucketAbac", {"AbacStatus": {"Status": "Enabled"}}, "AbacStatus"),
            (
                "PutBucketLogging",
                {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "x"}}},
                "LoggingEnabled",
            ),
            (
                "PutBucketNotificationConfiguration",
                {"NotificationConfiguration": {"EventBridgeConfiguration": {}}},
                "EventBridge",
            ),
            (
                "PutBucketNotificationConfiguration",
                {"NotificationConfiguration": {"QueueConfigurations": [{"QueueArn": "x"}]}},
                "QueueConfigurations",
            ),
            (
                "PutBucketOwnershipControls",
                {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
                "ObjectWriter",
            ),
        ],
    )
    def test_a_put_of_what_is_not_built_names_it(
        self, operation: str, members: dict[str, Any], named: str
    ) -> None:
        error = with_bucket().refused(operation, Bucket="bucket", **members)
        assert error.code == "NotImplemented"
        assert named in error.message


class TestKept:
    def test_versioning_can_only_be_suspended(self) -> None:
        s3 = with_bucket()
        ask = {"Bucket": "bucket", "VersioningConfiguration": {"Status": "Suspended"}}
        s3.ask("PutBucketVersioning", **ask)
        assert s3.ask("GetBucketVersioning", Bucket="bucket") == {"Status": "Suspended"}
        error = s3.refused("PutBucketVersioning", Bucket="bucket", VersioningConfiguration={})
        assert error.code == "IllegalVersioningConfigurationException"
        wrong = {"Bucket": "bucket", "VersioningConfiguration": {"Status": "enabled"}}
        assert s3.refused("PutBucketVersioning", **wrong).code == "MalformedXML"

    def test_tags(self) -> None:
        s3 = with_bucket()
        tags = [{"Key": "b", "Value": "1"}, {"Key": "a", "Value": ""}]
        put = s3.answer("PutBucketTagging", Bucket="bucket", Tagging={"TagSet": tags})
        assert put.status == 204
        assert s3.ask("GetBucketTagging", Bucket="bucket") == {"TagSet": tags}
        s3.ask("DeleteBucketTagging", Bucket="bucket")
        assert s3.refused("GetBucketTagging", Bucket="bucket").code == "NoSuchTagSet"

    @pytest.mark.parametrize(
        ("rule", "code", "words"),
        [
            ({"AllowedMethods": ["GET"]}, "MalformedXML", ""),
            ({"AllowedOrigins": ["*"]}, "MalformedXML", ""),
            (
                {"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]},
                "InvalidRequest",
                "Unsupported method is PATCH",
            ),
            (
                {"AllowedMethods": ["GET"], "AllowedOrigins": ["http://*.*"]},
                "InvalidRequest",
                "more than one wildcard",
            ),
            (
                {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["x-*"]},
                "InvalidRequest",
                "ExposeHeader",
            ),
        ],
    )
    def test_cors_refused(self, rule: dict[str, Any], code: str, words: str) -> None:
        s3 = with_bucket()
        error = s3.refused(
            "PutBucketCors", Bucket="bucket", CORSConfiguration={"CORSRules": [rule]}
        )
        assert error.code == code
        assert words in error.message
        assert s3.refused("GetBucketCors", Bucket="bucket").code == "NoSuchCORSConfiguration"

    def test_cors(self) -> None:
        s3 = with_bucket()
        rule = {
            "AllowedMethods": ["GET"],
            "AllowedOrigins": ["http://*.example"],
            "MaxAgeSeconds": 3,
        }
        s3.ask("PutBucketCors", Bucket="bucket", CORSConfiguration={"CORSRules": [rule]})
        assert s3.ask("GetBucketCors", Bucket="bucket") == {"CORSRules": [rule]}

    def test_encryption_is_the_default_of_what_is_put(self) -> None:
        s3 = with_bucket()
        kms = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key"}
        rule = {"ApplyServerSideEncryptionByDefault": kms, "BucketKeyEnabled": True}
        s3.ask(
            "PutBucketEncryption",
            Bucket="bucket",
            ServerSideEncryptionConfiguration={"Rules": [rule]},
        )
        said = s3.ask("GetBucketEncryption", Bucket="bucket")
        assert said == {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}
        s3.put("bucket", "by-default")
        head = s3.ask("HeadObject", Bucket="bucket", Key="by-default")
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == "key"
        assert head["BucketKeyEnabled"] is True
        s3.put("bucket", "by-name", ServerSideEncryption="AES256")
        head = s3.ask("HeadObject", Bucket="bucket", Key="by-name")
        assert head["ServerSideEncryption"] == "AES256"
        assert "SSEKMSKeyId" not in head

    def test_public_access_block(self) -> None:
        s3 = with_bucket()
        s3.ask(
            "PutPublicAccessBlock",
            Bucket="bucket",
            PublicAccessBlockConfiguration={"BlockPublicAcls": True},
        )
        said = s3.ask("GetPublicAccessBlock", Bucket="bucket")["PublicAccessBlockConfiguration"]
        assert said == {**dict.fromkeys(BLOCK, False), "BlockPublicAcls": True}
        for _ in range(2):
            s3.ask("DeletePublicAccessBlock", Bucket="bucket")
        error = s3.refused("GetPublicAccessBlock", Bucket="bucket")
        assert (error.code, error.status) == ("NoSuchPublicAccessBlockConfiguration", 404)

    def test_ownership_controls(self) -> None:
        s3 = with_bucket()
        s3.ask("DeleteBucketOwnershipControls", Bucket="bucket")
        error = s3.refused("GetBucketOwnershipControls", Bucket="bucket")
        assert (error.code, error.status) == ("OwnershipControlsNotFoundError", 404)
        rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.ask("PutBucketOwnershipControls", Bucket="bucket", OwnershipControls=rules)
        assert s3.ask("GetBucketOwnershipControls", Bucket="bucket") == {"OwnershipControls": rules}
        wrong: list[Any]
        for wrong in ([], [{}], [{"ObjectOwnership": "x"}], [*rules["Rules"], *rules["Rules"]]):
            said = {"Bucket": "bucket", "OwnershipControls": {"Rules": wrong}}
            assert s3.refused("PutBucketOwnershipControls", **said).code == "MalformedXML"

    def test_acl(self) -> None:
        s3 = with_bucket()
        acl = s3.ask("GetBucketAcl", Bucket="bucket")
        assert acl["Grants"] == [
            {"Grantee": {"Type": "CanonicalUser", **acl["Owner"]}, "Permission": "FULL_CONTROL"}
        ]
        s3.ask("PutBucketAcl", Bucket="bucket", AccessControlPolicy=acl)
        for members, code in (
            ({}, "MissingSecurityHeader"),
            ({"ACL": "public-read"}, "AccessControlListNotSupported"),
            ({"ACL": "fake"}, "InvalidArgument"),
            ({"ACL": "private", "GrantRead": "id=x"}, "InvalidRequest"),
            ({"ACL": "private", "AccessControlPolicy": acl}, "UnexpectedContent"),
            ({"GrantWrite": "id=x"}, "AccessControlListNotSupported"),
            ({"AccessControlPolicy": {}}, "MalformedACLError"),
            ({"AccessControlPolicy": {**acl, "Grants": []}}, "AccessControlListNotSupported"),
            ({"AccessControlPolicy": {**acl, "Owner": {"ID": "x"}}}, "InvalidArgument"),
        ):
            assert s3.refused("PutBucketAcl", Bucket="bucket", **members).code == code

    def test_deleted_only_when_empty(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        error = s3.refused("DeleteBucket", Bucket="bucket")
        assert (error.code, error.status) == ("BucketNotEmpty", 409)
        s3.ask("DeleteObject", Bucket="bucket", Key="key")
        s3.ask("DeleteBucket", Bucket="bucket")
        assert s3.refused("HeadBucket", Bucket="bucket").code == "NoSuchBucket"
