"""Who may do what: the caller's policies and the bucket's, asked over the wire."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.identity.principal import Session, role_session
from inservice.routing.table import SessionRoute

from ..gateway.rig import KEY, run
from .rig import (
    ANA,
    EVE,
    KEY_OF_ANA,
    KEY_OF_EVE,
    ROOT_OF_OTHER,
    Storage,
    allow,
    called,
    deny,
    held,
    policy,
    storage,
)

BUCKET, OBJECTS = "arn:aws:s3:::mine", "arn:aws:s3:::mine/*"


async def said(function: Any, **arguments: Any) -> str:
    """The code of the error, and its message; "" without one."""
    try:
        await called(function, **arguments)
    except ClientError as error:
        return "{Code}: {Message}".format(**error.response["Error"])
    return ""


async def made(rig: Storage) -> Any:
    """Root's client, who has a bucket with an object in it."""
    root = rig.boto()
    await called(root.create_bucket, Bucket="mine")
    await called(root.put_object, Bucket="mine", Key="a/b", Body=b"x", Tagging="team=red")
    return root


async def gives(root: Any, *statements: Mapping[str, Any], public: bool = False) -> None:
    if public:
        await called(root.delete_public_access_block, Bucket="mine")
    await called(root.put_bucket_policy, Bucket="mine", Policy=policy(*statements))


def test_who_holds_nothing_is_refused_in_words_that_say_why() -> None:
    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            ana = rig.boto(KEY_OF_ANA)
            assert await said(ana.get_object, Bucket="mine", Key="a/b") == (
                f"AccessDenied: User: {ANA} is not authorized to perform: s3:GetObject on "
                'resource: "arn:aws:s3:::mine/a/b" because no identity-based policy allows the '
                "s3:GetObject action"
            )
            assert rig.audited()[-1] == ("s3:GetObject", "AccessDenied")

    run(test)


def test_a_user_may_what_their_policies_say_and_nothing_else() -> None:
    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            ana = rig.boto(KEY_OF_ANA)
            listing = {"StringLike": {"s3:prefix": "a/*"}}
            rig.may(
                allow("s3:GetObject", on="arn:aws:s3:::mine/a/*"),
                allow("s3:ListBucket", on=BUCKET, Condition=listing),
                allow("s3:PutObject", on=OBJECTS),
                deny("s3:PutObject", on="arn:aws:s3:::mine/a/*"),
            )
            got = await called(ana.get_object, Bucket="mine", Key="a/b")
            assert await asyncio.to_thread(got["Body"].read) == b"x"
            await called(ana.list_objects_v2, Bucket="mine", Prefix="a/")
            await called(ana.put_object, Bucket="mine", Key="c", Body=b"y")
            for refused in (
                said(ana.list_objects_v2, Bucket="mine"),
                said(ana.get_object, Bucket="mine", Key="c"),
                said(ana.delete_object, Bucket="mine", Key="a/b"),
                said(ana.put_object, Bucket="mine", Key="a/b", Body=b"z"),
                said(ana.put_object, Bucket="mine", Key="d", Body=b"z", Tagging="a=b"),
                said(ana.list_buckets),
                said(ana.create_bucket, Bucket="another"),
                said(ana.put_bucket_policy, Bucket="mine", Policy=policy()),
            ):
                assert (await refused).startswith("AccessDenied")
            assert "explicit deny" in await said(ana.put_object, Bucket="mine", Key="a/z", Body=b"")

    run(test)


def test_each_key_of_a_bulk_delete_is_asked_for() -> None:
    async def test() -> None:
        async with storage() as rig:
            root = await made(rig)
            await called(root.put_object, Bucket="mine", Key="c", Body=b"y")
            rig.may(allow("s3:DeleteObject", on="arn:aws:s3:::mine/a/*"))
            ana = rig.boto(KEY_OF_ANA)
            both = {"Objects": [{"Key": "a/b"}, {"Key": "c"}]}
            answer = await called(ana.delete_objects, Bucket="mine", Delete=both)
            assert [each["Key"] for each in answer["Deleted"]] == ["a/b"]
            assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("c", "AccessDenied")]
            assert rig.audited()[-1] == ("s3:DeleteObject", "AccessDenied")

    run(test)


def test_who_may_not_list_is_not_told_what_is_missing() -> None:
    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            ana = rig.boto(KEY_OF_ANA)
            rig.may(allow("s3:GetObject"))
            assert (await said(ana.get_object, Bucket="mine", Key="no")).startswith("AccessDenied")
            assert (await said(ana.head_object, Bucket="mine", Key="no")).startswith("403")
            rig.may(allow("s3:GetObject", "s3:ListBucket"))
            assert (await said(ana.get_object, Bucket="mine", Key="no")).startswith("NoSuchKey")

    run(test)


