"""What is built and what of it is needed: listed, and removed when nobody needs it any more."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from inservice.images.base import Environment, EnvironmentInUse, UnknownEnvironment
from inservice.images.environments import installers, strays
from inservice.images.environments.places import Busy, Places

_BUILDS = "cache"
"""The name of a lock: shared by those who build, exclusive for who clears what they take from."""


def listed(store: Places, wanted: Collection[str]) -> list[Environment]:
    """All environments, the one that was used last first; `wanted` are in use in any case."""
    names = list(store.names())
    used = strays.users(store.root, iter(names)) | {*wanted}
    found = (_one(store, name, in_use=name in used) for name in names)
    return sorted(filter(None, found), key=lambda each: each.used_at, reverse=True)


def _one(store: Places, name: str, *, in_use: bool) -> Environment | None:
    record = store.record(name)
    if record is None:
        return None
    images, used_at = store.uses(name)
    return Environment(
        name=name,
        images=images,
        requirements=record.requirements,
        packages=tuple(f"{package}=={version}" for package, version in record.packages.items()),
        python=record.python.version,
        base=record.base,
        size_bytes=record.size_bytes,
        built_at=record.built_at,
        used_at=max(used_at, record.built_at),
        in_use=in_use,
    )


def remove(store: Places, beginning: str, wanted: Collection[str]) -> Environment:
    """Remove the one whose name begins so. Raises UnknownEnvironment, EnvironmentInUse, OSError."""
    found = [each for each in listed(store, wanted) if each.name.startswith(beginning)]
    if len(found) != 1 or not beginning:
        count = len(found) if beginning else 0
        raise UnknownEnvironment(
            f"{count or 'No'} environment{'s' if count > 1 else ''} that "
            f"{'are' if count > 1 else 'is'} built here begin{'s' if count < 2 else ''} with "
            f"'{beginning}'."
        )
    environment = found[0]
    if environment.in_use:
        raise EnvironmentInUse(f"The environment {environment.name} is used by what runs.")
    try:
        with store.held(environment.name, wait=False):
            store.put_away(environment.name)
    except Busy as busy:
        raise EnvironmentInUse(f"The environment {environment.name} is just asked for.") from busy
    return environment


def prune(store: Places, used_before: float, wanted: Collection[str]) -> list[Environment]:
    """Remove those that nobody asked for since that moment (epoch seconds), but none that is in
    use, and what of the cache nothing shares. Raises OSError."""
    removed = []
    for environment in listed(store, wanted):
        if environment.in_use or environment.used_at > used_before:
            continue
        with contextlib.suppress(EnvironmentInUse, UnknownEnvironment):
            removed.append(remove(store, environment.name, wanted))
    # Those that cannot be run any more, since their Python is gone, are of no use to anybody.
    for name in [name for name in store.names() if store.record(name) is None]:
        with contextlib.suppress(Busy), store.held(name, wait=False):
            store.put_away(name)
    store.sweep()
    with contextlib.suppress(Busy), store.held(_BUILDS, wait=False):
        _clean(store.cache)
    return removed


def building(store: Places) -> contextlib.AbstractContextManager[None]:
    """What whoever builds holds, so that nobody clears what it is about to share."""
    return store.held(_BUILDS, shared=True)


def _clean(cache: Path) -> None:
    """Take out of uv's cache what no environment has a file of. uv does it, by the names of
    packages: what else it has written down about them has to go as well."""
    names = sorted({name for package in _unshared(cache) for name in _names(package)})
    uv = installers.find_uv()
    if names and uv:
        subprocess.run(  # noqa: S603 - the same uv that has filled it
            [uv, "cache", "clean", "--quiet", "--cache-dir", str(cache), *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,  # what is left there costs room, and nothing else
        )


def _unshared(cache: Path) -> Iterator[Path]:
    """The unpacked packages that no environment has a file of."""
    archives = cache / "archive-v0"
    for package in list(archives.iterdir()) if archives.is_dir() else ():
        if package.is_dir() and not any(_is_shared(package)):
            yield package


def _names(package: Path) -> Iterator[str]:
    for metadata in package.glob("*.dist-info"):
        yield metadata.name.partition("-")[0].replace("_", "-").lower()


def _is_shared(package: Path) -> Iterator[bool]:
    for directory, _, files in os.walk(package):
        for name in files:
            yield (Path(directory) / name).lstat().st_nlink > 1
