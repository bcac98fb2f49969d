"""The images that users have added: one file, read once, replaced whole with each change.

One process writes it and answers from memory. A file that cannot be read is left as it is and
nothing is written over it: whoever asks for a name that is in no catalogue is told so, since it may
be one of those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import MappingProxyType

import msgspec

from inservice import disk
from inservice.images.base import (
    AddedImage,
    AddedImagesUnreadable,
    EnvironmentImage,
    ImageExists,
    NotRunnable,
    UnknownImage,
)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    images: list[AddedImage]


class AddedImages:
    """Them, by name. Any thread may ask."""

    def __init__(self, path: Path) -> None:
        """`path` is the file, which is there once one was added."""
        self._path = path
        self._lock = Lock()
        self._unreadable = ""
        self._images: Mapping[str, AddedImage] = MappingProxyType({})
        try:
            self._images = _read(path)
        except (OSError, msgspec.MsgspecError, UnicodeError) as error:
            self._unreadable = f"{path} cannot be read: {error}. Mend it, or move it away."

    def all(self) -> Sequence[AddedImage]:
        """All of them, by name."""
        return [self._images[name] for name in sorted(self._images)]

    def kept(self, name: str) -> AddedImage | None:
        """One, as it was added."""
        return self._images.get(name)

    def find(self, name: str) -> EnvironmentImage | NotRunnable | None:
        """What a name means; None: it is none of theirs. Not runnable, with only the reason why:
        it may be one of those that cannot be read."""
        image = self._images.get(name)
        if image is not None:
            return EnvironmentImage(
                uri=name,
                family=name,
                requirements=image.requirements,
                python=image.python,
                framework=image.framework,
                preimports=image.preimports,
            )
        return NotRunnable(name, self._unreadable) if name and self._unreadable else None

    def add(self, image: AddedImage) -> None:
        """Keep one more. Raises ImageExists, AddedImagesUnreadable, OSError."""
        with self._lock:
            if image.name in self._images:
                raise ImageExists(f'Cannot create already existing image "{image.name}".')
            self._write({**self._images, image.name: image})

    def remove(self, name: str) -> None:
        """Forget one. Raises UnknownImage, AddedImagesUnreadable, OSError."""
        with self._lock:
            if name not in self._images:
                raise UnknownImage(f'Could not find image "{name}".')
            self._write({key: image for key, image in self._images.items() if key != name})

    def _write(self, images: Mapping[str, AddedImage]) -> None:
        if self._unreadable:
            raise AddedImagesUnreadable(self._unreadable)
        file = _File([images[name] for name in sorted(images)])
        disk.write(self._path, msgspec.json.format(msgspec.json.encode(file)) + b"\n")
        self._images = MappingProxyType(dict(images))


def _read(path: Path) -> Mapping[str, AddedImage]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return MappingProxyType({})
    images = msgspec.json.decode(content, type=_File).images
    return MappingProxyType({image.name: image for image in images})
