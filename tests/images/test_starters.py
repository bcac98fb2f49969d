"""Each folder that `inservice model init` writes: trained, served and passes as its README says.

Environments are built where INSERVICE_TEST_ENVIRONMENTS says, so that a second run finds them.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.cli.model import init
from inservice.images.base import EnvironmentImage
from inservice.images.environments.built import BuiltEnvironments
from inservice.images.resolve import Catalogue
from tests.cli.test_model_init import begin, passes

pytestmark = pytest.mark.images

WITHOUT_A_MODEL = {"gguf": "its model is nobody's to bring along"}


@pytest.mark.parametrize("framework", [f for f in init.frameworks() if f not in WITHOUT_A_MODEL])
def test_a_folder_works(tmp_path: Path, framework: str) -> None:
    data_dir = Path(os.environ.get("INSERVICE_TEST_ENVIRONMENTS", tmp_path / "data"))
    folder = begin(tmp_path / "folder", framework)
    begun = init.starter(framework)
    if (folder / "train.py").exists():
        image = Catalogue().resolve(begun.image)
        assert isinstance(image, EnvironmentImage)
        wanted = tuple(sorted({*image.requirements, *begun.needs}))
        python = asyncio.run(_python(data_dir, replace(image, requirements=wanted)))
        subprocess.run([python, "train.py"], cwd=folder, check=True)
    passes(folder, data_dir)


async def _python(data_dir: Path, image: EnvironmentImage) -> str:
    """One that has what the script imports beside what the image has."""
    environments = BuiltEnvironments(data_dir / "environments")
    try:
        return (await environments.interpreter(image, None)).executable or sys.executable
    finally:
        await environments.close()
