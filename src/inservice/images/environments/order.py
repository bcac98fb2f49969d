"""What is to be built, as a value: how an environment is named, and what its builder is told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from inservice.images.environments.pip_settings import PipSettings
from inservice.images.environments.pythons import Python
from inservice.images.environments.requirements_file import Wanted

_FORM = 1
"""Of what is in an environment's directory: another number, and none that was built before fits."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One environment that is to be built."""

    name: str
    directory: str  # of all environments
    python: Python
    own: tuple[str, ...]  # requirements of our model server
    requirements: tuple[str, ...] = ()  # of an image
    preferred: dict[str, str] = {}  # versions that are taken where they will do
    base: str = ""  # of a layer: the environment that it is laid on
    wanted: Wanted | None = None  # of a layer: what it asks for
    code: str = ""  # of a layer: the directory that brings it
    settings: PipSettings = PipSettings()
    netrc: str = ""  # a file with passwords for hosts; it is given to no code of a package
    uv: str = ""  # the program; "": pip installs
    apart: tuple[str, ...] = ()
    """A command that runs another with less rights; `{…}` and the command are appended to it."""
    hidden: tuple[str, ...] = ()  # directories that code of packages is not to see
    seconds: float = 1800.0

    def with_code(self, directory: Path) -> Order:
        """The same, with what is taken of the code from another directory."""
        if self.wanted is None:
            return self
        real, there = os.path.realpath(self.code), str(directory)
        return msgspec.structs.replace(self, wanted=self.wanted.moved(real, there), code=there)

    def settled(self, **how: object) -> Order:
        """The same, with what a host says of how it is to be carried out."""
        return msgspec.structs.replace(self, **how)


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far a builder has come."""

    clause: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The environment is there."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The environment is not there, and why."""

    why: str
    errno: int = 0  # of a shortage of the host, or of its network; 0: it is neither


Said = Progress | Done | Failed
"""What a builder writes, a line of JSON each."""


def normal(requirements: Iterable[str]) -> tuple[str, ...]:
    """Requirements without the differences that mean nothing, sorted."""
    return tuple(sorted({_normal(each) for each in requirements}))


def _normal(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:  # whoever installs it has a word for it
        return text.strip()
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def name_of(
    python: Python, requirements: Iterable[str], own: Iterable[str], base: str = "", layer: str = ""
) -> str:
    """The name of an environment: the digest of all that it is made from."""
    made_from = (
        _FORM,
        (python.version, python.implementation, python.platform, python.libc),
        normal(requirements),
        normal(own),
        base,
        layer,
    )
    return hashlib.sha256(msgspec.json.encode(made_from)).hexdigest()[:32]
