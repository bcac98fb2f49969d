"""botocore is the oracle for S3 as well: what it sends we read, what we send it reads, for every
operation of the model; and what no client of AWS's sends is refused in S3's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inservice.aws import rest_xml, xml_errors
from inservice.aws.s3_requests import Asked
from inservice.errors import AccessDeniedException, AwsError, InternalFailure, NotImplementedYet
from inservice.identity.sigv4.s3 import s3_query_pairs
from inservice.s3_errors import (
    InvalidArgument,
    InvalidBucketName,
    InvalidRequest,
    InvalidStorageClass,
    InvalidURI,
    KeyTooLongError,
    MalformedXML,
    MethodNotAllowed,
    NoSuchKey,
    NotModified,
)
from tests.depth import examples
from tests.wire.s3_model import routes, service
from tests.wire.values import as_seconds, theirs

OF_OTHER_HOSTS = {
    "ListDirectoryBuckets": "asked of the host of S3 Express",
    "WriteGetObjectResponse": "asked of the host of S3 Object Lambda",
}
SUCCESSORS = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
"""Deprecated operations → those that are asked for in the same way."""

STREAMED = {"SelectObjectContent": "members in the root, events in the answer; not built"}
NAMES = [name for name in theirs("s3").operation_names if name not in OF_OTHER_HOSTS]
BUILT = [name for name in NAMES if name not in {**SUCCESSORS, **STREAMED}]

few = settings(
    max_examples=examples(12),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def parser(name: str) -> rest_xml.Parser:
    return rest_xml.Parser(service(), service().operations[name])


# ── members, as S3 takes them ────────────────────────────────────────────────────────────────────

_PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=",")
_IN_HEADER = st.text(_PRINTABLE, min_size=1, max_size=10)
_IN_QUERY = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_KEYS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(
        ["a//b", "..", "/x", "a/../b/", "a+b", "a b", "%2F", "%", "\x00", "?", "#", "/"]
    ),
)
_IN_XML = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\n\t<>&'\""),
    max_size=10,
)
_BUCKETS = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,8}[a-z0-9]", fullmatch=True)
_SECONDS = st.integers(0, 4_102_444_800).map(lambda s: datetime.fromtimestamp(s, UTC))
_MOMENTS = st.integers(0, 4_102_444_800_000).map(
    lambda ms: datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
)
_RANGES = {"PartNumber": (1, 10_000)}


def members_of(shape: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Members of an input or output, each as its place can say it."""
    if shape is None:
        return st.just({})
    needed: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, member in shape.members.items():
        if name == "Body" or "AnnotationPayload" in name:
            continue  # they stream
        place = member.serialization.get("location", "xml")
        strategy = _value(member, name, place, 0)
        (needed if name in shape.required_members else optional)[name] = strategy
    return st.fixed_dictionaries(needed, optional=optional)


def _value(shape: Any, name: str, place: str, depth: int) -> st.SearchStrategy[Any]:
    if place == "uri":
        return _BUCKETS if name == "Bucket" else _KEYS
    if getattr(shape, "enum", None):
        return st.sampled_from(shape.enum)
    if shape.type_name == "structure":
        return _structure(shape, depth)
    if shape.type_name == "list":
        element = _value(shape.member, name, place, depth + 1)
        return st.lists(element, min_size=1, max_size=2)
    if shape.type_name == "map":
        key = st.from_regex(r"[a-z0-9-]{1,6}", fullmatch=True)
        return st.dictionaries(key, _IN_HEADER, min_size=1, max_size=2)
    if shape.type_name in ("integer", "long"):
        bits = 31 if shape.type_name == "integer" else 63
        least, most = _RANGES.get(name, (0, 2**bits - 1))
        low, high = shape.metadata.get("min", least), shape.metadata.get("max", most)
        return st.integers(int(low), int(high))
    if shape.type_name == "timestamp":
        return _SECONDS if place != "xml" or "timestampFormat" in shape.serialization else _MOMENTS
    if shape.type_name == "string":
        return _IN_HEADER if name.startswith("Response") else _text(shape, place)
    return {"boolean": st.booleans(), "blob": st.binary(max_size=9)}[shape.type_name]


