"""REST with XML, as S3 speaks it: members in the path, the query, headers and documents.

A request is read in two moves, because whether it is allowed is known before its body comes:
`Parser.head` reads what came with the head, `Parser.document` the body of an operation that takes
one. What is wrong is refused at once, in S3's codes: a document with MalformedXML, whatever is
wrong in it; a header or parameter with InvalidArgument, and its name.

    timestamps   ISO 8601 with milliseconds in documents, RFC 1123 in headers
    Expires      is text, going in and out: S3 says back what it was told, a date or not
    metadata     x-amz-meta-*; what is not ASCII is said back as RFC 2047 has it, as on S3
    Body         is not here: data streams beside what this reads and writes
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Any, Literal

from inservice.aws import rest_xml_shapes
from inservice.aws.aws_query import xml_text
from inservice.aws.s3_requests import Asked
from inservice.aws.s3_words import refuse_enum, refuse_missing, refuse_number, refuse_value
from inservice.aws.service_model import Member, Operation, Service, Shape
from inservice.aws.wire import SECONDS_MAX, Reply, from_iso
from inservice.aws.xml_documents import NotWellFormed, parse
from inservice.aws.xml_errors import DECLARATION, s3_identified
from inservice.s3_errors import MalformedXML

_XML = b"application/xml"

_AS_IT_CAME = ("Expires", "ResponseExpires")
"""Members that the model calls timestamps, and that S3 keeps as text."""

_ANY_CASE = ("ChecksumAlgorithm", "ChecksumMode", "ChecksumType")
"""Words that S3 takes in any case. AWS's SDK for C++, and with it pyarrow, writes them small."""

_LENIENT = ("IfModifiedSince", "IfUnmodifiedSince")
"""Conditions that do not count if they are no dates: RFC 9110 says so, and S3 does."""

_WITH_A_CHECKSUM = frozenset(
    (
        *("DeleteObjects", "PutBucketCors", "PutBucketLifecycleConfiguration"),
        *("PutBucketReplication", "PutBucketTagging", "PutObjectLegalHold"),
        *("PutObjectLockConfiguration", "PutObjectRetention"),
    )
)
"""Operations that S3 was seen to refuse without Content-MD5 or another checksum. SDKs send one with
more of them, as the model has it; but clients that set a policy or an ACL by hand do not."""

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")

_ROOTS: Mapping[str, str] = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CreateSession": "CreateSessionResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
    "ListBucketAnalyticsConfigurations": "ListBucketAnalyticsConfigurationResult",
    "ListBucketInventoryConfigurations": "ListInventoryConfigurationsResult",
    "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
}
"""The outermost elements of answers, which AWS's model has and botocore's leaves out. Others are
called as their operation, a Result."""


