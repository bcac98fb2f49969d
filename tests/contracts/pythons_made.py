"""Virtual environments as a builder makes them, in a fraction of a second: nothing is installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import inservice
from inservice.images.base import EnvironmentImage, OciImage, Resolved
from inservice.runtimes.base import Interpreter, Tell, tell_nobody

WHAT_THE_SERVER_NEEDS = (str(Path(inservice.__file__).parents[1]), sysconfig.get_path("purelib"))


def packages_of(prefix: Path) -> Path:
    """Where the packages of a virtual environment are."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return prefix / "lib" / version / "site-packages"


def made(prefix: Path, files: Mapping[str, str], *above: Path) -> Path:
    """An environment with these files among its packages, above others, or else above what
    InService needs. Its Python."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(prefix)]
    subprocess.run(command, check=True)
    packages = packages_of(prefix)
    for name, text in files.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    beneath = [str(packages_of(each)) for each in above]
    for each in above:
        beneath += (packages_of(each) / "zz_beneath.pth").read_text().splitlines()
    lines = beneath or [*WHAT_THE_SERVER_NEEDS]
    (packages / "zz_beneath.pth").write_text("".join(f"{line}\n" for line in lines))
    return prefix / "bin" / "python"


class Catalogue:
    """`Images` of a test: every name is an environment, but for one."""

    OCI = "registry.example/mine:3"

    def __init__(self, **fields: object) -> None:
        self.fields = fields

    def resolve(self, uri: str) -> Resolved:
        if uri == self.OCI:
            return OciImage(uri)
        return EnvironmentImage(uri, "mine", **self.fields)  # type: ignore[arg-type]


class Made:
    """`Environments` of a test: one Python for all images, and one for all code."""

    def __init__(self, of_image: Interpreter, with_code: Interpreter | None = None) -> None:
        self.of_image = of_image
        self.with_code = with_code or of_image
        self.asked: list[Path | None] = []
        self.fails: Exception | None = None
        self.open = asyncio.Event()  # until then it is built
        self.open.set()
        self.begun = asyncio.Event()
        self.given_up = 0

    async def interpreter(
        self, image: EnvironmentImage, code: Path | None, tell: Tell = tell_nobody
    ) -> Interpreter:
        self.asked.append(code)
        self.begun.set()
        if not self.open.is_set():
            tell("installing 3 packages")
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.fails is not None:
            raise self.fails
        return self.of_image if code is None else self.with_code
