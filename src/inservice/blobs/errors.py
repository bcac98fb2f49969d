"""What a store of objects refuses when it is opened, and what it finds while it is read.

What clients are refused is in S3's words (`s3_errors`), and a disk that is full is
`errors.InsufficientStorage`.
"""

from __future__ import annotations

from inservice.errors import InternalFailure


class BlobsRefused(Exception):
    """The store cannot be opened; the message says why and what to do. Nothing was changed."""


class BlobsInUse(BlobsRefused):
    """Another process has it open."""


class BlobsDamaged(BlobsRefused):
    """It is not what was written, or a part of it is missing."""


class BlobsTooNew(BlobsRefused):
    """A newer version of InService has written it."""


class ObjectDamaged(InternalFailure):
    """What is kept of an object, a bucket or an upload is not what was written. It is not answered
    from."""

    def __init__(self, table: str, key: object) -> None:
        super().__init__(
            f"The record {key!r} of {table} is damaged: what it holds is not what was written."
        )
