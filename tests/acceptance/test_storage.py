"""S3 at the server's one port: boto3 and the AWS CLI unmodified, by whoever may."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.acceptance.server import Server, run_cli
from tests.acceptance.test_policies import User, refused
from tests.waiting import wait_until

MIB = 1024 * 1024


def s3(server: Server, **options: Any) -> Any:
    """As users make one: nothing is set but whose it is and where."""
    keys = server.credentials
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name=server.region,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        aws_session_token=keys.get("session_token"),
        config=Config(**options),
    )


def emptied(client: Any, bucket: str) -> None:
    """Gone, with all that is in it."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        if keys := [{"Key": each["Key"]} for each in page.get("Contents", ())]:
            client.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    client.delete_bucket(Bucket=bucket)


@pytest.fixture
def bucket(server: Server) -> Iterator[str]:
    client, name = s3(server), f"bucket-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    yield name
    emptied(client, name)


@pytest.fixture
def user(server: Server) -> Iterator[User]:
    made = User(server)
    yield made
    made.forget()


def works(client: Any, bucket: str) -> None:
    """All that an unmodified client does with objects."""
    client.put_object(Bucket=bucket, Key="a/b", Body=b"small", ContentType="text/plain")
    got = client.get_object(Bucket=bucket, Key="a/b")
    assert (got["Body"].read(), got["ContentType"]) == (b"small", "text/plain")
    large = os.urandom(9 * MIB)
    client.upload_fileobj(BytesIO(large), bucket, "large")
    back = BytesIO()
    client.download_fileobj(bucket, "large", back)
    assert back.getvalue() == large
    client.copy({"Bucket": bucket, "Key": "large"}, bucket, "copy")
    assert client.head_object(Bucket=bucket, Key="copy")["ContentLength"] == len(large)
    listed = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in listed] == ["a/b", "copy", "large"]
    named = {"Bucket": bucket, "Key": "a/b"}
    url = client.generate_presigned_url("get_object", named)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"small"
    keys = [{"Key": key} for key in ("a/b", "copy", "large")]
    gone = client.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert len(gone["Deleted"]) == 3
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_root_may_everything(server: Server) -> None:
    client = s3(server, signature_version="s3v4")
    client.create_bucket(Bucket="of-root")
    try:
        works(client, "of-root")
        names = [each["Name"] for each in client.list_buckets()["Buckets"]]
        assert "of-root" in names
    finally:
        emptied(client, "of-root")


def test_a_user_may_what_their_policies_say(server: Server, bucket: str, user: User) -> None:
    mine = s3(user.server, signature_version="s3v4", retries={"total_max_attempts": 1})
    status, code, message = refused(lambda: mine.put_object(Bucket=bucket, Key="k", Body=b""))
    assert (status, code) == (403, "AccessDenied")
    assert f"User: {user.arn} is not authorized to perform: s3:PutObject" in message
    arns = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    user.may({"Effect": "Allow", "Action": "s3:*", "Resource": arns})
    wait_until(lambda: put(mine, bucket))  # control tells within a second
    mine.delete_object(Bucket=bucket, Key="k")
    works(mine, bucket)
    assert refused(mine.list_buckets)[1] == "AccessDenied"
    assert refused(lambda: mine.create_bucket(Bucket="hers"))[1] == "AccessDenied"
    told = audited(server, "--who", user.name, "--denied")
    assert ("s3:PutObject", "AccessDenied") in told
    assert ("s3:CreateBucket", "AccessDenied") in told


def put(client: Any, bucket: str) -> bool:
    try:
        client.put_object(Bucket=bucket, Key="k", Body=b"")
    except ClientError:
        return False
    return True


def audited(server: Server, *options: str) -> list[tuple[str, str]]:
    ran = run_cli("audit", "--output=json", *options, data_dir=server.data_dir)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return [(line["action"], line["outcome"]) for line in lines]


def test_a_session_may_what_its_role_may(server: Server, bucket: str) -> None:
    iam, name = server.client("iam"), f"role-{uuid.uuid4().hex[:8]}"
    account = json.loads((server.data_dir / "endpoint.json").read_text())["account_id"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
        ],
    }
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
    made = User(server)
    try:
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
        made.may({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]})
        given = made.server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="once")
        keys = given["Credentials"]
        session = Server(
            server.data_dir,
            server.url,
            {
                "access_key_id": keys["AccessKeyId"],
                "secret_access_key": keys["SecretAccessKey"],
                "session_token": keys["SessionToken"],
            },
        )
        client = s3(session, signature_version="s3v4", retries={"total_max_attempts": 1})
        wait_until(lambda: put(client, bucket))
        client.delete_object(Bucket=bucket, Key="k")
        works(client, bucket)
        iam.delete_role_policy(RoleName=name, PolicyName="own")
        wait_until(lambda: not put(client, bucket))
        iam.delete_role(RoleName=name)
    finally:
        made.forget()


