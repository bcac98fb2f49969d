"""What the user's code asks for on top of its image: a virtual environment above another Python.

A layer holds packages that a requirements.txt names, and nobody vouches for those: the `.pth` files
and the `sitecustomize` among them are code that runs as soon as an interpreter starts that has them
on its path. So no process of a server, which may be root's, ever starts the Python of a layer. It
starts, or forks, the Python beneath it; and only the instance itself, when it has given up every
right that its model has not, puts the layer before the packages of its own (`enter`), with all that
was imported before the fork still there.

That is no good where the layer brings another version of something that is imported already, which
is numpy as often as not (`is_in_the_way`). Then the instance becomes the Python of the layer. A
layer may hold what is beneath it as well, file for file: the very same file is the same version.
"""

from __future__ import annotations

import importlib
import os
import site
import sys
from pathlib import Path

PACKAGES = ("site-packages", "dist-packages")
"""What a directory of packages is called. The first on the path comes after the standard library,
and all after it were put there by what is in such directories."""


def python_of(layer: str) -> str:
    """Its own interpreter, for who has no right left to lose."""
    return f"{layer}/bin/python"


def is_in_the_way(layer: str) -> bool:
    """Whether something is imported that the layer has in another version."""
    above = _packages(layer)
    try:
        has = {entry.name.partition(".")[0] for entry in Path(above).iterdir()}
    except OSError:  # no layer for this version of Python: its own interpreter knows
        return True
    beneath = tuple(f"{path}/" for path in sys.path[_first_of_packages() :])
    files = (getattr(module, "__file__", None) for module in (*sys.modules.values(),))
    for file in filter(None, files):
        root = next((path for path in beneath if file.startswith(path)), None)
        if root is None:
            continue
        name = file.removeprefix(root)
        if name.partition("/")[0].partition(".")[0] in has and not _is_same(
            file, f"{above}/{name}"
        ):
            return True
    return False


def enter(layer: str) -> None:
    """Have packages found from now on as the layer's own interpreter would."""
    del sys.path[_first_of_packages() :]
    site.addsitedir(_packages(layer))
    importlib.invalidate_caches()
    # What the code starts by `sys.executable` is to find the layer as well.
    sys.executable = python_of(layer)
    sys.prefix = sys.exec_prefix = layer


def _first_of_packages() -> int:
    """Where on the path what is installed begins."""
    first = (n for n, path in enumerate(sys.path) if Path(path).name in PACKAGES)
    return next(first, len(sys.path))


def _is_same(file: str, other: str) -> bool:
    try:
        return os.path.samefile(file, other)  # noqa: PTH121 - thousands of them, in a fork
    except OSError:
        return False


def _packages(layer: str) -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return f"{layer}/lib/{version}/site-packages"