def test_tags_of_an_object_decide() -> None:
    async def test() -> None:
        async with storage() as rig:
            root = await made(rig)
            await called(root.put_object, Bucket="mine", Key="blue", Body=b"", Tagging="team=blue")
            red = {"StringEquals": {"s3:ExistingObjectTag/team": "red"}}
            rig.may(allow("s3:GetObject", Condition=red))
            ana = rig.boto(KEY_OF_ANA)
            assert await said(ana.get_object, Bucket="mine", Key="a/b") == ""
            assert (await said(ana.get_object, Bucket="mine", Key="blue")).startswith("AccessDen")

    run(test)


def test_a_copy_needs_both_ends() -> None:
    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            ana = rig.boto(KEY_OF_ANA)
            copy = {"Bucket": "mine", "Key": "c", "CopySource": "mine/a/b"}
            rig.may(allow("s3:PutObject", "s3:ListBucket"))
            assert (await said(ana.copy_object, **copy)).startswith("AccessDenied")
            rig.may(allow("s3:PutObject", "s3:GetObject*", "s3:ListBucket"))
            assert await said(ana.copy_object, **copy) == ""

    run(test)


def test_another_account_needs_the_policy_of_the_bucket_and_its_own() -> None:
    async def test() -> None:
        async with storage() as rig:
            root = await made(rig)
            other, eve = rig.boto(ROOT_OF_OTHER), rig.boto(KEY_OF_EVE)
            assert await said(other.get_object, Bucket="mine", Key="a/b") == (
                "AccessDenied: Access Denied"
            )
            assert (await said(other.create_bucket, Bucket="mine")).startswith("BucketAlreadyExist")
            assert (await called(other.list_buckets))["Buckets"] == []
            reading = allow("s3:GetObject", on=OBJECTS, Principal={"AWS": ROOT_OF_OTHER.account})
            await gives(root, reading)
            assert await said(other.get_object, Bucket="mine", Key="a/b") == ""
            assert (await said(other.put_object, Bucket="mine", Key="c")).startswith("AccessDenied")
            assert (await said(eve.get_object, Bucket="mine", Key="a/b")).startswith("AccessDenied")
            rig.may(eve=[allow("s3:GetObject")])
            assert await said(eve.get_object, Bucket="mine", Key="a/b") == ""
            await gives(root, {**reading, "Principal": {"AWS": EVE}})
            rig.may()
            assert (await said(eve.get_object, Bucket="mine", Key="a/b")).startswith("AccessDenied")

    run(test)


def test_a_bucket_denies_its_own_account_but_never_locks_its_root_out() -> None:
    async def test() -> None:
        async with storage() as rig:
            root = await made(rig)
            await gives(root, deny("s3:*", on=[BUCKET, OBJECTS], Principal={"AWS": "*"}))
            refused = await said(root.get_object, Bucket="mine", Key="a/b")
            assert "with an explicit deny in a resource-based policy" in refused
            assert (await called(root.get_bucket_policy, Bucket="mine"))["Policy"]
            await called(root.delete_bucket_policy, Bucket="mine")
            assert await said(root.get_object, Bucket="mine", Key="a/b") == ""

    run(test)


def test_anybody_gets_what_a_public_policy_gives() -> None:
    async def test() -> None:
        async with storage() as rig:
            root = await made(rig)
            url = f"http://127.0.0.1:{rig.gateway.port}/mine/a/b"
            nobody = rig.boto(None)
            assert await status_of(url) == 403
            public = allow("s3:GetObject", on=OBJECTS, Principal="*")
            assert (await said_of_putting(root, public)).startswith("AccessDenied")
            await gives(root, public, public=True)
            assert await status_of(url) == 200
            assert await said(nobody.get_object, Bucket="mine", Key="a/b") == ""
            for refused in (
                said(nobody.put_object, Bucket="mine", Key="c", Body=b""),
                said(nobody.list_objects_v2, Bucket="mine"),
                said(nobody.get_object, Bucket="mine", Key="absent"),
                said(nobody.create_bucket, Bucket="another"),
                said(nobody.list_buckets),
                said(nobody.create_multipart_upload, Bucket="mine", Key="k"),
            ):
                assert (await refused).startswith("AccessDenied")
            restricted = {
                "BlockPublicAcls": False,
                "IgnorePublicAcls": False,
                "BlockPublicPolicy": False,
                "RestrictPublicBuckets": True,
            }
            await called(
                root.put_public_access_block,
                Bucket="mine",
                PublicAccessBlockConfiguration=restricted,
            )
            assert await status_of(url) == 403

    run(test)


