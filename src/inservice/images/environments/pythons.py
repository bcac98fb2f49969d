"""Which Pythons this host has beside the server's own.

An image that wants another version gets it where a host usually has one: on PATH, where
distributions put them, and where pyenv, uv, conda and asdf do. What is there is asked who it is: a
name says little (pyenv's are scripts that fail when a version is not chosen).
"""

from __future__ import annotations

import functools
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

_ASKED = """
import json, platform, sys, sysconfig
print(json.dumps(dict(executable=sys._base_executable, version=platform.python_version(),
    implementation=sys.implementation.name, platform=sysconfig.get_platform(),
    libc=" ".join(platform.libc_ver()), prefix=sys.base_prefix)))
"""

_USUAL = (
    *("/usr/local/bin", "/usr/bin", "/opt/python*/bin", "/opt/conda/bin", "/opt/conda/envs/*/bin"),
    *("~/.pyenv/versions/*/bin", "~/.local/share/uv/python/*/bin", "~/.asdf/installs/python/*/bin"),
    *("~/miniconda3/bin", "~/miniconda3/envs/*/bin", "~/miniforge3/bin", "~/miniforge3/envs/*/bin"),
    *("~/.local/bin", "~/.rye/py/*/bin"),
)


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter of this host that environments can be made of."""

    executable: str  # of no virtual environment
    version: str  # "3.12.1"
    implementation: str  # "cpython"
    platform: str  # "linux-x86_64"
    libc: str  # "glibc 2.36"
    prefix: str  # what has to be readable for whoever runs it

    def is_asked(self, wanted: str) -> bool:
        """Whether it is of the version that somebody wants: "3", "3.12" or "3.12.1"."""
        return f"{self.version}.".startswith(f"{wanted}.")

    def is_older_than(self, version: str) -> bool:
        """Whether it is of an earlier version."""
        return _numbers(self.version) < _numbers(version)

    @property
    def site_packages(self) -> Path:
        """Where an environment of it has its packages, seen from the environment."""
        major, minor, *_ = self.version.split(".")
        return Path("lib", f"python{major}.{minor}", "site-packages")


def own() -> Python:
    """What this server runs on, or what its virtual environment was made of."""
    return Python(
        executable=getattr(sys, "_base_executable", sys.executable),
        version=platform.python_version(),
        implementation=sys.implementation.name,
        platform=sysconfig.get_platform(),
        libc=" ".join(platform.libc_ver()),
        prefix=sys.base_prefix,
    )


def find(wanted: str, variables: Mapping[str, str] = os.environ) -> Python | None:
    """The newest Python of a version; the server's own if it is of that. None: there is none."""
    if not wanted or own().is_asked(wanted):
        return own()
    fitting = [python for python in there(variables) if python.is_asked(wanted)]
    return max(fitting, key=lambda python: _numbers(python.version), default=None)


def there(variables: Mapping[str, str] = os.environ) -> list[Python]:
    """All Pythons that are found, each once, the oldest first. Those that cannot run are none."""
    found: dict[str, Python] = {}
    for path in _candidates(variables):
        try:
            real = path.resolve(strict=True)
            python = _asked(str(real), real.stat().st_mtime_ns)
        except (OSError, RuntimeError):
            continue
        if python is not None and python.version.startswith("3."):
            found.setdefault(os.path.realpath(python.executable), python)
    return sorted(found.values(), key=lambda python: _numbers(python.version))


_NAME = re.compile(r"python3(\.\d+)?")


def _candidates(variables: Mapping[str, str]) -> Iterator[Path]:
    directories = [Path(part) for part in variables.get("PATH", "").split(":") if part]
    home = Path(variables.get("HOME") or "~").expanduser()
    for usual in _USUAL:
        pattern = str(home / usual[2:]) if usual.startswith("~/") else usual
        directories += sorted(Path("/").glob(pattern.lstrip("/")))
    for directory in dict.fromkeys(directories):
        try:
            names = sorted(os.listdir(directory))  # noqa: PTH208 - names alone, of whole /usr/bin
        except OSError:
            continue
        yield from (directory / name for name in names if _NAME.fullmatch(name))


@functools.lru_cache(maxsize=256)
def _asked(path: str, _changed_ns: int) -> Python | None:
    """Who an interpreter says that it is; None if it does not run."""
    try:
        said = subprocess.run(  # noqa: S603 - a Python of this host
            [path, "-I", "-S", "-c", _ASKED],
            capture_output=True,
            timeout=20,
            check=True,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.defpath},
        ).stdout
        return msgspec.json.decode(said, type=Python)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
