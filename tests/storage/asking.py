"""S3's operations, asked without a wire: members in, an answer or a refusal out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import inservice.storage.operations as operations
from inservice.blobs.base import Blobs, Checksum
from inservice.checksums import ALGORITHMS, DEFAULT, told
from inservice.errors import AwsError
from inservice.identity.principal import Account, Principal
from inservice.storage.calls import OPERATIONS, Answer, Call, Received, Span
from inservice.testing.blobs import MemoryBlobs

assert operations, "registers what is asked here"

ACCOUNT, OTHER = "111122223333", "444455556666"


@dataclass
class Clock:
    """The time, which moves when it is looked at, as no two objects are of one moment."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def anything(action: str, arn: str) -> bool:
    """Whoever asks may."""
    return bool(action and arn)


made: Callable[[Callable[[], float]], Blobs] = MemoryBlobs
"""What keeps the objects; `stores` in conftest.py puts a disk there."""


@dataclass
class S3:
    """Somebody who asks, and what there is."""

    clock: Clock = field(default_factory=Clock)
    account: str = ACCOUNT
    region: str = "us-east-1"
    may: Callable[[str, str], bool] = anything
    caller: Principal | None = None
    blobs: Blobs = field(init=False)

    def __post_init__(self) -> None:
        self.blobs = made(self.clock)

    def answer(self, operation: str, body: bytes | None = None, /, **members: Any) -> Answer:
        """What is answered."""
        received = None
        if operation in ("PutObject", "UploadPart"):
            received = self._received(members, body or b"")
        call = Call(
            operation=operation,
            members=members,
            caller=self.caller or Account(self.account).root,
            account=self.account,
            region=self.region,
            now=self.clock(),
            request_id="REQUEST",
            blobs=self.blobs,
            may=self.may,
            received=received,
        )
        return OPERATIONS[operation](call)

    def ask(self, operation: str, body: bytes | None = None, /, **members: Any) -> dict[str, Any]:
        """The members of what is answered."""
        answer = self.answer(operation, body, **members)
        if isinstance(answer.body, Span):
            answer.body.reading.close()
        return dict(answer.members)

    def refused(self, operation: str, body: bytes | None = None, /, **members: Any) -> AwsError:
        """The refusal. What is refused has changed nothing."""
        try:
            answer = self.answer(operation, body, **members)
        except AwsError as error:
            return error
        raise AssertionError(f"{operation} answered {answer}")

    def data(self, bucket: str, key: str, **members: Any) -> bytes:
        """What GetObject sends."""
        answer = self.answer("GetObject", Bucket=bucket, Key=key, **members)
        assert isinstance(answer.body, Span)
        span = answer.body
        return b"".join(span.reading.chunks(span.start, span.length))

    def put(self, bucket: str, key: str, body: bytes = b"data", **members: Any) -> dict[str, Any]:
        """Put an object."""
        return self.ask("PutObject", body, Bucket=bucket, Key=key, **members)

    def uploaded(
        self, bucket: str, key: str, *bodies: bytes, algorithm: str | None = None, **members: Any
    ) -> str:
        """Begin an upload and give it parts; its id."""
        if algorithm:
            members["ChecksumAlgorithm"] = algorithm
        begun = self.ask("CreateMultipartUpload", Bucket=bucket, Key=key, **members)
        for number, body in enumerate(bodies, 1):
            self.ask(
                "UploadPart",
                body,
                Bucket=bucket,
                Key=key,
                PartNumber=number,
                UploadId=begun["UploadId"],
                **({"ChecksumAlgorithm": algorithm} if algorithm else {}),
            )
        upload_id: str = begun["UploadId"]
        return upload_id

    def completed(self, bucket: str, key: str, upload_id: str, **members: Any) -> dict[str, Any]:
        """Complete it with all of its parts."""
        listed = self.ask("ListParts", Bucket=bucket, Key=key, UploadId=upload_id)
        named = ("PartNumber", "ETag", *(f"Checksum{each}" for each in ALGORITHMS))
        parts = [{name: part[name] for name in named if name in part} for part in listed["Parts"]]
        return self.ask(
            "CompleteMultipartUpload",
            Bucket=bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            **members,
        )

    def _received(self, members: dict[str, Any], body: bytes) -> Received:
        """What is done with a body before an operation is asked."""
        stated = [name for name in ALGORITHMS if f"Checksum{name}" in members]
        algorithm = stated[0] if stated else members.get("ChecksumAlgorithm") or DEFAULT
        incoming = self.blobs.incoming(members["Bucket"])
        incoming.write(body)
        return Received(incoming, md5(body), Checksum(algorithm, checksum(algorithm, body)))


def md5(data: bytes) -> str:
    """In hex."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def checksum(algorithm: str, data: bytes) -> str:
    """In base64."""
    running = ALGORITHMS[algorithm].new()
    running.update(data)
    return told(running.digest())


def with_bucket(name: str = "bucket", **said: Any) -> S3:
    """An S3 with one bucket."""
    s3 = S3(**said)
    constraint = {"LocationConstraint": s3.region} if s3.region != "us-east-1" else {}
    s3.ask("CreateBucket", Bucket=name, CreateBucketConfiguration=constraint)
    return s3
