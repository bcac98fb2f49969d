"""UploadPartCopy: a part out of the data of an object that is there."""

from __future__ import annotations

from inservice.blobs.base import PartOf
from inservice.objects.parts import check_part_size
from inservice.objects.ranges import copied
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard
from inservice.storage.operations.copies import HEARD, digests, opened_source, source_of
from inservice.storage.operations.multipart import check_part_number, upload_of
from inservice.storage.operations.object_headers import checksum_said, encryption_said, quoted


@operation("UploadPartCopy")
def upload_part_copy(call: Call) -> Answer:
    """All of it, or a range. It is read once, for the digests that the upload has of its parts."""
    heard(call, *HEARD, "CopySourceRange", "PartNumber", "UploadId")
    bucket_of(call)
    number = check_part_number(call)
    source = source_of(call)
    upload = upload_of(call)
    reading = opened_source(call, source)
    try:
        stored = reading.stored
        start, length = _stretch(call.members.get("CopySourceRange"), stored.size)
        check_part_size(length)
        algorithm = upload.checksum_algorithm
        etag, checksum = digests(reading, start, length, algorithm or "CRC64NVME")
        part = PartOf(number, length, etag, checksum)
        call.blobs.copy_part(upload, part, stored, start, length)
    finally:
        reading.close()
    result = {"ETag": quoted(etag), "LastModified": call.now}
    if algorithm is not None:
        result |= checksum_said(checksum, typed=False)
    said = {"CopyPartResult": result, **encryption_said(upload.attributes)}
    return Answer({**said, "CopySourceVersionId": source.version} if source.version else said)


def _stretch(header: str | None, size: int) -> tuple[int, int]:
    """Raises InvalidArgument."""
    return (0, size) if header is None else copied(header, size)
