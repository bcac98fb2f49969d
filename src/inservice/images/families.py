"""The catalogue as it is read: what each family's file says, checked when it is read.

See `inservice.images.catalogue` for what the files hold.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Final, Literal

import msgspec
from packaging.requirements import Requirement

_CATALOGUE: Final = "inservice.images.catalogue"


class Tagged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other requirements for some tags."""

    tags: tuple[str, ...]  # `*` stands for anything
    requirements: tuple[str, ...] | None = None  # None: those of the family
    python: str = ""  # "": that of the family


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Images that are run alike."""

    about: str  # a phrase: what it is, for whoever looks for it
    runs: Literal["environment", "engine", "nowhere"]
    repositories: tuple[str, ...]  # of AWS's; `*` stands for anything
    names: tuple[str, ...] = ()  # that people may use here instead
    # of an environment
    requirements: tuple[str, ...] = ()
    python: str = ""
    framework: str = ""
    preimports: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    tags: tuple[Tagged, ...] = ()
    # of anything else
    why: str = ""  # a sentence
    help: str = ""  # a sentence

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not self.repositories and not self.names:
            raise ValueError("it needs `repositories` or `names`: nothing would be of it")
        is_environment = self.runs == "environment"
        if is_environment == bool(self.why or self.help):
            raise ValueError("an environment has no `why` and `help`; anything else has both")
        given = (self.requirements, self.framework, self.preimports, self.variables, self.tags)
        if not is_environment and any(given):
            raise ValueError(
                "only an environment has requirements and what is to be done with them"
            )
        for requirements in (self.requirements, *(each.requirements for each in self.tags)):
            for each in requirements or ():
                Requirement(each)  # InvalidRequirement is a ValueError

    def for_tag(self, tag: str) -> tuple[tuple[str, ...], str]:
        """What an image with this tag asks for, sorted; and which Python."""
        for other in self.tags:
            if any(fnmatchcase(tag, pattern) for pattern in other.tags):
                wanted = self.requirements if other.requirements is None else other.requirements
                return tuple(sorted(wanted)), other.python or self.python
        return tuple(sorted(self.requirements)), self.python


class FamilyUnreadable(Exception):
    """A file of the catalogue is not what it has to be; the message names it and says why."""


def read(name: str, text: str) -> Family:
    """A family from its file. Raises FamilyUnreadable."""
    try:
        return msgspec.toml.decode(text, type=Family)
    except (msgspec.ValidationError, ValueError) as error:
        raise FamilyUnreadable(f"{name}.toml: {error}") from error


@functools.cache
def families() -> Mapping[str, Family]:
    """Every family that there is a file of, by name, in their order. Raises FamilyUnreadable."""
    found = sorted(files(_CATALOGUE).iterdir(), key=lambda file: file.name)
    return {
        name: read(name, file.read_text(encoding="utf-8"))
        for file in found
        if (name := file.name.removesuffix(".toml")) != file.name
    }


@functools.cache
def frameworks() -> frozenset[str]:
    """The plugs that the catalogue's environments are served by."""
    return frozenset(each.framework for each in families().values() if each.framework)
