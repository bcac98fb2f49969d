"""Which Python an instance runs in, as the fork server is told.

Who has the environments vouches for what an image has. That is what zygotes are made of, and the
first thing that any instance is. What the user's code asks for on top, nobody vouches for: it is a
layer above the first, and is entered by the instance itself (see `layers`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from inservice.images.base import EnvironmentImage, Images, NotRunnable, OciImage
from inservice.runtimes.base import Environments, ImageNotRunnable, Interpreter, Tell
from inservice.runtimes.process import files
from inservice.runtimes.process.protocol import Python
from inservice.runtimes.process.zygotes import SERVER, SINGLE_THREADED

FRAMEWORK = "INSERVICE_FRAMEWORK"
"""The variable by which the model server is told its plug."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The Python of one instance."""

    python: Python
    layer: str  # "": none
    roots: tuple[str, ...]
    variables: Mapping[str, str]  # below what the container's definition sets
    fresh: bool  # some of its variables are obeyed by no fork


class Pythons:
    """Who knows images, and who has their Pythons, asked as a launch has to."""

    def __init__(self, images: Images, environments: Environments) -> None:
        self._images = images
        self._environments = environments

    def image(self, uri: str) -> EnvironmentImage:
        """The image, if it is one that processes can stand in for. Raises ImageNotRunnable."""
        match self._images.resolve(uri):
            case EnvironmentImage() as image:
                return image
            case NotRunnable(why=why, help=advice):
                raise ImageNotRunnable(f"{why} {advice}".strip())
            case OciImage():
                raise ImageNotRunnable(
                    f"The image '{uri}' is a container image, which only a container engine runs."
                )

    async def prepare(self, uri: str) -> Python:
        """What an image alone has. Raises ImageNotRunnable, EnvironmentUnavailable."""
        return prepared(await self._environments.interpreter(self.image(uri), None))

    async def choose(self, image: EnvironmentImage, code: Path | None, tell: Tell) -> Chosen:
        """The Python for an image and the user's code. Raises EnvironmentUnavailable."""
        building = _beginning(f"building the environment of {image.family}", tell)
        interpreter = await self._environments.interpreter(image, None, building)
        if code is not None:
            installing = _beginning("installing what code/requirements.txt names", tell)
            interpreter = await self._environments.interpreter(image, code, installing)
        found = chosen(interpreter)
        framework = {FRAMEWORK: image.framework} if image.framework else {}
        return replace(found, variables={**found.variables, **framework})


def prepared(interpreter: Interpreter) -> Python:
    """The Python that an image alone has."""
    return Python(
        executable=interpreter.executable,
        preimports=tuple(dict.fromkeys((*SERVER, *interpreter.preimports))),
        variables=tuple(sorted(interpreter.variables.items())),
    )


def _beginning(phase: str, tell: Tell) -> Tell:
    """One that says what it is told as how far that phase is."""
    return lambda clause: tell(f"{phase}: {clause}")


def chosen(interpreter: Interpreter) -> Chosen:
    """What to launch for it: itself, or as a layer on what is beneath it."""
    base = interpreter.beneath or interpreter
    layer = "" if interpreter.beneath is None else _prefix(interpreter.executable)
    obeyed = {**base.variables, **SINGLE_THREADED}
    both = [each for each in (interpreter, base) if each.executable]
    roots = [root for each in both for root in (*each.roots, _prefix(each.executable))]
    return Chosen(
        python=prepared(base),
        layer=layer,
        roots=tuple(dict.fromkeys(roots)),
        variables={
            **found_first(interpreter.executable or sys.executable),
            **interpreter.variables,
        },
        fresh=any(
            obeyed.get(name) != value
            for name, value in interpreter.variables.items()
            if files.is_obeyed_once(name)
        ),
    )


def found_first(executable: str) -> dict[str, str]:
    """The variables by which programs that are called by their names come from the same place:
    `python` and `pip` in a model's code mean those of its environment."""
    prefix, programs = _prefix(executable), os.path.dirname(executable)  # noqa: PTH120 - no links
    others = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join([programs, *(each for each in others if each != programs)])
    found = {"PATH": path}
    if Path(prefix, "pyvenv.cfg").is_file():
        found["VIRTUAL_ENV"] = prefix
    return found


def _prefix(executable: str) -> str:
    """The directory that its environment is, by its name: what the link leads to is elsewhere."""
    return str(Path(executable).parents[1])