class Parser:
    """What turns requests for one operation into its members."""

    def __init__(self, service: Service, operation: Operation) -> None:
        shape = service.shapes[operation.input] if operation.input else None
        members = shape.members if shape else {}
        self._operation = operation.name
        self._required = shape.required if shape else frozenset[str]()
        self._metadata: tuple[str, bytes] | None = None
        self._headers: list[tuple[bytes, str, Shape]] = []
        self._query: list[tuple[str, str, Shape]] = []
        self._labels: dict[str, str] = {}
        self._service = service
        for name, member in members.items():
            at, kind = member.location_name or name, service.shape_of(member)
            if member.location == "header":
                self._headers.append((at.lower().encode(), name, kind))
            elif member.location == "headers":
                self._metadata = (name, at.lower().encode())
            elif member.location == "querystring":
                self._query.append((at, name, kind))
            elif member.location == "uri":
                self._labels[at] = name
        self._payload = shape.payload if shape else None
        self._read: rest_xml_shapes.Read | None = None
        self.takes: Literal["data", "document", "text", "nothing"] = "nothing"
        """What its body is: bytes that stream, an XML document, a text that is kept as it came."""
        if self._payload is not None:
            self._set_payload(members[self._payload])
        self.checksum_required = operation.name in _WITH_A_CHECKSUM
        """Whether S3 refuses a document of which no header tells a checksum."""

    def _set_payload(self, member: Member) -> None:
        kind = self._service.shape_of(member)
        if kind.type == "structure":
            root = member.location_name or member.name
            self._read = rest_xml_shapes.compile_reader(self._service, kind, root)
            self.takes = "document"
        else:
            self.takes = "data" if kind.type == "blob" else "text"

    def head(self, asked: Asked) -> dict[str, Any]:
        """The members that came with the head. Raises S3's errors."""
        found: dict[str, Any] = {}
        if "Bucket" in self._labels:
            found[self._labels["Bucket"]] = asked.bucket
        if "Key" in self._labels:
            found[self._labels["Key"]] = asked.key
        for at, name, kind in self._query:
            if (text := asked.parameters.get(at)) is not None:
                value = self._value(kind, name, at, text)
                if name.startswith("Response") and _CONTROL.search(text):
                    raise refuse_value(at, text)
                found[name] = value
            elif name in self._required:
                raise refuse_missing(at, header=False)
        for field, name, kind in self._headers:
            if (raw := asked.fields.get(field)) is not None:
                value = self._value(kind, name, field.decode(), raw.decode("latin-1"))
                if value is not None:
                    found[name] = value
            elif name in self._required:
                raise refuse_missing(field.decode(), header=True)
        if self._metadata is not None:
            name, prefix = self._metadata
            if metadata := _metadata(prefix, asked.fields):
                found[name] = metadata
        return found

    def document(self, body: bytes) -> dict[str, Any]:
        """The member that is the body, of an operation that `takes` a document or a text. Raises
        MalformedXML, KeyTooLongError."""
        assert self._payload is not None
        if self.takes == "text":
            try:
                return {self._payload: body.decode()}
            except UnicodeDecodeError:
                raise MalformedXML from None
        assert self._read is not None
        if not body:
            if self._payload in self._required:
                raise MalformedXML
            return {}
        try:
            root = parse(body)
        except NotWellFormed:
            raise MalformedXML from None
        return {self._payload: self._read(root)}

    def _value(self, kind: Shape, name: str, at: str, text: str) -> Any:
        """A value of a header or of the query."""
        if name in _AS_IT_CAME:
            return text
        match kind.type:
            case "integer" | "long":
                return _number(kind, at, text)
            case "boolean":
                if text.lower() not in ("true", "false"):
                    raise refuse_value(at, text)
                return text.lower() == "true"
            case "timestamp":
                lenient = name.removeprefix("CopySource") in _LENIENT
                moment = _moment(kind, text)
                if moment is None and not lenient:
                    raise refuse_value(at, text)
                return moment
            case "list":
                assert kind.element is not None
                element = self._service.shape_of(kind.element)
                return [_checked(element, at, item.strip()) for item in text.split(",")]
            case _:
                return _checked(kind, at, text)


def _checked(kind: Shape, at: str, text: str) -> str:
    if kind.name in _ANY_CASE:
        text = text.upper()
    is_open = kind.name in rest_xml_shapes.OPEN_ENUMS
    if kind.enum and not is_open and text not in kind.enum:
        raise refuse_enum(at, text)
    return text


