"""How the settings of a bucket are kept: each a document of JSON, under the name that its
operations share; but a policy, which is kept as the text that it is.

    policy              the text
    tagging             {key: value}
    cors                [rule, …], members as AWS names them
    versioning          "Suspended"
    encryption          [rule]
    publicAccessBlock   {member: bool}; null where it was deleted
    ownershipControls   null where they were deleted
    accelerate          "Suspended"
"""

from __future__ import annotations

from typing import Any

import msgspec

from inservice.blobs.base import Bucket


def packed(value: Any) -> bytes:
    """A setting as it is kept."""
    return msgspec.json.encode(value)


def setting(bucket: Bucket, name: str, default: Any = None) -> Any:
    """A setting as it was given; the default if it never was."""
    kept = bucket.settings.get(name)
    return default if kept is None else msgspec.json.decode(kept)
