"""Whether the server's own Python has what an image asks for.

Asked before each launch, so it has to be cheap; and people install a framework beside a server that
runs, so it has to see what came, went and changed since. What is found is therefore remembered with
the times of the directories that packages lie in, which an installer changes with each package that
it adds or removes. That something lacks is never remembered: an installer makes the directory of a
package's metadata before it writes the file in it, and whoever looked between the two would
otherwise hear of it no more.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_REMEMBERED = 256
"""Of lists that were met. A host has a few dozen images; more are strangers', and start over."""

SAME_MODULES: Final = {
    "onnxruntime": ("onnxruntime-gpu",),
    "tensorflow-cpu": ("tensorflow",),
    "xgboost-cpu": ("xgboost",),
}
"""By the name that images ask for, packages with the same modules, and more: who has installed one
of them beside the server has what was asked for."""

_met: dict[tuple[str, ...], tuple[tuple[str, int], ...]] = {}
"""Lists of requirements that were met → the places of packages, and their times, as they were."""


def met(requirements: Sequence[str]) -> tuple[str, ...]:
    """Which of these, as PEP 508 writes them, the Python that runs this lacks or has in another
    version; in their order. Empty: it has them all.

    What is not for this platform or version, by its marker, it does not lack; what is said by an
    address (`name @ https://…`) it does, since nothing tells that this is what was installed.
    """
    wanted, places = tuple(requirements), _places()
    if _met.get(wanted) == places:
        return ()
    lacking = tuple(each for each in wanted if not _has(each))
    if not lacking:
        if len(_met) >= _REMEMBERED:
            _met.clear()
        _met[wanted] = places
    return lacking


def _places() -> tuple[tuple[str, int], ...]:
    """Where packages are looked for, each with when it changed last."""

    def found() -> Iterator[tuple[str, int]]:
        for place in sys.path:
            try:
                yield place, Path(place).stat().st_mtime_ns
            except OSError:
                continue

    return tuple(found())


def _has(text: str) -> bool:
    try:
        return _is_there(Requirement(text), set())
    except ValueError:  # no requirement, or a marker that compares what cannot be compared
        return False


def _is_there(wanted: Requirement, seen: set[tuple[str, frozenset[str]]], extra: str = "") -> bool:
    """Whether a requirement is met, with those of the extras that it names. `seen` is what was
    looked at on the way here: extras of one package often name each other."""
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
        return True
    if wanted.url is not None:
        return False
    name = canonicalize_name(wanted.name)
    names = (name, *SAME_MODULES.get(name, ()))
    package = next((each for each in map(_installed, names) if _fits(each, wanted)), None)
    if package is None:
        return False
    here = (name, frozenset(wanted.extras))
    if not wanted.extras or here in seen:
        return True
    seen.add(here)
    needs = [Requirement(each) for each in package.requires or ()]
    return all(
        _is_there(each, seen, name)
        for name in sorted(wanted.extras)
        for each in needs
        if each.marker is not None and "extra" in str(each.marker)
    )


def _installed(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, OSError):
        return None


def _fits(package: importlib.metadata.Distribution | None, wanted: Requirement) -> bool:
    if package is None:
        return False
    try:
        version = Version(package.version)
    except (InvalidVersion, TypeError, KeyError, OSError):
        return False  # metadata without a version is that of an install that was cut short
    return wanted.specifier.contains(version, prereleases=True)
