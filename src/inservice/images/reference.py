"""References to images, taken apart: `[registry/]repository[:tag][@digest]`.

What is looked at may be anything that somebody wrote into a container definition. It is never
longer than AWS's longest, and no pattern here can be matched in two ways, so that reading one costs
what its length says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 255
"""Characters: AWS's limit for the image of a container definition."""

_SHOWN: Final = 100
"""Characters of one that is no reference, in a sentence about it."""

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_HOST = re.compile(
    r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]+", re.IGNORECASE | re.ASCII)

_AWS = re.compile(
    r"[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?"
    r"|public\.ecr\.aws/deep-learning-containers"
)
"""Where AWS has its images: some account's registry, in a region, under any of its suffixes."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image as it is named."""

    registry: str  # a host; "" where none is named
    repository: str  # "sagemaker-xgboost", "team/model"
    tag: str  # "": none is named
    digest: str  # "sha256:…"; "": none is named

    @property
    def of_aws(self) -> str:
        """The repository, if AWS might have it: which account is one of AWS's own differs between
        regions and families, and the name decides. "" if it is somebody else's."""
        place, _, name = f"{self.registry}/{self.repository}".rpartition("/")
        return name if _AWS.fullmatch(place) else ""

    @property
    def short(self) -> str:
        """The name alone, if it is one that people use here: `pytorch`, `inservice/pytorch`; ""
        otherwise."""
        if self.registry:
            return ""
        name = self.repository.removeprefix("inservice/")
        return "" if "/" in name else name


def parse(uri: str) -> Reference | None:
    """The reference that this is; None if it is none."""
    if len(uri) > LONGEST:
        return None
    rest, at, digest = uri.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return None
    first, slash, path = rest.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        registry, rest = first, path
        if not _HOST.fullmatch(registry):
            return None
    else:
        registry = ""
    repository, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return None
    if not all(_COMPONENT.fullmatch(part) for part in repository.split("/")):
        return None
    return Reference(registry, repository, tag, digest)


def shown(uri: str) -> str:
    """Fit for a sentence, whatever it is."""
    text = uri if len(uri) <= LONGEST else f"{uri[:_SHOWN]}…"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