def _number(kind: Shape, at: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise refuse_number(at, text)
    number = int(text)
    bits = 31 if kind.type == "integer" else 63
    least, most = rest_xml_shapes.bounds(kind, at)
    if not max(least, -(1 << bits)) <= number <= min(most, (1 << bits) - 1):
        raise refuse_number(at, text)
    return number


def _moment(kind: Shape, text: str) -> float | None:
    try:
        if kind.timestamp_format == "iso8601":
            moment = from_iso(text)
        else:
            moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return moment if math.isfinite(moment) and abs(moment) <= SECONDS_MAX else None


def _metadata(prefix: bytes, fields: Mapping[bytes, bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, raw in fields.items():
        if field.startswith(prefix):
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                text = raw.decode("latin-1")
            found[field[len(prefix) :].decode("latin-1")] = text
    return found


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


def compile_serializer(
    service: Service, operation: Operation
) -> Callable[[Mapping[str, Any], str], Reply]:
    """A function from an operation's answer and the request id to a reply.

    It raises LookupError for a member that the model does not have, ValueError for one that no
    header can say: those are bugs of ours.
    """
    shape = service.shapes[operation.output] if operation.output else None
    members = shape.members if shape else {}
    in_headers = {
        name: ((member.location_name or name).encode(), service.shape_of(member))
        for name, member in members.items()
        if member.location in ("header", "headers")
    }
    write = _document_writer(service, operation, shape) if shape else None

    def serialize(output: Mapping[str, Any], request_id: str) -> Reply:
        if unknown := output.keys() - members.keys():
            raise LookupError(f"{operation.name} answers no members {sorted(unknown)}")
        headers = s3_identified(request_id)
        for name, (field, kind) in in_headers.items():
            if (value := output.get(name)) is not None:
                if kind.type == "map":
                    headers += [
                        (field + key.encode("latin-1"), _metadata_text(text))
                        for key, text in value.items()
                    ]
                else:
                    headers.append((field, _header_text(kind, value)))
        body = b""
        if write is not None:
            content_type, body = write(output)
            headers.append((b"Content-Type", content_type))
        return Reply(operation.status, headers, body)

    return serialize


def _document_writer(
    service: Service, operation: Operation, shape: Shape
) -> Callable[[Mapping[str, Any]], tuple[bytes, bytes]] | None:
    """What writes the body of an answer; None if it has none, or one that streams."""
    if shape.payload is not None:
        member = shape.members[shape.payload]
        kind, payload = service.shape_of(member), shape.payload
        if kind.type != "structure":
            if kind.type == "string":  # GetBucketPolicy
                return lambda output: (b"application/json", (output.get(payload) or "").encode())
            return None
        write = rest_xml_shapes.compile_writer(service, kind)
        root = member.location_name or payload
        start, end = _around(service, root)
        return lambda output: (_XML, f"{start}{write(output.get(payload) or {})}{end}".encode())
    inside = {name: m for name, m in shape.members.items() if m.location is None}
    if not inside:
        return None
    if operation.name == "GetBucketLocation":
        start, end = _around(service, "LocationConstraint")
        return lambda output: (
            _XML,
            f"{start}{xml_text(output.get('LocationConstraint') or '')}{end}".encode(),
        )
    write = rest_xml_shapes.compile_writer(service, shape)
    start, end = _around(service, _ROOTS.get(operation.name, f"{operation.name}Result"))
    return lambda output: (_XML, f"{start}{write(output)}{end}".encode())


def _around(service: Service, root: str) -> tuple[str, str]:
    namespace = service.xml_namespace or "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'{DECLARATION}<{root} xmlns="{namespace}">', f"</{root}>"


def _header_text(kind: Shape, value: Any) -> bytes:
    if kind.type == "boolean":
        return b"true" if value else b"false"
    if kind.type == "timestamp" and not isinstance(value, str):
        if kind.timestamp_format == "iso8601":
            return rest_xml_shapes.iso_milliseconds(value).encode()
        return formatdate(value, usegmt=True).encode()
    text = str(value)
    if _CONTROL.search(text):
        raise ValueError(f"{text!r} can not be said in a header")
    return text.encode("latin-1", "replace")


def _metadata_text(text: str) -> bytes:
    if _CONTROL.search(text):
        raise ValueError(f"{text!r} can not be said in a header")
    if text.isascii():
        return text.encode()
    return f"=?UTF-8?B?{b64encode(text.encode()).decode()}?=".encode()
