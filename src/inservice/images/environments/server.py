"""What our model server needs of any Python that it is to run in, and how it gets there itself.

Its own packages are few, and an environment has them beside those of its image. Our code is not
installed: a link in the site-packages leads to that of the server which is running, so that an
environment that was built last year is served by the code of today. Compiled modules of another
Python's are no hindrance: their names say whose they are, and the source lies beside each.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

IMPORTED = ("httptools", "msgspec", "setproctitle", "uvloop")
"""What `modelserver.main` and `runtimes.process.instance` import that is not ours."""

OLDEST = "3.11"
"""The first Python that our code runs on."""

CODE = Path(__file__).resolve().parents[2]
"""The package `inservice`, wherever this server has it."""


_linking = threading.Lock()
"""Two that mend a link at once would close the directory before each other."""


@functools.cache
def requirements() -> tuple[str, ...]:
    """What an environment needs for our model server, as this server asks for it itself."""
    asked: dict[str, Requirement] = {}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for text in importlib.metadata.requires("inservice") or ():
            with contextlib.suppress(InvalidRequirement):
                asked[canonicalize_name(Requirement(text).name)] = Requirement(text)
    return tuple(f"{name}{asked[name].specifier}" if name in asked else name for name in IMPORTED)


def versions() -> dict[str, str]:
    """All packages of the server's own Python, to be preferred where several would do: a model
    should not meet another scikit-learn because its requirements.txt asks for something else."""
    return installed(None)


def installed(site_packages: Path | None) -> dict[str, str]:
    """The packages of an environment, by their normal names; of this Python's own with None.
    Nothing of them is run."""
    found: dict[str, str] = {}
    path = sys.path if site_packages is None else [str(site_packages)]
    for package in importlib.metadata.distributions(path=path):
        with contextlib.suppress(TypeError, KeyError, OSError):  # metadata that is cut short
            name, version = package.metadata["Name"], package.version
            if name and version:
                found.setdefault(canonicalize_name(name), version)
    found.pop("inservice", None)
    return dict(sorted(found.items()))


def lacking(packages: dict[str, str], asked: Iterable[str]) -> list[str]:
    """Which requirements are not met by these packages."""
    wanted = map(Requirement, asked)
    return [
        f"{each.name}{each.specifier}"
        for each in wanted
        if (version := packages.get(canonicalize_name(each.name))) is None
        or not each.specifier.contains(version, prereleases=True)
    ]


def link(site_packages: Path) -> None:
    """Have an environment find the code of this server, and nobody else's. Raises OSError."""
    with _linking:
        _link(site_packages)


def _link(site_packages: Path) -> None:
    place = site_packages / "inservice"
    with contextlib.suppress(OSError):
        if place.readlink() == CODE:
            return
    mode = site_packages.stat().st_mode & 0o7777
    draft = site_packages / f".inservice-{os.getpid()}"
    site_packages.chmod(mode | 0o200)
    try:
        draft.unlink(missing_ok=True)
        draft.symlink_to(CODE, target_is_directory=True)
        draft.replace(place)
    finally:
        site_packages.chmod(mode)