def _structure(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    members = {
        name: _value(member, name, "xml", depth + 1)
        for name, member in shape.members.items()
        if depth < 6 or name in shape.required_members
    }
    if getattr(shape, "is_tagged_union", False):
        return st.one_of([st.fixed_dictionaries({name: one}) for name, one in members.items()])
    needed = {name: members[name] for name in shape.required_members}
    optional = {name: one for name, one in members.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=optional)


def _text(shape: Any, place: str) -> st.SearchStrategy[str]:
    if place != "xml":
        return _IN_HEADER if place == "header" else _IN_QUERY
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 2**31)
    return _IN_XML.map(lambda text: text.ljust(least, "x")).filter(lambda text: len(text) <= most)


def sent(members: Mapping[str, Any], operation: OperationModel) -> tuple[Asked, bytes]:
    """What botocore sends, as it arrives."""
    serializer = create_serializer("rest-xml", include_validation=False)
    request = serializer.serialize_to_request(dict(members), operation)
    prepare_request_dict(request, endpoint_url="http://h", context={})
    prepared = create_request_object(request).prepare()
    target = urlsplit(prepared.url)
    fields = {
        name.lower().encode(): value if isinstance(value, bytes) else str(value).encode("latin-1")
        for name, value in prepared.headers.items()
    }
    body = prepared.body or b""
    assert isinstance(body, bytes)
    path, pairs = target.path.encode(), s3_query_pairs(target.query.encode())
    return routes().asked(prepared.method, path, pairs, fields), body


