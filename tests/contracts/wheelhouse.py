"""Tiny packages, and the directory that they lie in: all that a test's environments are made of."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import os
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from inservice.images.environments.server import IMPORTED


def wheel(
    house: Path,
    name: str,
    version: str = "1.0",
    *,
    needs: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """A wheel with one module, named as the package is; it has its version."""
    module = name.replace("-", "_")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in needs)
    content = {
        f"{module}.py": f"version = {version!r}\n".encode(),
        **(files or {}),
        f"{module}-{version}.dist-info/METADATA": metadata.encode(),
        f"{module}-{version}.dist-info/WHEEL": (
            f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
        ),
    }
    return _zipped(house / f"{module}-{version}-{tag}.whl", content, f"{module}-{version}")


def sdist(
    house: Path,
    name: str,
    version: str = "1.0",
    *,
    at_build: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """An archive of source whose build backend is in it, so that no other package is needed. What
    `at_build` says is run whenever a wheel is built of it."""
    path = house / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in {**source(name, version, at_build=at_build), **(files or {})}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{file}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def source(name: str, version: str = "1.0", *, at_build: str = "") -> dict[str, str]:
    """The files of a package that has to be built."""
    backend = f"""
import base64, hashlib, os, pathlib, sys, time, zipfile
NAME, VERSION = {name!r}, {version!r}
META = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n"

def build_wheel(directory, config_settings=None, metadata_directory=None):
    {(at_build or "pass").replace(chr(10), chr(10) + "    ")}
    file = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    content = {{
        NAME + ".py": "version = " + repr(VERSION) + "\\n",
        info + "/METADATA": META,
        info + "/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = "".join(name + ",,\\n" for name in (*content, info + "/RECORD"))
    with zipfile.ZipFile(os.path.join(directory, file), "w") as made:
        for name, text in {{**content, info + "/RECORD": record}}.items():
            made.writestr(name, text)
    return file
"""
    project = f"""
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "{name}"
version = "{version}"
"""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {"pyproject.toml": project, "backend.py": backend, "PKG-INFO": metadata}


def for_the_server(house: Path) -> None:
    """What our model server needs, by name and version alone: nothing is in it."""
    for name in IMPORTED:
        wheel(house, name, importlib.metadata.version(name))


def packed(house: Path, name: str) -> Path:
    """A package of this Python's, as it is, as a wheel again."""
    found = importlib.metadata.distribution(name)
    info = f"{name}-{found.version}"
    content = {
        str(file): Path(os.fspath(file.locate())).read_bytes()
        for file in found.files or ()
        if ".." not in file.parts and "__pycache__" not in file.parts and file.name != "RECORD"
    }
    tags = (found.read_text("WHEEL") or "").split("Tag: ")[1:]
    return _zipped(house / f"{info}-{tags[0].strip()}.whl", content, info)


def sha256(path: Path) -> str:
    """As `--hash` has it."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _zipped(path: Path, content: Mapping[str, bytes], info: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as made:
        record = ""
        for name, data in content.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
            made.writestr(name, data)
        made.writestr(f"{info}.dist-info/RECORD", f"{record}{info}.dist-info/RECORD,,\n")
    return path
