"""S3 beside moto's, asked the same by boto3, over sequences that are drawn: what both have, both
answer alike. Where they do not, `DIFFERENCES` says how, and no more than that is set aside.

Each sequence has buckets of its own, so that none has to be tidied up.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from tests.depth import examples

from .hosted import hosted

KEYS = ("a", "a/b", "a/c", "a//", "b c", "d+e", "ü", "..")
BODIES = (b"", b"0123456789", b"x" * 300)
RANGES = ("bytes=0-4", "bytes=3-", "bytes=-2", "bytes=0-500", "bytes=400-", "bytes=-0")
TAGS: tuple[dict[str, str], ...] = ({"t": "1"}, {"k": "v w", "l": ""}, {})


@dataclass
class Side:
    """One of the two, and what it calls the things of a sequence."""

    client: Any
    uploads: dict[int, tuple[str, str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One thing that is asked."""

    operation: str
    members: Mapping[str, Any]


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Any, Any]]:
    rival = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    rival.start()
    host, port = rival.get_host_and_port()
    try:
        with hosted() as ours:
            both = (ours.boto(), client(f"http://{host}:{port}"))
            yield both
            for each in both:
                each.close()
    finally:
        rival.stop()


def client(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )


# ── what is asked ────────────────────────────────────────────────────────────────────────────────

buckets = st.sampled_from(("one", "one", "one", "two"))
keys = st.sampled_from(KEYS)
bodies = st.sampled_from(BODIES)