def read(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What an operation is given of what botocore sends."""
    asked, body = sent(members, theirs("s3").operation_model(name))
    assert asked.operation == SUCCESSORS.get(name, name)
    parse = parser(name)
    found = parse.head(asked)
    if parse.takes in ("document", "text") and (body or parse.takes == "text"):
        found.update(parse.document(body))
    return found


def expected(members: dict[str, Any]) -> dict[str, Any]:
    """Members as operations are given them: moments in seconds, Expires as text."""
    told = as_seconds(members)
    for name in ("Expires", "ResponseExpires"):
        if name in told:
            told[name] = formatdate(told[name], usegmt=True)
    return {name: _without_empty_lists(value) for name, value in told.items()}


def _without_empty_lists(value: Any) -> Any:
    """A flattened list that is empty leaves no trace in XML; another leaves its own element."""
    match value:
        case dict():
            return {key: _without_empty_lists(item) for key, item in value.items() if item != []}
        case list():
            return [_without_empty_lists(item) for item in value]
        case _:
            return value


# ── which operation ──────────────────────────────────────────────────────────────────────────────


def smallest(shape: Any) -> dict[str, Any]:
    """Members that have to be there."""
    if shape is None:
        return {}
    examples_of = {"string": "x", "integer": 3, "timestamp": datetime(2026, 1, 1, tzinfo=UTC)}
    found: dict[str, Any] = {}
    for name in shape.required_members:
        member: Any = shape.members[name]
        match member.type_name:
            case "structure":
                found[name] = smallest(member)
            case "list":
                found[name] = []
            case "blob":
                found[name] = b""
            case kind:
                found[name] = (getattr(member, "enum", None) or [examples_of.get(kind, 1)])[0]
    return {**found, **({"ObjectAttributes": ["ETag"]} if "ObjectAttributes" in found else {})}


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_of_the_model_is_told_apart(name: str) -> None:
    operation = theirs("s3").operation_model(name)
    asked, _ = sent(smallest(operation.input_shape), operation)
    assert asked.operation == SUCCESSORS.get(name, name)


@pytest.mark.parametrize("name", NAMES)
def test_no_other_parameter_is_called_as_a_subresource(name: str) -> None:
    """Else a request that gives one would be taken for another operation."""
    shape = theirs("s3").operation_model(name).input_shape
    places: Any = {} if shape is None else shape.members
    called = {
        member.serialization.get("name", key)
        for key, member in places.items()
        if member.serialization.get("location") == "querystring"
        and key not in getattr(shape, "required_members", ())
    }
    assert not called & routes().subresources


@few
@given(_BUCKETS, _KEYS)
def test_a_bucket_in_the_host_leaves_the_path_to_the_key(bucket: str, key: str) -> None:
    operation = theirs("s3").operation_model("GetObject")
    asked, _ = sent({"Bucket": bucket, "Key": key}, operation)
    serializer = create_serializer("rest-xml", include_validation=False)
    url = serializer.serialize_to_request({"Bucket": bucket, "Key": key}, operation)["url_path"]
    raw = url.encode().removeprefix(b"/" + bucket.encode())
    hosted = routes().asked("GET", raw, [], {}, bucket)
    assert (hosted.bucket, hosted.key) == (asked.bucket, asked.key) == (bucket, key)


def asked(method: str, target: str, **fields: str) -> Asked:
    path, _, query = target.encode().partition(b"?")
    named = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    return routes().asked(method, path, s3_query_pairs(query), named)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("a//b", "a//b"),
        ("/a", "/a"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("a/./b/..", "a/./b/.."),
        ("%2e%2e%2f", "../"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("%00", "\x00"),
        ("a%0D%0Ab", "a\r\nb"),
        ("%C3%A4%F0%9F%98%80", "ä😀"),
        ("a%3Fb%23", "a?b#"),
        ("a;b=c,d", "a;b=c,d"),
        ("a/", "a/"),
        ("%41" * 1024, "A" * 1024),
    ],
)
def test_a_key_is_decoded_once_and_left_as_it_is(raw: str, key: str) -> None:
    found = asked("GET", f"/bucket/{raw}")
    assert (found.operation, found.bucket, found.key) == ("GetObject", "bucket", key)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/bucket/%", InvalidURI),
        ("/bucket/%zz", InvalidURI),
        ("/bucket/%4", InvalidURI),
        ("/bucket/%FF", InvalidURI),
        ("/bucket/%C0%AF", InvalidURI),
        ("/bucket/%ED%A0%80", InvalidURI),
        ("/%FF/key", InvalidURI),
        ("bucket/key", InvalidURI),
        ("*", InvalidURI),
        ("/bucket/" + "a" * 1025, KeyTooLongError),
        ("/bucket/" + "%C3%A4" * 513, KeyTooLongError),
        ("//key", InvalidBucketName),
        ("/..%2F..%2F/key", InvalidBucketName),
        ("/bu*cket", InvalidBucketName),
        ("/bu:cket", InvalidBucketName),
        ("/bu%00cket", InvalidBucketName),
        ("/bu+cket", InvalidBucketName),
        ("/" + "a" * 256, InvalidBucketName),
    ],
)
def test_a_path_that_names_nothing(target: str, kind: type[AwsError]) -> None:
    with pytest.raises(kind):
        asked("GET", target)


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("GET", "/", "ListBuckets"),
        ("GET", "/?x-id=ListBuckets", "ListBuckets"),
        ("GET", "/bucket", "ListObjects"),
        ("GET", "/bucket/", "ListObjects"),
        ("GET", "/bucket/?list-type=2", "ListObjectsV2"),
        ("GET", "/bucket?list-type=1", "ListObjects"),
        ("GET", "/bucket?prefix=uploads", "ListObjects"),
        ("GET", "/bucket?uploads", "ListMultipartUploads"),
        ("GET", "/bucket?uploads=", "ListMultipartUploads"),
        ("GET", "/bucket/key?x-id=GetObject&partNumber=2", "GetObject"),
        ("GET", "/bucket/key?uploadId=u", "ListParts"),
        ("GET", "/bucket?analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "/bucket?analytics&id=x", "GetBucketAnalyticsConfiguration"),
        ("GET", "/bucket?nothing-we-know", "ListObjects"),
        ("PUT", "/bucket/key?uploadId=u", "UploadPart"),
        ("DELETE", "/bucket/key?uploadId=u", "AbortMultipartUpload"),
    ],
)
def test_what_a_query_says(method: str, target: str, operation: str) -> None:
    assert asked(method, target).operation == operation


def test_a_copy_is_told_by_its_header() -> None:
    assert asked("PUT", "/b/k").operation == "PutObject"
    assert asked("PUT", "/b/k", x_amz_copy_source="b/s").operation == "CopyObject"
    part = "/b/k?partNumber=1&uploadId=u"
    assert asked("PUT", part).operation == "UploadPart"
    assert asked("PUT", part, x_amz_copy_source="b/s").operation == "UploadPartCopy"


@pytest.mark.parametrize(
    ("method", "target", "kind", "words"),
    [
        ("POST", "/", MethodNotAllowed, "SERVICE"),
        ("HEAD", "/", MethodNotAllowed, "SERVICE"),
        ("PATCH", "/bucket/key", MethodNotAllowed, "OBJECT"),
        ("POST", "/bucket/key", MethodNotAllowed, "OBJECT"),
        ("POST", "/bucket", MethodNotAllowed, "BUCKET"),
        ("POST", "/bucket?policy", MethodNotAllowed, "POLICY"),
        ("DELETE", "/bucket?uploads", MethodNotAllowed, "UPLOADS"),
        ("GET", "/bucket/key?uploads", MethodNotAllowed, "UPLOADS"),
        ("GET", "/bucket?acl&policy", InvalidArgument, "Conflicting query string parameters: acl,"),
        ("PUT", "/bucket/key?tagging&uploadId=u", InvalidArgument, "Conflicting"),
        ("PUT", "/bucket/key?partNumber=1", InvalidArgument, "without uploadId"),
        ("GET", "/bucket?prefix=a&prefix=b", InvalidArgument, "given twice"),
        ("GET", "/bucket?prefix=%FF", InvalidArgument, "not UTF-8"),
    ],
)
def test_what_is_asked_for_in_no_way_of_s3_s(
    method: str, target: str, kind: type[AwsError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        asked(method, target)
    assert words in f"{caught.value.message} {caught.value.members}"


def test_a_form_that_a_browser_posts_is_refused_by_name() -> None:
    for target in ("/bucket", "/bucket/", "/bucket/key"):
        with pytest.raises(NotImplementedYet, match="POST forms of S3"):
            asked("POST", target, content_type="Multipart/Form-Data; boundary=x")


def test_headers_in_a_presigned_url_are_headers() -> None:
    found = asked(
        "PUT",
        "/b/k?X-Amz-Algorithm=A&X-Amz-Credential=C&x-amz-acl=private&X-Amz-Meta-A=1"
        "&X-Amz-Copy-Source=b%2Fs&X-Amz-Date=D&X-Amz-Security-Token=T",
    )
    assert found.operation == "CopyObject"
    assert found.fields == {
        b"x-amz-acl": b"private",
        b"x-amz-meta-a": b"1",
        b"x-amz-copy-source": b"b/s",
    }
    with pytest.raises(InvalidArgument, match="in the query too"):
        asked("PUT", "/b/k?x-amz-acl=private", x_amz_acl="public-read")


# ── members ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", BUILT)
def test_we_read_what_botocore_sends(name: str) -> None:
    operation = theirs("s3").operation_model(name)

    @few
    @given(members_of(operation.input_shape))
    def reads(members: dict[str, Any]) -> None:
        found = read(members, name)
        known = {key: _without_empty_lists(found.get(key)) for key in members}
        assert known == expected(members)
        assert found.keys() - members.keys() <= {"ContentType", "ContentLength"}

    reads()


@pytest.mark.parametrize("name", [name for name in BUILT if name != "GetBucketLocation"])
def test_botocore_reads_what_we_send(name: str) -> None:
    operation = theirs("s3").operation_model(name)
    serialize = rest_xml.compile_serializer(service(), service().operations[name])

    @few
    @given(members_of(operation.output_shape))
    def writes(members: dict[str, Any]) -> None:
        members.pop("EncodingType", None)
        reply = serialize(as_seconds(members), "rid")
        parsed = parsed_by_botocore(reply.status, reply.headers, reply.body, operation)
        metadata = parsed.pop("ResponseMetadata")
        assert (metadata["RequestId"], metadata["HTTPStatusCode"]) == ("rid", reply.status)
        payload = (
            service().shapes[operation.output_shape.name].payload if operation.output_shape else ""
        )
        told = {key: _without_empty_lists(value) for key, value in parsed.items() if key != "Body"}
        wanted = {key: _without_empty_lists(value) for key, value in members.items() if value != []}
        if payload and payload in members:
            told, wanted = {payload: {}, **told}, {payload: {}, **wanted}
        told.pop("ExpiresString", None)
        assert {key: told.get(key) for key in wanted} == wanted

    writes()


def parsed_by_botocore(
    status: int, headers: Any, body: bytes, operation: OperationModel
) -> dict[str, Any]:
    response = {
        "status_code": status,
        "headers": HeadersDict({k.decode(): v.decode("latin-1") for k, v in headers}),
        "body": body,
    }
    shape: Any = operation.output_shape
    if (
        status < 300
        and shape is not None
        and shape.serialization.get("payload")
        in (
            "Body",
            "AnnotationPayload",
            "Payload",
        )
    ):
        response["body"] = b""
    parsed: dict[str, Any] = create_parser("rest-xml").parse(response, shape)
    return parsed


def test_where_a_bucket_is() -> None:
    """The only answer whose outermost element is a value."""
    serialize = rest_xml.compile_serializer(service(), service().operations["GetBucketLocation"])
    root = '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    body = serialize({"LocationConstraint": "eu-west-1"}, "r").body.decode()
    assert body.endswith(f"\n{root}eu-west-1</LocationConstraint>")
    for none in ({}, {"LocationConstraint": None}, {"LocationConstraint": ""}):
        assert serialize(none, "r").body.decode().endswith(f"\n{root}</LocationConstraint>")


def test_metadata_that_is_not_ascii() -> None:
    """Comes as UTF-8, or as HTTP once had it, and is said back as S3 says it."""
    put = parser("PutObject")
    for raw in ("grün".encode(), "grün".encode("latin-1")):
        fields = {b"x-amz-meta-farbe": raw, b"x-amz-meta-": b"empty name"}
        found = put.head(Asked("PutObject", "b", "k", {}, fields))
        assert found["Metadata"] == {"farbe": "grün", "": "empty name"}
    serialize = rest_xml.compile_serializer(service(), service().operations["HeadObject"])
    headers = dict(serialize({"Metadata": {"farbe": "grün"}}, "r").headers)
    assert headers[b"x-amz-meta-farbe"] == b"=?UTF-8?B?Z3LDvG4=?="


def test_what_is_sent_as_expires_is_kept_as_it_came() -> None:
    fields = {b"expires": b"whenever"}
    found = parser("PutObject").head(Asked("PutObject", "b", "k", {}, fields))
    assert found["Expires"] == "whenever"
    serialize = rest_xml.compile_serializer(service(), service().operations["GetObject"])
    assert (b"Expires", b"whenever") in serialize({"Expires": "whenever"}, "r").headers


@pytest.mark.parametrize(
    ("operation", "header", "value", "member"),
    [
        ("GetObject", b"x-amz-checksum-mode", b"enabled", "ChecksumMode"),
        ("HeadObject", b"x-amz-checksum-mode", b"Enabled", "ChecksumMode"),
        ("PutObject", b"x-amz-sdk-checksum-algorithm", b"crc32c", "ChecksumAlgorithm"),
        ("CopyObject", b"x-amz-checksum-algorithm", b"sha256", "ChecksumAlgorithm"),
        ("CreateMultipartUpload", b"x-amz-checksum-type", b"full_object", "ChecksumType"),
    ],
)
def test_words_about_checksums_are_taken_in_any_case(
    operation: str, header: bytes, value: bytes, member: str
) -> None:
    fields = {header: value, b"x-amz-copy-source": b"b/s"}
    found = parser(operation).head(Asked(operation, "b", "k", {}, fields))
    assert found[member] == value.decode().upper()


def test_a_condition_that_is_no_date_does_not_count() -> None:
    fields = {b"if-modified-since": b"yesterday", b"if-unmodified-since": b"x"}
    assert "IfModifiedSince" not in parser("GetObject").head(
        Asked("GetObject", "b", "k", {}, fields)
    )


def test_an_answer_cannot_hold_what_no_header_can() -> None:
    """A line's end would begin another header, or the body."""
    serialize = rest_xml.compile_serializer(service(), service().operations["GetObject"])
    for output in ({"ContentType": "a\r\nb: c"}, {"Metadata": {"a": "b\nc"}}):
        with pytest.raises(ValueError, match="header"):
            serialize(output, "r")
    with pytest.raises(LookupError, match="Nothing"):
        serialize({"Nothing": 1}, "r")
    for value in ("a%0d%0ab:c", "a%00"):
        found = asked("GET", f"/b/k?response-content-type={value}")
        with pytest.raises(InvalidArgument):
            parser("GetObject").head(found)


@pytest.mark.parametrize(
    ("name", "target", "fields", "kind", "words"),
    [
        ("ListObjectsV2", "/b?list-type=2&max-keys=x", {}, InvalidArgument, "max-keys not an int"),
        (
            "ListObjectsV2",
            "/b?list-type=2&max-keys=-1",
            {},
            InvalidArgument,
            "between 0 and 214748",
        ),
        ("ListParts", "/b/k?uploadId=u&max-parts=-42", {}, InvalidArgument, "Argument max-parts"),
        ("ListObjectsV2", "/b?list-type=2&max-keys=9" + "9" * 18, {}, InvalidArgument, "max-keys"),
        ("ListObjectsV2", "/b?list-type=2&max-keys=٣", {}, InvalidArgument, "max-keys"),
        ("ListObjects", "/b?encoding-type=xml", {}, InvalidArgument, "Invalid Encoding Method"),
        ("ListObjectsV2", "/b?list-type=2&fetch-owner=maybe", {}, InvalidArgument, "fetch-owner"),
        ("UploadPart", "/b/k?partNumber=0&uploadId=u", {}, InvalidArgument, "between 1 and 10000"),
        ("UploadPart", "/b/k?partNumber=10001&uploadId=u", {}, InvalidArgument, "10000, inclusive"),
        ("UploadPart", "/b/k?partNumber=1e3&uploadId=u", {}, InvalidArgument, "10000, inclusive"),
        ("UploadPart", "/b/k?uploadId=u", {}, InvalidArgument, "partNumber"),
        ("PutObject", "/b/k", {"x_amz_storage_class": "COLD"}, InvalidStorageClass, "COLD"),
        ("PutObject", "/b/k", {"x_amz_acl": "mine"}, InvalidArgument, "x-amz-acl"),
        (
            "PutObject",
            "/b/k",
            {"x_amz_object_lock_retain_until_date": "soon"},
            InvalidArgument,
            "x-amz-object-lock-retain-until-date",
        ),
        (
            "CopyObject",
            "/b/k",
            {"x_amz_copy_source": "b/s", "x_amz_metadata_directive": "MOVE"},
            InvalidArgument,
            "Unknown metadata directive.",
        ),
        ("GetObjectAttributes", "/b/k?attributes", {}, InvalidRequest, "x-amz-object-attributes"),
        (
            "GetObjectAttributes",
            "/b/k?attributes",
            {"x_amz_object_attributes": "ETag,Size"},
            InvalidArgument,
            "Invalid attribute name specified.",
        ),
        (
            "CreateMultipartUpload",
            "/b/k?uploads",
            {"x_amz_checksum_algorithm": "CRC16"},
            InvalidRequest,
            "Checksum algorithm provided is unsupported",
        ),
    ],
)
def test_a_head_that_says_it_wrongly(
    name: str, target: str, fields: dict[str, str], kind: type[AwsError], words: str
) -> None:
    found = asked(theirs("s3").operation_model(name).http["method"], target, **fields)
    assert found.operation == name
    with pytest.raises(kind) as caught:
        parser(name).head(found)
    assert words in f"{caught.value.message} {caught.value.members}"


# ── documents ────────────────────────────────────────────────────────────────────────────────────

_BOMB = (
    b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
)
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b"  \n",
    "text": b"hello",
    "JSON": b"{}",
    "not closed": b"<Delete><Object><Key>a</Key></Object>",
    "closed twice": b"<Delete/></Delete>",
    "two documents": b"<Delete/><Delete/>",
    "another document": b"<Tagging><TagSet/></Tagging>",
    "an element nobody knows": b"<Delete><Object><Key>a</Key></Object><Else/></Delete>",
    "in another case": b"<Delete><object><key>a</key></object></Delete>",
    "an object without a key": b"<Delete><Object></Object></Delete>",
    "two keys": b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
    "an empty key": b"<Delete><Object><Key/></Object></Delete>",
    "no objects": b"<Delete><Quiet>true</Quiet></Delete>",
    "text between": b"<Delete>a<Object><Key>a</Key></Object></Delete>",
    "an element in a value": b"<Delete><Object><Key><a/></Key></Object></Delete>",
    "no boolean": b"<Delete><Object><Key>a</Key></Object><Quiet>perhaps</Quiet></Delete>",
    "an entity bomb": _BOMB,
    "a document type": b"<!DOCTYPE Delete><Delete><Object><Key>a</Key></Object></Delete>",
    "a file": b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete>&x;</Delete>',
    "a parameter entity": b'<!DOCTYPE d [<!ENTITY % x SYSTEM "http://h/"> %x;]><Delete/>',
    "an entity nobody declared": b"<Delete><Object><Key>&nbsp;</Key></Object></Delete>",
    "a prefix nobody declared": b"<s:Delete><Object><Key>a</Key></Object></s:Delete>",
    "a control character": b"<Delete><Object><Key>\x01</Key></Object></Delete>",
    "one by number": b"<Delete><Object><Key>&#1;</Key></Object></Delete>",
    "a zero": b"<Delete><Object><Key>a\x00b</Key></Object></Delete>",
    "not UTF-8": b"<Delete><Object><Key>\xff</Key></Object></Delete>",
    "an encoding nobody knows": b'<?xml version="1.0" encoding="x-y"?><Delete/>',
    "a wide encoding": b'<?xml version="1.0" encoding="shift_jis"?><Delete/>',
    "two bytes a character": "<Delete><Object><Key>a</Key></Object></Delete>".encode("utf-16"),
    "another encoding, as it declares": '<?xml version="1.0" encoding="iso-8859-1"?>'
    "<Delete><Object><Key>ä</Key></Object></Delete>".encode("latin-1"),
    "deep": b"<Delete>" + b"<Object>" * 5_000,
    "deep and whole": b"<Delete>" + b"<a>" * 900 + b"</a>" * 900 + b"</Delete>",
    "many": b"<Delete>" + b"<Object><Key>a</Key></Object>" * 60_000 + b"</Delete>",
    "many attributes": b"<Delete " + b" ".join(b'a%d=""' % n for n in range(17)) + b">"
    b"<Object><Key>a</Key></Object></Delete>",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_document_that_is_none(name: str) -> None:
    with pytest.raises(MalformedXML) as caught:
        parser("DeleteObjects").document(MALFORMED[name])
    assert caught.value.message.startswith("The XML you provided was not well-formed or did not")


def test_a_document_may_be_written_in_many_ways() -> None:
    wanted = {"Delete": {"Objects": [{"Key": " a&b "}], "Quiet": True}}
    inside = "<Object><Key> a&amp;b </Key></Object><Quiet>true</Quiet>"
    for start, end in (
        ("<Delete>", "</Delete>"),
        ('<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">', "</Delete>"),
        ('<?xml version="1.0" encoding="UTF-8"?>\n<!-- x --><Delete>\n ', "\n</Delete>\n"),
        ('<Delete xmlns="urn:x" a="b">', "</Delete>"),
    ):
        assert parser("DeleteObjects").document(f"{start}{inside}{end}".encode()) == wanted
    marked = f"<Delete>{inside}</Delete>".encode("utf-8-sig")
    assert parser("DeleteObjects").document(marked) == wanted
    line = b"<Delete><Object><Key>a&#13;b\r\nc</Key></Object></Delete>"
    assert parser("DeleteObjects").document(line)["Delete"]["Objects"] == [{"Key": "a\rb\nc"}]
    data = "<Delete><Object><Key><![CDATA[ a&b ]]></Key></Object><Quiet>1</Quiet></Delete>"
    assert parser("DeleteObjects").document(data.encode()) == wanted
    prefixed = '<s:Delete xmlns:s="u"><s:Object><s:Key> a&amp;b </s:Key></s:Object><s:Quiet>TRUE'
    whole = f"{prefixed}</s:Quiet></s:Delete>".encode()
    assert parser("DeleteObjects").document(whole) == wanted


def test_a_thousand_keys_and_ten_thousand_parts_are_read() -> None:
    key = "&amp;" * 1024
    keys = f"<Delete>{f'<Object><Key>{key}</Key></Object>' * 1000}</Delete>".encode()
    assert len(parser("DeleteObjects").document(keys)["Delete"]["Objects"]) == 1000
    sums = "".join(f"<Checksum{name}>x</Checksum{name}>" for name in ("CRC32", "SHA1", "SHA256"))
    part = f"<Part><PartNumber>1</PartNumber><ETag>x</ETag>{sums}</Part>" * 10_000
    parts = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    found = parser("CompleteMultipartUpload").document(parts)
    assert len(found["MultipartUpload"]["Parts"]) == 10_000


def test_a_key_in_a_document_is_no_longer_than_another() -> None:
    document = f"<Delete><Object><Key>{'ä' * 513}</Key></Object></Delete>".encode()
    with pytest.raises(KeyTooLongError) as caught:
        parser("DeleteObjects").document(document)
    assert caught.value.members == {"Size": 1026, "MaxSizeAllowed": 1024}


def test_a_document_that_may_be_left_out() -> None:
    assert parser("CreateBucket").document(b"") == {}
    with pytest.raises(MalformedXML):
        parser("PutBucketTagging").document(b"")


def test_a_policy_is_kept_as_it_came() -> None:
    put = parser("PutBucketPolicy")
    assert put.takes == "text"
    assert put.document(b'{"Version": "2012-10-17"}\n') == {"Policy": '{"Version": "2012-10-17"}\n'}
    with pytest.raises(MalformedXML):
        put.document(b"\xff")
    serialize = rest_xml.compile_serializer(service(), service().operations["GetBucketPolicy"])
    reply = serialize({"Policy": "{}"}, "r")
    assert (reply.body, dict(reply.headers)[b"Content-Type"]) == (b"{}", b"application/json")


def test_what_bodies_are() -> None:
    taken = {name: parser(name).takes for name in BUILT}
    assert taken["PutObject"] == taken["UploadPart"] == "data"
    assert taken["DeleteObjects"] == taken["CompleteMultipartUpload"] == "document"
    assert taken["CreateBucket"] == "document"
    assert taken["GetObject"] == taken["CopyObject"] == taken["CreateMultipartUpload"] == "nothing"
    assert parser("DeleteObjects").checksum_required
    assert not any(parser(name).checksum_required for name in ("PutObject", "PutBucketPolicy"))
    for name in BUILT:
        required = theirs("s3").operation_model(name).http_checksum.get("requestChecksumRequired")
        assert required or not parser(name).checksum_required


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (NoSuchKey(Key="a<b&c\x00"), "NoSuchKey", 404),
        (AccessDeniedException("no"), "AccessDenied", 403),
        (InternalFailure("a bug"), "InternalError", 500),
        (NotImplementedYet("it"), "NotImplemented", 501),
    ],
)
def test_botocore_reads_our_errors(error: AwsError, code: str, status: int) -> None:
    reply = xml_errors.s3("/b/a<b", error, "rid")
    operation = theirs("s3").operation_model("GetObject")
    parsed = parsed_by_botocore(reply.status, reply.headers, reply.body, operation)
    assert (parsed["Error"]["Code"], reply.status) == (code, status)
    assert parsed["Error"]["Message"] == error.message
    assert parsed["Error"]["Resource"] == "/b/a<b"
    assert parsed["ResponseMetadata"]["RequestId"] == "rid"
    assert parsed["ResponseMetadata"]["HostId"] == dict(reply.headers)[b"x-amz-id-2"].decode()
    if isinstance(error, NoSuchKey):
        assert parsed["Error"]["Key"] == "a<b&c\ufffd"


def test_answers_without_a_body() -> None:
    head = xml_errors.s3("/b/k", NoSuchKey(Key="k"), "rid", bodiless=True)
    assert (head.status, head.body) == (404, b"")
    assert not re.search(b"content-type", b"".join(name.lower() for name, _ in head.headers))
    unchanged = xml_errors.s3("/b/k", NotModified(), "rid")
    assert (unchanged.status, unchanged.body) == (304, b"")
