"""Uploads in parts: begun, given parts, completed or given up.

The checksum of an upload is said when it begins, and every part then has to come with one of that
algorithm. Of the parts' the object's is made: the checksum of them (COMPOSITE), or of a CRC that of
the whole (FULL_OBJECT). An upload that says nothing has what S3 gives to everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from inservice.blobs.base import Checksum, PartGiven, PartOf, Upload
from inservice.checksums import ALGORITHMS
from inservice.errors import NotImplementedYet
from inservice.objects.conditions import bare
from inservice.objects.digests import checksum_type
from inservice.objects.parts import PARTS_MAX, check_number
from inservice.s3_errors import BadDigest, InvalidPart, InvalidRequest, MalformedXML, NoSuchUpload
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard
from inservice.storage.operations.asked_conditions import of_write
from inservice.storage.operations.object_headers import (
    HEARD,
    attributes_of,
    checksum_said,
    encryption_said,
    kept_algorithm,
    quoted,
)
from inservice.storage.operations.putting import CHECKSUMS

_OF_WHOLES = ("MD5", "SHA512")
"""Checksums that an object can have, and no upload in parts."""


@operation("CreateMultipartUpload")
def create_multipart_upload(call: Call) -> Answer:
    """Begin one. What the object will be, beside its data, is said now."""
    heard(call, *HEARD, "ChecksumType")
    bucket = bucket_of(call)
    algorithm = kept_algorithm(call.members.get("ChecksumAlgorithm"))
    asked = call.members.get("ChecksumType")
    if algorithm in _OF_WHOLES:
        raise NotImplementedYet(f"the checksum {algorithm} of uploads in parts")
    if algorithm is None and asked is not None:
        raise InvalidRequest(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm "
            "header."
        )
    kind = checksum_type(algorithm, asked) if algorithm else "FULL_OBJECT"
    attributes = attributes_of(call, bucket)
    key = call.members["Key"]
    upload = call.blobs.begin_upload(bucket.name, key, attributes, algorithm, kind)
    members = {
        "Bucket": bucket.name,
        "Key": key,
        "UploadId": upload.id,
        **encryption_said(attributes, context=True),
    }
    if algorithm:
        members |= {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
    return Answer(members)


@operation("UploadPart")
def upload_part(call: Call) -> Answer:
    """Keep one, in the place of one with its number. On an error it is as if it never came."""
    assert call.received is not None
    received = call.received
    try:
        heard(call, *CHECKSUMS, "ContentLength", "PartNumber", "UploadId")
        bucket_of(call)
        number = check_part_number(call)
        upload = upload_of(call)
        _check_algorithm(call, upload, received.checksum)
        part = PartOf(number, received.incoming.size, received.md5, received.checksum)
        call.blobs.keep_part(upload, part, received.incoming)
    finally:
        received.incoming.discard()
    return Answer(
        {
            "ETag": quoted(received.md5),
            **checksum_said(received.checksum, typed=False),
            **encryption_said(upload.attributes),
        }
    )


@operation("AbortMultipartUpload")
def abort_multipart_upload(call: Call) -> Answer:
    """Forget it with its parts."""
    heard(call, "UploadId", "IfMatchInitiatedTime")
    if call.members.get("IfMatchInitiatedTime") is not None:
        raise NotImplementedYet(
            "IfMatchInitiatedTime of AbortMultipartUpload", "S3 has it for directory buckets alone"
        )
    bucket_of(call)
    call.blobs.abort(upload_of(call))
    return Answer()


@operation("CompleteMultipartUpload")
def complete_multipart_upload(call: Call) -> Answer:
    """Make the parts that are named the object. Done twice it is answered as it was."""
    heard(
        call,
        *("MultipartUpload", "UploadId", *CHECKSUMS, "ChecksumType", "MpuObjectSize"),
        *("IfMatch", "IfNoneMatch"),
    )
    bucket = bucket_of(call)
    when = of_write(call.members)
    upload = upload_of(call)
    checksum = _stated(call.members, upload)
    given = _given((call.members.get("MultipartUpload") or {}).get("Parts") or [], upload)
    _check_size(call, upload, given)
    stored = call.blobs.complete(upload, given, checksum, when)
    return Answer(
        {
            "Location": f"/{bucket.name}/{quote(upload.key)}",
            "Bucket": bucket.name,
            "Key": upload.key,
            "ETag": quoted(stored.attributes.etag),
            **checksum_said(stored.attributes.checksum),
            **encryption_said(stored.attributes),
        }
    )


def upload_of(call: Call) -> Upload:
    """The upload that is addressed. Raises NoSuchUpload."""
    members = call.members
    return call.blobs.upload(members["Bucket"], members["Key"], members["UploadId"])


def check_part_number(call: Call) -> int:
    """The number of the part that is addressed. Raises InvalidArgument."""
    number: int = call.members["PartNumber"]
    check_number(number)
    return number


def _check_algorithm(call: Call, upload: Upload, checksum: Checksum | None) -> None:
    """Raises InvalidRequest if the part came with a checksum of another algorithm, or with none."""
    expected = upload.checksum_algorithm
    if expected is None or (checksum is not None and checksum.algorithm == expected):
        return
    said = ("ChecksumAlgorithm", *CHECKSUMS)
    is_stated = any(call.members.get(name) is not None for name in said)
    actual = checksum.algorithm.lower() if checksum is not None and is_stated else "null"
    raise InvalidRequest(
        f"Checksum Type mismatch occurred, expected checksum Type: {expected.lower()}, actual "
        f"checksum Type: {actual}"
    )


def _given(parts: Sequence[Mapping[str, Any]], upload: Upload) -> list[PartGiven]:
    """The parts as they are named. Raises MalformedXML, InvalidRequest, BadDigest, InvalidPart."""
    if not 1 <= len(parts) <= PARTS_MAX:
        raise MalformedXML
    given: list[PartGiven] = []
    algorithm = upload.checksum_algorithm
    for part in parts:
        number, etag = part.get("PartNumber"), part.get("ETag")
        if number is None or etag is None:
            raise MalformedXML
        stated = [name for name in CHECKSUMS if part.get(name) is not None]
        checksum = None
        if stated and algorithm is None:
            raise InvalidPart(UploadId=upload.id, PartNumber=number, ETag=bare(etag))
        for name in stated:
            if name != f"Checksum{algorithm}":
                raise BadDigest(
                    f"The {name.removeprefix('Checksum').lower()} you specified for part {number} "
                    "did not match what we received."
                )
            checksum = Checksum(str(algorithm), part[name])
        if algorithm is not None and upload.checksum_type == "COMPOSITE" and checksum is None:
            raise InvalidRequest(
                f"The upload was created using a {algorithm.lower()} checksum. The complete "
                "request must include the checksum for each part. It was missing for part "
                f"{number} in the request."
            )
        given.append(PartGiven(number, bare(etag), checksum))
    return given


def _stated(members: Mapping[str, Any], upload: Upload) -> Checksum | None:
    """The checksum that the whole has to have. Raises InvalidRequest, BadDigest."""
    kind = members.get("ChecksumType")
    mode = upload.checksum_type if upload.checksum_algorithm else "null"
    if kind is not None and kind != mode:
        raise InvalidRequest(
            f"The upload was created using the {mode} checksum mode. The complete request must "
            "use the same checksum mode."
        )
    stated = [name for name in CHECKSUMS if members.get(name) is not None]
    if len(stated) > 1:
        raise InvalidRequest(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    if not stated:
        return None
    algorithm = stated[0].removeprefix("Checksum")
    if upload.checksum_algorithm is not None and algorithm != upload.checksum_algorithm:
        raise BadDigest(
            f"The {upload.checksum_algorithm.lower()} you specified did not match the calculated "
            "checksum."
        )
    assert algorithm in ALGORITHMS
    is_composite = upload.checksum_type == "COMPOSITE"
    return Checksum(algorithm, members[stated[0]], composite=is_composite)


def _check_size(call: Call, upload: Upload, given: Sequence[PartGiven]) -> None:
    """Raises InvalidRequest if the parts are not as long together as the client says. The parts of
    an upload that is completed are not there any more, and were as long as was said then."""
    expected = call.members.get("MpuObjectSize")
    if expected is None:
        return
    numbers = {part.number for part in given}
    computed, after, more = 0, 0, True
    while more:
        try:
            page, more = call.blobs.parts(upload, after)
        except NoSuchUpload:
            return
        computed += sum(part.size for part, _ in page if part.number in numbers)
        after = page[-1][0].number if page else after
    if computed != expected:
        raise InvalidRequest(
            f"The provided 'x-amz-mp-object-size' header value {expected} does not match what was "
            f"computed: {computed}"
        )
