"""What docs/reference/s3.md says: which operations of S3 are served, and what each of them refuses.

Both are found by asking: an operation is asked with each member of its input, over objects in
memory, and a member that it does not hear is refused by its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.loaders import Loader

from inservice.errors import AwsError, NotImplementedYet
from inservice.storage.calls import OPERATIONS
from tests.storage.asking import S3

INTRODUCTION = """\
# S3

*Written by `make docs` from the functions in `src/inservice/storage/operations/` and AWS's model of
S3. Do not edit.*

These operations are served, in the codes, words and headers of S3. What becomes of a member of
their input is one of two things: it does what it does on AWS, or the call is refused with
`NotImplemented`, status 400, by a message that names the member. Nothing is dropped in silence. Of
SSE-C, encryption by a key that comes with the request, every member is refused everywhere.
"""

DIFFERENCES = (
    (
        "encryption",
        (
            "what a request or the bucket's default says is kept and told (`AES256` where nothing "
            "was said), and does nothing: objects lie on the disk as they came. Encrypt the disk"
        ),
    ),
    (
        "storage classes",
        (
            "kept and told; all objects lie in one place. `GLACIER` and `DEEP_ARCHIVE` are "
            "refused, for what is archived cannot be read"
        ),
    ),
    (
        "versioning",
        (
            "`Suspended` is kept and told; `Enabled` is refused. Every object has one version, "
            "`null`, and a delete leaves no marker"
        ),
    ),
    (
        "ACLs",
        (
            "every bucket is `BucketOwnerEnforced`: other ACLs than `private` and "
            "`bucket-owner-full-control` are refused with `AccessControlListNotSupported`, as AWS "
            "does with such buckets"
        ),
    ),
    (
        "settings of buckets that are not built",
        (
            "a put of what is so anyway is taken (`Payer: BucketOwner`, an empty notification or "
            "logging configuration, `Suspended` acceleration); any other is refused by name"
        ),
    ),
    (
        "regions",
        (
            "a bucket has one, and is answered for whatever region a request is signed: nobody is "
            "redirected"
        ),
    ),
    (
        "`Location` of a bucket or an object",
        "`/bucket` and `/bucket/key`, without a host",
    ),
    (
        "`ListMultipartUploads`",
        (
            "where a page ends with a common prefix, `NextKeyMarker` is that prefix; AWS says "
            "nothing there, and nobody can go on"
        ),
    ),
    (
        "an upload in parts that says no checksum",
        (
            "has a CRC64NVME of the whole if its parts came without a checksum or with that one; "
            "AWS computes it in any case"
        ),
    ),
    (
        "who began an upload",
        "`Initiator` is the owner of the bucket",
    ),
)
"""What is answered otherwise than AWS does → how."""

MODEL: dict[str, Any] = Loader().load_service_model("s3", "service-2")


def page() -> str:
    """The page."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    yield "## Operations\n"
    yield from _rows(
        ("operation", "what it does", "refused"),
        (
            (f"`{name}`", _sentence(name), ", ".join(f"`{each}`" for each in refused_by(name)))
            for name in sorted(OPERATIONS)
        ),
    )
    yield "## Not served\n"
    yield (
        "These answer `NotImplemented`: "
        + ", ".join(f"`{name}`" for name in sorted(MODEL["operations"].keys() - OPERATIONS.keys()))
        + ".\n"
    )
    yield "## How answers differ\n"
    yield "Where this server answers otherwise than AWS does:\n"
    yield from _rows(("what", "here"), DIFFERENCES)


def refused_by(operation: str) -> Sequence[str]:
    """The members that an operation refuses whatever they say, those of SSE-C left aside."""
    members = _members(operation)
    return [
        name
        for name in members
        if name != "Body" and "SSECustomer" not in name and _is_refused(operation, name)
    ]


def _is_refused(operation: str, member: str) -> bool:
    """Whether the refusal names the member: what is wrong with its value is another matter."""
    s3 = S3()
    s3.ask("CreateBucket", Bucket="bucket")
    needed = {"Bucket": "bucket", "Key": "key", "UploadId": "x", "PartNumber": 1, "Id": "x"}
    asked: Mapping[str, Any] = {**needed, member: needed.get(member, "x")}
    given = {name: value for name, value in asked.items() if name in _members(operation)}
    try:
        s3.answer(operation, b"", **given)
    except NotImplementedYet as error:
        return f"{member} of {operation}" in error.message
    except (AwsError, AttributeError, KeyError, TypeError):
        return False  # it was heard, and has another form
    return False


def _members(operation: str) -> Mapping[str, Any]:
    """Of its input."""
    shape = MODEL["operations"][operation].get("input", {}).get("shape")
    members: Mapping[str, Any] = MODEL["shapes"].get(shape, {}).get("members", {})
    return members


def _sentence(operation: str) -> str:
    """What the function says of itself."""
    text = inspect.getdoc(OPERATIONS[operation]) or ""
    return " ".join(text.split())


def _rows(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
    yield ""