def test_a_key_that_is_taken_back_is_refused(server: Server, bucket: str, user: User) -> None:
    client = s3(user.server, retries={"total_max_attempts": 1})
    user.may({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    wait_until(lambda: put(client, bucket))
    server.client("iam").update_access_key(
        UserName=user.name, AccessKeyId=user.key_id, Status="Inactive"
    )
    wait_until(lambda: not put(client, bucket))
    assert refused(lambda: client.list_buckets())[1] == "InvalidAccessKeyId"


def test_accounts_do_not_see_each_others_buckets(server: Server, bucket: str) -> None:
    own = server.client("inservice")
    made = own.create_account(AccountName=f"other-{uuid.uuid4().hex[:8]}")
    keys = {"access_key_id": made["AccessKeyId"], "secret_access_key": made["SecretAccessKey"]}
    other = Server(server.data_dir, server.url, keys)
    theirs = s3(other, retries={"total_max_attempts": 1})
    wait_until(lambda: listed(theirs) == [])
    status, code, message = refused(lambda: theirs.list_objects_v2(Bucket=bucket))
    assert (status, code, message) == (403, "AccessDenied", "Access Denied")
    assert refused(lambda: theirs.create_bucket(Bucket=bucket))[1] == "BucketAlreadyExists"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": made["AccountId"]},
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": f"arn:aws:s3:::{bucket}/*",
            }
        ],
    }
    s3(server).put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    theirs.put_object(Bucket=bucket, Key="theirs", Body=b"x")
    assert refused(lambda: theirs.delete_object(Bucket=bucket, Key="theirs"))[1] == "AccessDenied"


def listed(client: Any) -> list[str] | None:
    try:
        return [each["Name"] for each in client.list_buckets()["Buckets"]]
    except ClientError:
        return None


@pytest.mark.long
def test_the_command_line_of_aws(server: Server, tmp_path: Path) -> None:
    if not Path("/usr/bin/aws").exists():
        pytest.skip("Debian's awscli is not installed")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    environment = {
        **clean,
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": server.credentials["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": server.credentials["secret_access_key"],
        "AWS_DEFAULT_REGION": server.region,
    }

    def aws(*words: str) -> str:
        ran = subprocess.run(
            ["/usr/bin/aws", f"--endpoint-url={server.url}", "s3", *words],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    name = f"cli-{uuid.uuid4().hex[:8]}"
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "one.txt").write_text("one")
    (tree / "below" / "two.bin").write_bytes(os.urandom(9 * MIB))
    aws("mb", f"s3://{name}")
    aws("sync", "--quiet", str(tree), f"s3://{name}/tree")
    assert "tree/below/two.bin" in aws("ls", "--recursive", f"s3://{name}")
    back = tmp_path / "back"
    aws("cp", "--quiet", "--recursive", f"s3://{name}/tree", str(back))
    assert (back / "below" / "two.bin").read_bytes() == (tree / "below" / "two.bin").read_bytes()
    aws("rb", "--force", f"s3://{name}")


def test_a_bucket_is_in_the_audit_trail_and_storage_in_the_metrics(
    server: Server, bucket: str
) -> None:
    s3(server).put_object(Bucket=bucket, Key="k", Body=b"12345")
    lines = run_cli("audit", "--output=json", data_dir=server.data_dir).stdout.splitlines()
    mine = [
        line for line in map(json.loads, lines) if f"arn:aws:s3:::{bucket}" in line["resources"]
    ]
    assert [(line["action"], line["outcome"]) for line in mine] == [("s3:CreateBucket", "OK")]
    token = (server.data_dir / "metrics.token").read_text()
    request = urllib.request.Request(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {token}"}
    )

    def page() -> str:
        with urllib.request.urlopen(request) as answer:
            text: str = answer.read().decode()
        return text

    # What is held and asked is told once a second; other tests have asked for the same.
    wait_until(lambda: server.status()["storage"]["buckets"])
    wait_until(
        lambda: 'inservice_storage_requests_total{code_class="2xx",operation="PutObject"}' in page()
    )
    assert "\ninservice_storage_bytes " in page()
    status = server.status()
    assert "storage" in {each["name"] for each in status["processes"]}
    assert status["storage"]["buckets"] >= 1
    assert status["storage"]["quota_bytes"] is None
    said = run_cli("status", data_dir=server.data_dir).stdout
    assert f"S3: {status['storage']['buckets']} buckets, " in said


def test_without_storage_s3_is_elsewhere(start_server: Callable[..., Server]) -> None:
    server = start_server("--storage", "off")
    client = s3(server, retries={"total_max_attempts": 1})
    _, code, message = refused(client.list_buckets)
    assert code == "NotImplemented"
    assert "AWS_ENDPOINT_URL_S3" in message
    assert "storage" not in server.processes()
    assert not (server.data_dir / "storage").exists()
