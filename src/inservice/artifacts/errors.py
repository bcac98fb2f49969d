"""Why an artifact could not be had, in words fit for an endpoint's FailureReason.

    ArtifactError
    ├── SourceRefused          the URI, or how it is asked for, is against the rules
    ├── ArtifactMissing        nothing is there
    ├── ArtifactForbidden      it is there, or may be, and we may not read it
    ├── StorageFailed          the storage went on failing after retries                 transient
    ├── ArtifactChanged        it is not what this fleet began with
    ├── ArchiveRefused         the archive, or the list of objects, must not be unpacked
    │   ├── ArchiveDamaged     not a gzip tar, cut short, or with a wrong checksum
    │   ├── UnsafeMember       one member would leave the directory, or is not a file or a directory
    │   └── LimitExceeded      larger than this server agreed to unpack
    ├── StoreFull              no room left for artifacts on this host                    transient
    ├── FetchTimedOut          ModelDataDownloadTimeoutInSeconds passed
    └── FetchCancelled         nobody wants it any more                                  transient

Whoever finds the trouble knows the member or the limit, and the store knows the URI, so the first
raises with `detail` alone and the store adds `uri` on the way out. AWS's own sentence comes first:
deployment tools match it.
"""

from __future__ import annotations

from typing import ClassVar

NAME_CHARACTERS_SHOWN_MAX = 120
"""FailureReason holds 1,024 characters; a hostile name must not push the advice out of it."""


class ArtifactError(Exception):
    """No artifact. `reason` is what a user reads."""

    opening: ClassVar[str] = "Could not access model data at {uri}."
    transient: ClassVar[bool] = False  # worth another try with nothing mended

    def __init__(self, detail: str, *, uri: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.uri = uri

    @property
    def reason(self) -> str:
        """AWS's sentence, then what was found, then what to do."""
        if not self.uri:
            return self.detail
        return f"{self.opening.format(uri=shown(self.uri, characters_max=400))} {self.detail}"

    def __str__(self) -> str:
        return self.reason


class SourceRefused(ArtifactError):
    """The URI, or the data type and compression it is asked for with, is against the rules."""


class ArtifactMissing(ArtifactError):
    """There is no such bucket, object or file."""


class ArtifactForbidden(ArtifactError):
    """The storage, or the file system, does not let this server read it."""


class StorageFailed(ArtifactError):
    """The storage answered with errors, or not at all, for as long as we tried."""

    transient = True


class ArtifactChanged(ArtifactError):
    """What is there now is not what was there when this fleet, or this download, began."""


class ArchiveRefused(ArtifactError):
    """It was read, and it must not be unpacked."""

    opening = (
        'Failed to extract model data archive from URL "{uri}". Please ensure that the object '
        "located at the URL is a valid tar.gz archive."
    )


class ArchiveDamaged(ArchiveRefused):
    """Not a gzip tar, cut short, or its checksums do not match."""


class UnsafeMember(ArchiveRefused):
    """One member would leave the directory, take another's place, or is not a file or directory."""


class LimitExceeded(ArchiveRefused):
    """It is larger, deeper or fuller than the limits of this server."""


class StoreFull(ArtifactError):
    """The volume that holds artifacts has no room, or no inode, left."""

    transient = True


class FetchTimedOut(ArtifactError):
    """The time for download and unpacking is over."""


class FetchCancelled(ArtifactError):
    """The endpoint that asked for it is gone."""

    transient = True


def shown(name: str | bytes, *, characters_max: int = NAME_CHARACTERS_SHOWN_MAX) -> str:
    """A name from outside, fit for a log line: no control characters, and of bounded length."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    clean = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: characters_max + 1])
    return clean if len(clean) <= characters_max else clean[:characters_max] + "…"
