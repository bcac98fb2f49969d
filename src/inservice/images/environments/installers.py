"""What is run to make an environment and to fill it: uv, or pip where uv cannot be used.

Both are told where packages are by a file in the build's own directory, and read no other. An
installer runs no code of a package as long as it takes wheels alone: that is `build=False`, and is
always tried first. What has to be built from source is built by another user, where there can be
one, in a directory and with a cache of its own (`steps`).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from inservice import disk
from inservice.images.environments.pip_settings import (
    PipSettings,
    as_pip_conf,
    as_toml,
    uv_document,
)
from inservice.images.environments.pythons import Python

Command = list[str]


@dataclass(frozen=True, slots=True)
class Files:
    """What a command reads beside its arguments."""

    settings: Path  # of the installer, in its own form
    requirements: Path  # lines
    constraints: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Install:
    """Lines that are to be installed, and how."""

    files: Files
    environment: Path
    settings: PipSettings
    deps: bool = False  # also what they need
    hashed: bool = False  # nothing that a hash does not vouch for
    target: Path | None = None  # for the environment, but into this directory
    build: bool = False  # what there is no wheel of, is built
    dry: bool = False  # only find out whether it could be done


class Uv:
    """PyPI's `uv`."""

    def __init__(self, program: str, title: str = "uv") -> None:
        self._program = program
        self.title = title

    def write_settings(self, path: Path, settings: PipSettings) -> None:
        """What `Files.settings` is to be. Raises OSError."""
        _write(path, as_toml(uv_document(settings)))

    def make(self, python: Python, environment: Path, settings: Path) -> Command:
        """Make an environment with nothing in it."""
        options = ("--relocatable", "--no-project", "--allow-existing", "--config-file", settings)
        return self._said("venv", *options, "--python", python.executable, environment)

    def resolve(
        self, files: Files, environment: Path, lock: Path, settings: PipSettings, *, build: bool
    ) -> Command:
        """Write the exact versions that requirements come to into `lock`; those that are in it
        already where they will do."""
        return self._said(
            *("pip", "compile", "--no-header", "--no-annotate", "--no-strip-extras"),
            *("--config-file", files.settings, "--python", environment / "bin" / "python"),
            *_uv_limits(files, settings, build=build),
            *("-o", lock, files.requirements),
        )

    def install(self, what: Install) -> Command:
        """Install lines."""
        return self._said(
            *("pip", "install", "--link-mode", "hardlink"),
            *("--config-file", what.files.settings),
            *("--python", what.environment / "bin" / "python"),
            *_uv_limits(what.files, what.settings, build=what.build),
            *_how(what),
            *("-r", what.files.requirements),
        )

    def _said(self, *words: str | Path) -> Command:
        return [self._program, *map(str, words)]


class Pip:
    """The pip of the server's own Python, which installs for others."""

    def __init__(self, title: str = "pip") -> None:
        self.title = title

    def write_settings(self, path: Path, settings: PipSettings) -> None:
        """What `Files.settings` is to be. Raises OSError."""
        _write(path, as_pip_conf(settings))

    def make(self, python: Python, environment: Path, settings: Path) -> Command:  # noqa: ARG002
        """Make an environment with nothing in it."""
        return [python.executable, "-I", "-m", "venv", "--without-pip", str(environment)]

    def install(self, what: Install) -> Command:
        """Install lines."""
        return self._said(
            what.environment,
            *("install", "--no-compile"),
            *_limits(what.files),
            *([] if what.build else ["--only-binary", ":all:"]),
            *_how(what),
            *("-r", what.files.requirements),
        )

    def wheels(self, files: Files, environment: Path, into: Path, *, hashed: bool) -> Command:
        """Collect wheels of lines and of what they need, built where there are none."""
        return self._said(
            environment,
            *("wheel", "--wheel-dir", into),
            *_limits(files),
            *(["--require-hashes"] if hashed else []),
            *("-r", files.requirements),
        )

    def _said(self, environment: Path, *words: str | Path) -> Command:
        python = str(environment / "bin" / "python")
        return [sys.executable, "-P", "-m", "pip", "--python", python, *map(str, words)]


Installer = Uv | Pip


def _how(what: Install) -> list[str | Path]:
    said: list[str | Path] = []
    said += [] if what.deps else ["--no-deps"]
    said += ["--require-hashes"] if what.hashed else []
    said += ["--target", what.target] if what.target else []
    said += ["--dry-run"] if what.dry else []
    return said


def _limits(files: Files) -> list[str | Path]:
    return [word for path in files.constraints for word in ("-c", path)]


def _uv_limits(files: Files, settings: PipSettings, *, build: bool) -> list[str | Path]:
    """What pip has in its settings, and uv as arguments."""
    binary = settings.only_binary if build else ()
    forbidden: list[str | Path] = [] if build else ["--no-build"]
    return [
        *_limits(files),
        *forbidden,
        *(word for package in binary for word in ("--only-binary", package)),
        *(word for package in settings.no_binary for word in ("--no-binary", package)),
    ]


def _write(path: Path, text: str) -> None:
    """For its owner alone: it may hold passwords."""
    disk.write(path, text.encode(), synced=False)


def find_uv() -> str:
    """The program uv that this Python has, or the host; "" where none of them runs."""
    found: list[str] = []
    if importlib.util.find_spec("uv") is not None:
        import uv  # here: it is of no use where its program cannot run

        with contextlib.suppress(FileNotFoundError):
            found.append(os.fspath(uv.find_uv_bin()))
    found += filter(None, [shutil.which("uv")])
    return next((program for program in found if _title(program)), "")


def installer(uv: str) -> Installer | None:
    """By the program uv, or with pip where that is "". None: there is neither."""
    if uv and (title := _title(uv)):
        return Uv(uv, title)
    if importlib.util.find_spec("pip") is None:
        return None
    return Pip(f"pip {importlib.metadata.version('pip')}")


def _title(program: str) -> str:
    """What it says that it is; "" if it does not run."""
    try:
        said = subprocess.run(  # noqa: S603 - what pip has installed
            [program, "--version"], capture_output=True, timeout=30, check=True, text=True
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return " ".join(said.split()[:2])
