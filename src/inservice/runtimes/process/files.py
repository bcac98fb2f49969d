"""The files of a container on this host, and what a process has to be told of them.

What a container needs is said by reference. Here it becomes directories, and the variables by which
AWS's containers and ours find them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inservice.contract import SUBMIT_DIRECTORY
from inservice.runtimes.base import Assets
from inservice.workload.container import Container

_FRESH = re.compile(
    r"(LD|MALLOC|GLIBC|GOMP|OMP|OPENBLAS|GOTO|MKL|KMP|BLIS|NPY|NUMPY|SCIPY|SKLEARN|JOBLIB|LOKY)_.*"
    r"|PYTHON(?!UNBUFFERED$|DONTWRITEBYTECODE$).*"
)
"""Variables that are obeyed once, when a process or a library starts. A fork is past that, so a
model whose Environment has one gets a new interpreter: a second slower, and it means what it says.
Of Python's own, unbuffered output is what every instance has anyway."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the assets of one container are on this host: read-only, shared between instances."""

    model: Path | None = None
    code: Path | None = None


async def fetched(container: Container, assets: Assets, seconds: float) -> Files:
    """All that it needs, each within so many seconds. Raises AssetUnavailable, OSError."""
    return Files(
        model=await assets.fetch(container.model, seconds) if container.model else None,
        code=await assets.fetch(container.code, seconds) if container.code else None,
    )


def environment(
    container: Container, files: Files, region: str, more: Mapping[str, str]
) -> dict[str, str]:
    """What the service sets for a container here, and `more` for this instance of it, then the
    model's own, which wins.

    AWS sets no SAGEMAKER_* variable for a single container: those come from the user's Environment.
    That of the code is the one whose meaning is known here alone.
    """
    ours = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    if files.model is not None:
        ours["SM_MODEL_DIR"] = str(files.model)
    code = {} if files.code is None else {SUBMIT_DIRECTORY: files.code.as_uri()}
    return {**ours, **more, **container.environment, **code}


def needs_an_interpreter(container: Container) -> bool:
    """Whether its variables are obeyed by no fork of a process that has started already."""
    return any(_FRESH.fullmatch(name) for name in container.environment)
