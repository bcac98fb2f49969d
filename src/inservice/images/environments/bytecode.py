"""Bytecode that a layer has from its base, of modules that are the layer's own by now.

Python takes bytecode for a source's by its time in whole seconds and its size, and compileall by
its time alone. Both can be the same in two versions of a package: files have the time at which
they were unpacked, and versions that are unpacked together the same. Whoever replaces a file thus
has to remove what was compiled of the one before; uv does not.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def drop_stale(site_packages: Path, of_base: Path) -> None:
    """Remove the bytecode of each module that is another file than in the base, or is not in it.
    Raises OSError."""
    for directory, _, files in os.walk(site_packages):
        path = Path(directory)
        if path.name != "__pycache__":
            continue
        for name in files:
            try:
                source = Path(importlib.util.source_from_cache(str(path / name)))
            except ValueError:  # it is no bytecode
                continue
            if not _is_one_file(source, of_base / source.relative_to(site_packages)):
                (path / name).unlink()


def _is_one_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False
