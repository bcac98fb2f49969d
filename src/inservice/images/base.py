"""What an image is found to be.

Deployment code names images by AWS's URIs, or by names of its own. Each is one of three things:

    an environment     a Python with a framework in it and our model server, built once, kept, and
                       shared by all that ask for the same
    an OCI image       what Podman or Docker runs
    not runnable       with why, and with what would help

Which one is decided by data (the catalogue, and what users have added) and never by what is built
or installed: `resolve` does no I/O but to read that data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EnvironmentImage:
    """A Python virtual environment that stands in for a container image."""

    uri: str  # as the container definition gave it
    family: str  # the catalogue's entry: "scikit-learn", "pytorch", or a user's own
    requirements: tuple[str, ...] = ()  # PEP 508, sorted; what it has beside our model server
    python: str = ""  # "3.12"; "": the server's own version
    framework: str = ""
    """Its plug in `modelserver.frameworks`; "": the artifact's files decide."""
    preimports: tuple[str, ...] = ()  # modules that are imported before instances are forked
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What the image sets for its processes; what the container definition sets wins."""


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image that a container engine runs.

    Of one that the catalogue knows, and for which no environment stands in, it tells what to say
    where there is no engine.
    """

    uri: str
    why: str = ""  # a sentence: why no environment stands in for it; "": nothing is known of it
    help: str = ""  # a sentence: what to do without an engine


@dataclass(frozen=True, slots=True)
class NotRunnable:
    """Nothing here can stand in for it, and no engine could run it."""

    uri: str
    why: str  # a sentence
    help: str = ""  # a sentence: what to do about it


Resolved = EnvironmentImage | OciImage | NotRunnable


class Images(Protocol):
    """Who knows what images are."""

    def resolve(self, uri: str) -> Resolved:
        """What an image is. Never raises: what cannot be read is not runnable, with why."""
        ...


class NoImages:
    """`Images` of a runtime that is to launch nothing."""

    def resolve(self, uri: str) -> Resolved:
        """Not runnable."""
        return NotRunnable(uri, f"The image '{uri}' cannot run here: no images are known.")


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment that is built, on this host."""

    name: str  # its directory's: the digest of all that it is made from
    images: tuple[str, ...]  # the URIs that it was asked for by, newest last
    requirements: tuple[str, ...]  # what was asked for; of a layer, the lines of requirements.txt
    packages: tuple[str, ...]  # what is in it, exactly: "torch==2.13.0", sorted
    python: str  # "3.12.1"
    base: str  # of a layer, the name of the environment it was built on; "": an image's own
    size_bytes: int  # of all its files; the disk has each once, however many environments share it
    built_at: float  # epoch seconds
    used_at: float  # epoch seconds, when it was last handed out
    in_use: bool  # by a process that runs, or by one that is about to


class UnknownEnvironment(Exception):
    """No environment of that name is built here."""


class EnvironmentInUse(Exception):
    """What runs needs it; the message says so."""


class Housekeeping(Protocol):
    """Whoever looks after the environments that are built on this host."""

    async def environments(self) -> Sequence[Environment]:
        """All that are built, the one that was used last first."""
        ...

    async def built(self, image: EnvironmentImage) -> Environment | None:
        """The environment of an image, without anything on top, if it is built."""
        ...

    def is_met(self, image: EnvironmentImage) -> bool:
        """Whether the server's own Python has all that an image asks for: nothing is built then."""
        ...

    async def build(
        self, image: EnvironmentImage, tell: Callable[[str], None]
    ) -> Environment | None:
        """Have the environment of an image ready, built now or found. None: it `is_met`.

        Raises runtimes.base.EnvironmentUnavailable.
        """
        ...

    async def remove(self, name: str) -> Environment:
        """Remove one; the beginning of its name will do. Gives what it was.

        Raises UnknownEnvironment, also where several begin so, and EnvironmentInUse.
        """
        ...

    async def prune(self, unused_seconds: float) -> Sequence[Environment]:
        """Remove all that nobody asked for since so long, but none that is in use; and what of the
        packages that were kept for the next build no environment shares. Gives what was removed."""
        ...


# ── what a host's users keep, and see ────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AddedImage:
    """An image that a user has added: an environment under a name."""

    name: str  # what a container definition names; also with `inservice/` before it
    requirements: tuple[str, ...]  # PEP 508, sorted
    python: str  # "3.12"; "": the server's own version
    framework: str  # its plug in `modelserver.frameworks`; "": the artifact's files decide
    preimports: tuple[str, ...]
    added_at: float  # epoch seconds


class ImageState(StrEnum):
    """Whether an image can run on this host, and what is between."""

    READY = "Ready"  # the server's own Python has all that it needs
    BUILT = "Built"  # its environment is there
    BUILDING = "Building"  # somebody asked for it, and it is on its way
    TO_BUILD = "ToBuild"  # it is built when it is first needed, or when somebody asks for it
    BUILD_FAILED = "BuildFailed"  # the last one who asked was told why
    NEEDS_ENGINE = "NeedsEngine"  # Podman or Docker runs it
    NOT_RUNNABLE = "NotRunnable"


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """A build that somebody asked for, as long as control remembers it."""

    began_at: float  # epoch seconds
    ended_at: float | None  # None: it is under way
    told: tuple[str, ...]  # what it was at, one after the other; the newest of them
    told_count: int  # of all it told, also of those that are not kept
    failure: str  # "": none


@dataclass(frozen=True, slots=True)
class ImageSeen:
    """What an image is found to be, and what there is of it on this host."""

    name: str  # of the family, or of a user's own; "" of one that only its URI names
    about: str  # a phrase; "": nothing is known of it
    names: tuple[str, ...]  # that people may use for it here
    repositories: tuple[str, ...]  # that AWS has it in; `*` stands for anything
    found: Resolved
    state: ImageState
    added_at: float | None = None  # epoch seconds, of a user's own
    environment: Environment | None = None  # that is built for it
    build: ImageBuild | None = None


class ImageExists(Exception):
    """The name is taken; the message says by what."""


class UnknownImage(Exception):
    """No image was added under this name."""


class AddedImagesUnreadable(Exception):
    """The file of the images that users have added is damaged; the message says where it is."""


class KeptImages(Images, Protocol):
    """What users ask of the images of this host. From any thread but the event loop's: it may
    block."""

    def all(self) -> Sequence[ImageSeen]:
        """Every family of the catalogue, and every image that was added, each by its name."""
        ...

    def look(self, uri: str) -> ImageSeen:
        """One image, as a container definition names it."""
        ...

    def frameworks(self) -> frozenset[str]:
        """The plugs that an image can be served by."""
        ...

    def add(self, image: AddedImage) -> None:
        """Keep it. Raises ImageExists, AddedImagesUnreadable, OSError."""
        ...

    def remove(self, name: str) -> None:
        """Forget an image that was added; its environment stays until it is pruned. Raises
        UnknownImage, AddedImagesUnreadable, OSError."""
        ...

    def remove_environment(self, uri: str) -> Environment:
        """Remove what is built for an image. Raises UnknownEnvironment, EnvironmentInUse."""
        ...

    def build(self, uri: str) -> ImageSeen:
        """Have its environment built, unless it is there or under way, and do not wait for it. An
        image that no environment stands in for is given back as it is."""
        ...

    def environments(self) -> Sequence[Environment]:
        """All that are built, the one that was used last first."""
        ...

    def prune(self, unused_seconds: float) -> Sequence[Environment]:
        """See `Housekeeping`."""
        ...