async def said_of_putting(root: Any, statement: Mapping[str, Any]) -> str:
    return await said(root.put_bucket_policy, Bucket="mine", Policy=policy(statement))


async def status_of(url: str) -> int:
    def get() -> int:
        try:
            with urllib.request.urlopen(url) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    return await asyncio.to_thread(get)


def test_a_bucket_that_is_not_there_is_that_to_everybody_but_strangers() -> None:
    """Who signs may ask for a name, as on AWS. Strangers do not learn which there are."""

    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            for key in (KEY, KEY_OF_ANA, KEY_OF_EVE):
                told = await said(rig.boto(key).get_object, Bucket="none", Key="k")
                assert told.startswith("NoSuchBucket")
            nobody = rig.boto(None)
            for bucket in ("none", "mine"):
                for asked in (
                    said(nobody.get_object, Bucket=bucket, Key="a/b"),
                    said(nobody.get_object, Bucket=bucket, Key="k" * 1100),
                    said(nobody.list_objects_v2, Bucket=bucket),
                    said(nobody.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "k"}]}),
                    said(nobody.put_bucket_policy, Bucket=bucket, Policy="{"),
                ):
                    assert (await asked).startswith("AccessDenied")

    run(test)


@pytest.mark.parametrize("target", ["/mine?delete", "/none?delete", "/mine/k", "/"])
def test_a_stranger_whom_no_policy_could_speak_for_sends_no_body(target: str) -> None:
    """And leaves no line in the audit trail, which they could fill."""

    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            before = rig.audited()
            reader, writer = await rig.gateway.connect()
            method = "POST" if "?" in target else "PUT"
            writer.write(
                f"{method} {target} HTTP/1.1\r\nHost: h\r\namz-sdk-request: attempt=1\r\n"
                "Content-Length: 8000000\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 403")
            assert rig.audited() == before

    run(test)


def test_an_owner_that_is_expected_is_held() -> None:
    async def test() -> None:
        async with storage() as rig:
            root = await made(rig)
            expected = {"Bucket": "mine", "ExpectedBucketOwner": KEY.account}
            assert await said(root.head_bucket, **expected) == ""
            expected["ExpectedBucketOwner"] = ROOT_OF_OTHER.account
            assert (await said(root.list_objects_v2, **expected)).startswith("AccessDenied")
            assert (await said(root.put_object, Key="k", **expected)).startswith("AccessDenied")

    run(test)


def test_a_key_that_control_takes_back_is_nobodys() -> None:
    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            rig.tell([ROOT_OF_OTHER], {})
            assert (await said(rig.boto().list_buckets)).startswith("InvalidAccessKeyId")

    run(test)


def test_a_session_may_what_its_role_may_within_what_it_was_begun_with() -> None:
    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            who = role_session(KEY.account, "reader", "once", role_id="AROAX")
            inline = policy(allow("s3:GetObject", on="arn:aws:s3:::mine/a/*"))
            terms = Session(who, issued_at=0.0, expires_at=2e9, policy=inline)
            key = SessionRoute(
                *("ASIAX", "secret", KEY.account, who.arn, "token", 2e9),
                session=json.dumps(terms.to_plain()),
            )
            role = json.loads(held(who.role_arn, KEY.account, allow("s3:*")))
            role["principal"] = [KEY.account, who.role_arn, "AROAX", ""]
            rig.tell([KEY], {who.role_arn: json.dumps(role)})
            table = rig.told.table
            rig.told.table = type(table)(
                table.version, {}, table.keys, table.authorities, {}, {key.id: key}
            )
            session = rig.boto(key)
            assert await said(session.get_object, Bucket="mine", Key="a/b") == ""
            assert (await said(session.put_object, Bucket="mine", Key="a/c", Body=b"")).startswith(
                "AccessDenied"
            )

    run(test)


def test_what_is_done_to_buckets_is_in_the_audit_trail_before_it_is_answered() -> None:
    async def test() -> None:
        async with storage() as rig:
            root = await made(rig)
            await called(root.put_bucket_tagging, Bucket="mine", Tagging={"TagSet": []})
            assert (await said(root.delete_bucket, Bucket="mine")).startswith("BucketNotEmpty")
            assert rig.audited() == [
                ("s3:CreateBucket", "OK"),
                ("s3:PutBucketTagging", "OK"),
                ("s3:DeleteBucket", "BucketNotEmpty"),
            ]

    run(test)


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:getobject", "s3:Get*", "*"])
def test_actions_are_matched_as_iam_matches_them(action: str) -> None:
    async def test() -> None:
        async with storage() as rig:
            await made(rig)
            rig.may(allow(action))
            ana = rig.boto(KEY_OF_ANA)
            assert await said(ana.get_object, Bucket="mine", Key="a/b") == ""

    run(test)
