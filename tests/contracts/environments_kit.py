"""A host with tiny wheels that environments are built from, and what is asked of those."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from inservice.images.base import EnvironmentImage
from inservice.images.environments.built import BuiltEnvironments
from inservice.runtimes.base import EnvironmentUnavailable, Interpreter
from tests.contracts import wheelhouse

IMAGE = EnvironmentImage("example/tiny:1", "tiny", ("tiny-framework>=1",))


class Host:
    """A directory of wheels, which is all that pip is told of, and what is built from it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.house = place / "wheels"
        self.root = place / "environments"
        self.codes = 0
        if self.house.exists():
            return
        wheelhouse.for_the_server(self.house)
        wheelhouse.wheel(self.house, "tiny-framework", "1.2", needs=["tiny-numbers"])
        for version in ("1.0", "2.0"):
            wheelhouse.wheel(self.house, "tiny-numbers", version)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place / "nobody"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.house),
        }

    def builds(self, **options: Any) -> BuiltEnvironments:
        return BuiltEnvironments(self.root, **{"variables": self.variables, **options})

    def code(self, requirements: str | bytes, **files: str | bytes) -> Path:
        """The code of a model."""
        self.codes += 1
        code = self.place / f"model-{self.codes}" / "code"
        code.mkdir(parents=True)
        for name, content in {"requirements.txt": requirements, **files}.items():
            text = content if isinstance(content, bytes) else content.encode()
            (code / name).write_bytes(text)
        return code

    def run(self, asking: Callable[[BuiltEnvironments], Coroutine[Any, Any, Any]], **o: Any) -> Any:
        async def asked() -> Any:
            builds = self.builds(**o)
            try:
                return await asking(builds)
            finally:
                await builds.close()

        return asyncio.run(asked())

    def have(
        self, code: Path | None = None, image: EnvironmentImage = IMAGE, **options: Any
    ) -> Interpreter:
        made = self.run(lambda builds: builds.interpreter(image, code), **options)
        assert isinstance(made, Interpreter)
        return made

    def refused(self, *args: Any, **options: Any) -> str:
        with pytest.raises(EnvironmentUnavailable) as refused:
            self.have(*args, **options)
        assert not list((self.root / "building").glob("*")), "nothing is left behind"
        return str(refused.value)


def said(python: Interpreter, program: str) -> str:
    """What a program prints in an environment."""
    return subprocess.run(
        [python.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.strip()


def versions(python: Interpreter, *names: str) -> list[str]:
    return said(
        python,
        f"from importlib.metadata import version as v; print(*(v(name) for name in {names!r}))",
    ).split()


def builds_of(host: Host) -> set[str]:
    return {path.name for path in host.root.glob("????????????????????????????????")}
