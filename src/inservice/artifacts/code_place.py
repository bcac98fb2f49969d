"""Where a container looks for the user's code, by its variables: what `lint` has to look into.

SAGEMAKER_PROGRAM names the program, in AWS's many spellings; SAGEMAKER_SUBMIT_DIRECTORY the
directory that it is in. The model server reads them with the files before it; here there are only
the names of an artifact's members.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from inservice.contract import (
    CODE_DIRECTORY,
    MODEL_DIR,
    PROGRAM,
    SUBMIT_DIRECTORY,
    program_spellings,
)


@dataclass(frozen=True, slots=True)
class CodePlace:
    """Of one container."""

    directory: str  # in the artifact
    candidates: tuple[str, ...]  # paths in the artifact that may be the program, likeliest first
    named: str = ""  # what SAGEMAKER_PROGRAM says; empty where it is not set
    elsewhere: str = ""  # where the code is, if it is not in the artifact

    @property
    def usual(self) -> str:
        """The program by which this is spoken of, whether or not it is there."""
        return self.candidates[0]


def code_place(environment: Mapping[str, str]) -> CodePlace:
    """What the variables of a container say. An empty one is not set."""
    submitted = environment.get(SUBMIT_DIRECTORY, "").strip()
    named = environment.get("SAGEMAKER_PROGRAM", "").strip()
    directory = _inside(submitted or CODE_DIRECTORY)
    if directory is None:
        return CodePlace(
            CODE_DIRECTORY, (f"{CODE_DIRECTORY}/{PROGRAM}",), named, elsewhere=submitted
        )
    if not named:
        return CodePlace(directory, (posixpath.join(directory, PROGRAM),))
    if not named.startswith("/"):
        named_there = tuple(
            posixpath.normpath(posixpath.join(directory, name)) for name in program_spellings(named)
        )
        return CodePlace(directory, named_there, named)
    inside = _inside(named)
    if inside is None:
        usual = posixpath.join(directory, PROGRAM)
        return CodePlace(directory, (usual,), named, elsewhere=named)
    return CodePlace(directory, tuple(program_spellings(inside)), named)


def _inside(place: str) -> str | None:
    """A path as it is in the artifact; None for one that is not in it."""
    if "://" in place:
        return None
    path = posixpath.normpath(posixpath.join(MODEL_DIR, place))
    if path == MODEL_DIR:
        return ""
    inside = path.removeprefix(f"{MODEL_DIR}/")
    return None if inside == path else inside
