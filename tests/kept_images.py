"""The images of a host on which nothing is built but what is said to be."""

from __future__ import annotations

from collections.abc import Sequence

from inservice.images.base import (
    AddedImage,
    Environment,
    EnvironmentImage,
    ImageExists,
    ImageSeen,
    ImageState,
    NotRunnable,
    Resolved,
    UnknownEnvironment,
    UnknownImage,
)
from inservice.images.resolve import Catalogue


class FakeImages:
    """`images.base.KeptImages` in memory."""

    def __init__(self) -> None:
        self.added: dict[str, AddedImage] = {}
        self.built: dict[str, Environment] = {}  # by the image that it is of
        self.error: Exception | None = None  # of whatever writes
        self._catalogue = Catalogue(self._find)

    def _find(self, name: str) -> EnvironmentImage | None:
        image = self.added.get(name)
        if image is None:
            return None
        return EnvironmentImage(
            name, name, image.requirements, image.python, image.framework, image.preimports
        )

    def resolve(self, uri: str) -> Resolved:
        return self._catalogue.resolve(uri)

    def frameworks(self) -> frozenset[str]:
        return frozenset(("pytorch", "sklearn"))

    def all(self) -> Sequence[ImageSeen]:
        return [self.look(name) for name in sorted(["python", "sklearn", *self.added])]

    def look(self, uri: str) -> ImageSeen:
        found = self.resolve(uri)
        if not isinstance(found, EnvironmentImage):
            lost = isinstance(found, NotRunnable)
            state = ImageState.NOT_RUNNABLE if lost else ImageState.NEEDS_ENGINE
            return ImageSeen("", "", (), (), found, state)
        built = self.built.get(uri)
        return ImageSeen(
            name=found.family,
            about="",
            names=(),
            repositories=(),
            found=found,
            state=ImageState.BUILT if built else ImageState.TO_BUILD,
            added_at=self.added[found.family].added_at if found.family in self.added else None,
            environment=built,
        )

    def add(self, image: AddedImage) -> None:
        self._may_write()
        if image.name in self.added or self._catalogue.is_short_name(image.name):
            raise ImageExists(f'Cannot create already existing image "{image.name}".')
        self.added[image.name] = image

    def remove(self, name: str) -> None:
        self._may_write()
        if name not in self.added:
            raise UnknownImage(name)
        del self.added[name]

    def remove_environment(self, uri: str) -> Environment:
        self._may_write()
        if uri not in self.built:
            raise UnknownEnvironment(f'Nothing is built for the image "{uri}".')
        return self.built.pop(uri)

    def build(self, uri: str) -> ImageSeen:
        if isinstance(self.resolve(uri), EnvironmentImage):
            self.built.setdefault(uri, environment_of(uri))
        return self.look(uri)

    def environments(self) -> Sequence[Environment]:
        return [*self.built.values()]

    def prune(self, unused_seconds: float) -> Sequence[Environment]:
        self._may_write()
        removed = [each for each in self.built.values() if not each.in_use]
        self.built = {uri: each for uri, each in self.built.items() if each.in_use}
        return removed

    def _may_write(self) -> None:
        if self.error is not None:
            raise self.error


def environment_of(uri: str, *, in_use: bool = False) -> Environment:
    """One that was built for an image."""
    return Environment(
        name="ab" * 20,
        images=(uri,),
        requirements=("a>=1",),
        packages=("a==1.0",),
        python="3.11.2",
        base="",
        size_bytes=1_000,
        built_at=10.0,
        used_at=20.0,
        in_use=in_use,
    )
