"""The images of this host, for whoever asks about them: what the catalogue and users say of each,
and what is built of it.

Environments are looked after in control's event loop, and asked about from the threads of its API:
here one meets the other. A build that was asked for goes on whoever stops asking how far it is, and
ends with control, which the next one does not go on with; what was built by then is found again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from inservice.images.added import AddedImages
from inservice.images.base import (
    AddedImage,
    Environment,
    EnvironmentImage,
    Housekeeping,
    ImageBuild,
    ImageExists,
    ImageSeen,
    ImageState,
    NotRunnable,
    Resolved,
    UnknownEnvironment,
)
from inservice.images.families import Family, families, frameworks
from inservice.images.reference import parse
from inservice.images.resolve import Catalogue, as_family
from inservice.runtimes.base import EnvironmentUnavailable

_TOLD_KEPT: Final = 200
"""Lines of a build: more than an installer says of the largest, and a bound for one that raves."""

_BUILDS_KEPT: Final = 64
"""Of those that have ended, how many are remembered: more images than a host has."""

_ANSWER_SECONDS: Final = 120.0
"""That the event loop takes, to remove a great many files at the most."""

_ECR: Final = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
"""One of the registries that AWS has images in: which one it is does not matter here."""

_Result = TypeVar("_Result")
_Made = tuple[tuple[str, ...], str]  # requirements and Python: what an environment is made from


@dataclass(slots=True)
class _Build:
    began_at: float
    ended_at: float | None = None
    told: deque[str] = field(default_factory=lambda: deque(maxlen=_TOLD_KEPT))
    told_count: int = 0
    failure: str = ""

    def tell(self, clause: str) -> None:
        self.told.append(clause)
        self.told_count += 1

    def seen(self) -> ImageBuild:
        return ImageBuild(
            self.began_at, self.ended_at, tuple(self.told), self.told_count, self.failure
        )


class HostImages:
    """Implements `images.base.KeptImages`."""

    def __init__(self, added: Path, environments: Housekeeping, now: Callable[[], float]) -> None:
        """`added` is the file of the images that users have added."""
        self._added = AddedImages(added)
        self._catalogue = Catalogue(self._added.find)
        self._environments = environments
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._builds: dict[_Made, _Build] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # ── in the event loop ────────────────────────────────────────────────────────────────────────
    def begin(self) -> None:
        """Whoever asks is answered from here on, by this event loop."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """End what is being built for nobody but whoever asked for it here."""
        self._loop = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ── from any thread ──────────────────────────────────────────────────────────────────────────
    def resolve(self, uri: str) -> Resolved:
        """See `Images`."""
        return self._catalogue.resolve(uri)

    def frameworks(self) -> frozenset[str]:
        """See `KeptImages`."""
        return frameworks()

    def all(self) -> Sequence[ImageSeen]:
        """See `KeptImages`."""
        return self._wait(self._all())

    def look(self, uri: str) -> ImageSeen:
        """See `KeptImages`."""
        return self._wait(self._look(uri))

    def add(self, image: AddedImage) -> None:
        """See `KeptImages`."""
        if self._catalogue.is_short_name(image.name) or image.name in families():
            raise ImageExists(f'Cannot create image "{image.name}": the catalogue has it.')
        self._added.add(image)

    def remove(self, name: str) -> None:
        """See `KeptImages`."""
        self._added.remove(name)

    def remove_environment(self, uri: str) -> Environment:
        """See `KeptImages`."""
        return self._wait(self._remove_environment(uri))

    def build(self, uri: str) -> ImageSeen:
        """See `KeptImages`."""
        return self._wait(self._begin_to_build(uri))

    def environments(self) -> Sequence[Environment]:
        """See `KeptImages`."""
        return self._wait(self._environments.environments())

    def prune(self, unused_seconds: float) -> Sequence[Environment]:
        """See `KeptImages`."""
        return self._wait(self._environments.prune(unused_seconds))

    def _wait(self, asked: Coroutine[Any, Any, _Result]) -> _Result:
        """What the event loop answers."""
        if self._loop is None:
            asked.close()
            raise RuntimeError("images are asked about before control runs, or after")
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(_ANSWER_SECONDS)

    # ── what the event loop is asked ─────────────────────────────────────────────────────────────
    async def _all(self) -> Sequence[ImageSeen]:
        known = []
        for name, family in families().items():
            seen = await self._seen(as_family(_example_of(family), name, family))
            known.append(_known_as(name, seen))
        added = [await self._look(image.name) for image in self._added.all()]
        return sorted([*known, *added], key=lambda seen: seen.name)

    async def _look(self, uri: str) -> ImageSeen:
        found = self.resolve(uri)
        seen = await self._seen(found)
        if isinstance(found, EnvironmentImage) and found.family in families():
            return _known_as(found.family, seen)
        reference = parse(uri)
        name = self._catalogue.family_of(reference) if reference else None
        return _known_as(name, seen) if name else seen

    async def _seen(self, found: Resolved) -> ImageSeen:
        if not isinstance(found, EnvironmentImage):
            is_lost = isinstance(found, NotRunnable)
            state = ImageState.NOT_RUNNABLE if is_lost else ImageState.NEEDS_ENGINE
            return ImageSeen("", "", (), (), found, state)
        added = self._added.kept(found.family)
        build = self._builds.get(_made(found))
        environment = await self._environments.built(found)
        if self._environments.is_met(found):
            state = ImageState.READY
        elif build is not None and build.ended_at is None:
            state = ImageState.BUILDING
        elif environment is not None:
            state = ImageState.BUILT
        else:
            failed = build is not None and build.failure
            state = ImageState.BUILD_FAILED if failed else ImageState.TO_BUILD
        return ImageSeen(
            name=found.family,
            about="added here" if added else "",
            names=(),
            repositories=(),
            found=found,
            state=state,
            added_at=added.added_at if added else None,
            environment=environment,
            build=build.seen() if build else None,
        )

    async def _begin_to_build(self, uri: str) -> ImageSeen:
        found = self.resolve(uri)
        if isinstance(found, EnvironmentImage):
            seen = await self._seen(found)
            if seen.state in (ImageState.TO_BUILD, ImageState.BUILD_FAILED):
                self._forget_builds()
                build = self._builds[_made(found)] = _Build(self._now())
                task = asyncio.create_task(self._build(found, build))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return await self._look(uri)

    async def _build(self, image: EnvironmentImage, build: _Build) -> None:
        failure = "It was given up: the server was stopped meanwhile, or has a fault."
        try:
            await self._environments.build(image, build.tell)
            failure = ""
        except (EnvironmentUnavailable, OSError) as why:
            failure = str(why)
        finally:
            build.failure, build.ended_at = failure, self._now()

    def _forget_builds(self) -> None:
        ended = [made for made, build in self._builds.items() if build.ended_at is not None]
        for made in ended[: max(0, len(ended) - _BUILDS_KEPT)]:
            del self._builds[made]

    async def _remove_environment(self, uri: str) -> Environment:
        found = self.resolve(uri)
        built = None
        if isinstance(found, EnvironmentImage):
            built = await self._environments.built(found)
            self._builds.pop(_made(found), None)
        if built is None:
            raise UnknownEnvironment(f'Nothing is built for the image "{uri}".')
        return await self._environments.remove(built.name)


def _example_of(family: Family) -> str:
    """An image that is of the family: the short name, else one of AWS's."""
    if family.names:
        return family.names[0]
    plain = [each for each in family.repositories if "*" not in each]
    return f"{_ECR}/{(plain or family.repositories)[0].replace('*', 'pytorch')}"


def _made(image: EnvironmentImage) -> _Made:
    return image.requirements, image.python


def _known_as(name: str, seen: ImageSeen) -> ImageSeen:
    """With what the catalogue says of its family."""
    its = families()[name]
    return replace(seen, name=name, about=its.about, names=its.names, repositories=its.repositories)