def step(operation: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """`maybe_X` is a member X that is there or not."""
    always = {name: each for name, each in members.items() if not name.startswith("maybe_")}
    maybe = {
        name.removeprefix("maybe_"): each
        for name, each in members.items()
        if name.startswith("maybe_")
    }
    drawn = st.fixed_dictionaries(always, optional=maybe)
    return drawn.map(lambda members: Step(operation, members))


AT_AN_OBJECT = {"Bucket": buckets, "Key": keys}
puts = step(
    "put_object",
    **AT_AN_OBJECT,
    Body=bodies,
    maybe_ContentType=st.sampled_from(("text/plain", "image/png")),
    maybe_Metadata=st.sampled_from(({"a": "b"}, {"x-y": "1 2"})),
    maybe_CacheControl=st.just("no-cache"),
    maybe_Tagging=st.just("t=1&u=2"),
    maybe_StorageClass=st.sampled_from(("STANDARD", "STANDARD_IA")),
    maybe_IfNoneMatch=st.just("*"),
    maybe_ChecksumAlgorithm=st.sampled_from(("CRC32", "SHA256")),
)
objects = st.one_of(
    step("create_bucket", Bucket=buckets),
    step("head_bucket", Bucket=buckets),
    puts,
    step(
        "get_object",
        **AT_AN_OBJECT,
        maybe_Range=st.sampled_from(RANGES),
        maybe_IfMatch=st.sampled_from(("CURRENT", '"other"')),
        maybe_IfNoneMatch=st.sampled_from(("CURRENT", '"other"')),
        maybe_ResponseContentType=st.just("text/html"),
    ),
    step("head_object", **AT_AN_OBJECT, maybe_IfMatch=st.sampled_from(("CURRENT", '"other"'))),
    step("delete_object", **AT_AN_OBJECT),
    step(
        "delete_objects",
        Bucket=buckets,
        Delete=st.builds(
            lambda some, quiet: {"Objects": [{"Key": key} for key in some], "Quiet": quiet},
            st.lists(keys, min_size=1, max_size=3, unique=True),
            st.booleans(),
        ),
    ),
    step(
        "copy_object",
        **AT_AN_OBJECT,
        CopySource=st.builds(lambda b, k: {"Bucket": b, "Key": k}, buckets, keys),
        maybe_MetadataDirective=st.sampled_from(("COPY", "REPLACE")),
        maybe_TaggingDirective=st.just("COPY"),
        maybe_StorageClass=st.just("ONEZONE_IA"),
    ),
    step("get_object_tagging", **AT_AN_OBJECT),
    step("delete_object_tagging", **AT_AN_OBJECT),
    step(
        "put_object_tagging",
        **AT_AN_OBJECT,
        Tagging=st.sampled_from(TAGS).map(
            lambda tags: {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ),
    ),
    step(
        "get_object_attributes",
        **AT_AN_OBJECT,
        ObjectAttributes=st.just(["ETag", "ObjectSize", "StorageClass"]),
    ),
)
listings = st.one_of(
    step(
        "list_objects_v2",
        Bucket=buckets,
        maybe_Prefix=st.sampled_from(("a", "a/", "z")),
        maybe_Delimiter=st.sampled_from(("/", "c")),
        maybe_MaxKeys=st.integers(1, 3),
        maybe_StartAfter=st.sampled_from(("a", "b")),
    ),
    step(
        "list_objects",
        Bucket=buckets,
        maybe_Prefix=st.sampled_from(("a", "a/", "z")),
        maybe_Delimiter=st.sampled_from(("/", "c")),
        maybe_MaxKeys=st.integers(1, 3),
    ),
)
bucket_settings = st.one_of(
    step("delete_bucket", Bucket=buckets),
    step("get_bucket_location", Bucket=buckets),
    step("get_bucket_versioning", Bucket=buckets),
    step("get_bucket_tagging", Bucket=buckets),
    step("delete_bucket_tagging", Bucket=buckets),
    step(
        "put_bucket_tagging",
        Bucket=buckets,
        Tagging=st.just({"TagSet": [{"Key": "team", "Value": "ml"}]}),
    ),
    step("get_bucket_cors", Bucket=buckets),
    step("delete_bucket_cors", Bucket=buckets),
    step(
        "put_bucket_cors",
        Bucket=buckets,
        CORSConfiguration=st.just(
            {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}
        ),
    ),
    step("get_bucket_policy", Bucket=buckets),
    step("get_bucket_lifecycle_configuration", Bucket=buckets),
    step("get_bucket_replication", Bucket=buckets),
    step("get_bucket_website", Bucket=buckets),
    step("get_bucket_request_payment", Bucket=buckets),
)

PARTS = (b"z" * 5 * 1024 * 1024, b"last")


def _upload(
    at: Mapping[str, str], numbers: Sequence[int], *, listed: bool, ended: str
) -> list[Step]:
    """One in parts, with what is asked of it on the way."""
    parts = [
        Step("upload_part", {"PartNumber": number, "Body": PARTS[place == len(numbers) - 1]})
        for place, number in enumerate(numbers)
    ]
    between = [Step("list_parts", {})] if listed else []
    return [Step("create_multipart_upload", at), *parts, *between, Step(ended, {})]


uploads = st.builds(
    _upload,
    st.fixed_dictionaries(AT_AN_OBJECT, optional={"ContentType": st.just("text/plain")}),
    st.sampled_from(((1,), (1, 2), (3, 7), (5,))),
    listed=st.booleans(),
    ended=st.sampled_from(("complete_multipart_upload", "abort_multipart_upload")),
)
first_puts = puts.map(lambda made: [Step(made.operation, {**made.members, "Bucket": "one"})])
episodes = st.one_of(
    *(each.map(lambda made: [made]) for each in (objects, listings, bucket_settings)), uploads
)
sequences = st.tuples(
    st.lists(first_puts, min_size=2, max_size=6), st.lists(episodes, min_size=4, max_size=20)
).map(lambda both: [made for some in (*both[0], *both[1]) for made in some])

# ── where they differ ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Difference:
    """What one operation answers otherwise, and with whom AWS agrees."""

    operation: str
    why: str
    members: tuple[str, ...] = ()  # of the answer; none: the whole of it
    when: Callable[[Mapping[str, Any]], bool] = lambda members: True

    def set_aside(self, made: Step, mine: Any, rivals: Any) -> tuple[Any, Any]:
        """Both answers without it."""
        if made.operation != self.operation or not self.when(made.members):
            return mine, rivals
        if not self.members:
            return (None, None) if rivals == ("500", 500) else (mine, rivals)
        if isinstance(mine, dict) and isinstance(rivals, dict):
            for name in self.members:
                mine, rivals = ({**each, name: None} for each in (mine, rivals))
        return mine, rivals


DIFFERENCES = (
    Difference("get_bucket_request_payment", "moto's answer has no Payer in it", ("Payer",)),
    Difference("list_objects", "AWS tells a prefix that is empty, moto none", ("Prefix",)),
    Difference(
        "list_objects",
        "AWS counts common prefixes among MaxKeys, moto keys alone",
        ("CommonPrefixes", "IsTruncated", "NextMarker"),
        lambda members: "Delimiter" in members and "MaxKeys" in members,
    ),
    Difference(
        "list_objects",
        "AWS tells NextMarker beside a delimiter only, moto always, and as a digest",
        ("NextMarker",),
    ),
    Difference(
        "delete_objects",
        "quietly, AWS tells nothing of what was deleted",
        ("Deleted",),
        lambda members: members["Delete"]["Quiet"],
    ),
    Difference("delete_object_tagging", "moto fails if the object is not there"),
    Difference("put_object_tagging", "moto fails if there are no tags"),
    Difference("upload_part", "moto fails if the upload is not there"),
)
"""In each of them AWS answers as is answered here."""


# ── asked ────────────────────────────────────────────────────────────────────────────────────────


def test_both_answer_alike(sides: tuple[Any, Any]) -> None:
    numbers = itertools.count()

    @settings(max_examples=examples(90), deadline=None, suppress_health_check=list(HealthCheck))
    @given(sequences)
    def alike(drawn: Sequence[Step]) -> None:
        number = next(numbers)
        ours, theirs = (Side(each) for each in sides)
        for made in (Step("create_bucket", {"Bucket": "one"}), *drawn):
            mine, rivals = (asked(side, made, number) for side in (ours, theirs))
            for difference in DIFFERENCES:
                mine, rivals = difference.set_aside(made, mine, rivals)
            assert mine == rivals, f"{made}: {mine} here, {rivals} there"

    alike()


def asked(side: Side, made: Step, number: int) -> Any:
    """What one of them answers, as far as it is compared."""
    members = dict(made.members)
    if made.operation in OF_UPLOADS:
        if not side.uploads:
            return None
        bucket, key, upload_id = side.uploads[max(side.uploads)]
        members |= {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        if made.operation == "complete_multipart_upload":
            listed = answered(side.client.list_parts, members)
            parts = listed.get("Parts", ()) if isinstance(listed, dict) else ()
            members["MultipartUpload"] = {
                "Parts": [{name: part[name] for name in ("PartNumber", "ETag")} for part in parts]
            }
            if not parts:
                return None
    else:
        members["Bucket"] = f"{members['Bucket']}-{number}"
        if "CopySource" in members:
            source = members["CopySource"]
            members["CopySource"] = {**source, "Bucket": f"{source['Bucket']}-{number}"}
    for name in ("IfMatch", "IfNoneMatch"):
        if members.get(name) == "CURRENT":
            there = {name: members[name] for name in ("Bucket", "Key")}
            head = answered(side.client.head_object, there)
            members[name] = head["ETag"] if isinstance(head, dict) else '"other"'
    said = answered(getattr(side.client, made.operation), members)
    if made.operation == "create_multipart_upload" and isinstance(said, dict):
        side.uploads[len(side.uploads)] = (members["Bucket"], members["Key"], said["UploadId"])
    return compared(made.operation, said)


OF_UPLOADS = ("upload_part", "list_parts", "complete_multipart_upload", "abort_multipart_upload")


def answered(function: Callable[..., Any], members: Mapping[str, Any]) -> Any:
    """The members of an answer; of a refusal its code and status."""
    try:
        said = function(**members)
    except ClientError as error:
        answer = error.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]
    said["status"] = said.pop("ResponseMetadata")["HTTPStatusCode"]
    if "Body" in said:
        said["Body"] = said["Body"].read()
    return dict(said)


COMPARED: Mapping[str, Sequence[str]] = {
    "put_object": ("ETag",),
    "get_object": (
        *("Body", "ETag", "ContentLength", "ContentRange", "ContentType", "CacheControl"),
        *("Metadata", "StorageClass", "TagCount", "AcceptRanges"),
    ),
    "head_object": (
        *("ETag", "ContentLength", "ContentType", "CacheControl", "Metadata", "StorageClass"),
    ),
    "delete_objects": ("Deleted", "Errors"),
    "copy_object": ("CopyObjectResult.ETag",),
    "list_objects_v2": (
        *("KeyCount", "IsTruncated", "MaxKeys", "Prefix", "Delimiter", "StartAfter"),
        *("CommonPrefixes", "Contents.Key", "Contents.Size", "Contents.ETag"),
        "Contents.StorageClass",
    ),
    "list_objects": (
        *("IsTruncated", "MaxKeys", "Prefix", "Delimiter", "NextMarker"),
        *("CommonPrefixes", "Contents.Key", "Contents.Size", "Contents.ETag"),
    ),
    "get_object_tagging": ("TagSet",),
    "get_object_attributes": ("ETag", "ObjectSize", "StorageClass"),
    "get_bucket_location": ("LocationConstraint",),
    "get_bucket_versioning": ("Status",),
    "get_bucket_tagging": ("TagSet",),
    "get_bucket_cors": ("CORSRules",),
    "get_bucket_request_payment": ("Payer",),
    "upload_part": ("ETag",),
    "list_parts": ("Parts.PartNumber", "Parts.Size", "Parts.ETag", "IsTruncated"),
    "complete_multipart_upload": ("ETag", "Key"),
}
"""Of each answer, what is compared beside its status."""


def compared(operation: str, said: Any) -> Any:
    if not isinstance(said, dict):
        return said
    members = {name: _at(said, name) for name in COMPARED.get(operation, ())}
    return {"status": said["status"], **members}


def _at(said: Mapping[str, Any], path: str) -> Any:
    name, _, rest = path.partition(".")
    value = said.get(name)
    if rest and isinstance(value, list):
        return [_at(each, rest) for each in value]
    return _at(value, rest) if rest and value is not None else value
