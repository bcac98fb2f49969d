"""The files of a container on this host, and what a process has to be told of them.

What a container needs is said by reference. Here it becomes directories, and the variables by which
AWS's containers and ours find them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from inservice.contract import CODE_DIRECTORY, MODEL_DIR, SUBMIT_DIRECTORY
from inservice.runtimes.launching import Files
from inservice.workload.container import Container

_FRESH = re.compile(
    r"(LD|MALLOC|GLIBC|GOMP|OMP|OPENBLAS|GOTO|MKL|KMP|BLIS|NPY|NUMPY|SCIPY|SKLEARN|JOBLIB|LOKY)_.*"
    r"|PYTHON(?!UNBUFFERED$|DONTWRITEBYTECODE$).*"
)
"""Variables that are obeyed once, when a process or a library starts. A fork is past that, so a
model whose Environment has one gets a new interpreter: a second slower, and it means what it says.
Of Python's own, unbuffered output is what every instance has anyway."""


PATH = "PYTHONPATH"


def code_directory(container: Container, files: Files) -> Path | None:
    """Where the user's code is, as far as it came with the model: its requirements are for us to
    install. A plain path of this host is the model's own to read, with what rights it has."""
    if files.code is not None:
        return files.code
    if files.model is None:
        return None
    place = container.environment.get(SUBMIT_DIRECTORY, "").strip() or CODE_DIRECTORY
    path = Path("/", place) if place.startswith("/") else Path(MODEL_DIR, place)
    if "://" in place or not path.is_relative_to(MODEL_DIR):
        return None
    model = files.model.resolve()
    code = (model / path.relative_to(MODEL_DIR)).resolve()
    return code if code.is_relative_to(model) and code.is_dir() else None


def environment(
    container: Container,
    files: Files,
    region: str,
    image: Mapping[str, str],
    more: Mapping[str, str],
) -> dict[str, str]:
    """What its `image` sets for a container, what the service sets here, and `more` for this
    instance of it, then the model's own, which wins.

    AWS sets no SAGEMAKER_* variable for a single container: those come from the user's Environment.
    That of the code is the one whose meaning is known here alone.
    """
    ours = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    if files.model is not None:
        ours["SM_MODEL_DIR"] = str(files.model)
    code = {} if files.code is None else {SUBMIT_DIRECTORY: files.code.as_uri()}
    whole = {**image, **ours, **more, **container.environment, **code}
    packages = [each[PATH] for each in (container.environment, image) if each.get(PATH)]
    # The user's own comes first, and does not take away what the image's packages are found by.
    return {**whole, PATH: os.pathsep.join(packages)} if packages else whole


def needs_an_interpreter(container: Container) -> bool:
    """Whether its variables are obeyed by no fork of a process that has started already."""
    return any(map(is_obeyed_once, container.environment))


def is_obeyed_once(name: str) -> bool:
    """Whether a variable is read when a process or a library starts, and then no more."""
    return _FRESH.fullmatch(name) is not None
