"""Names and passwords for registries of images, as `inservice image login` keeps them.

One file of the data directory, mode 0600, in the clear as engines keep theirs: whoever may read it
may read the key of the whole server beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inservice import disk

DOCKER_HUB = "docker.io"


class LoginsUnreadable(Exception):
    """The file is no file of logins; the message says which."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks a registry."""

    username: str
    password: str = field(repr=False)


class Logins:
    """All that are kept. Any process may change them; each change is whole."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "logins.json"

    def all(self) -> dict[str, Login]:
        """By registry. Raises LoginsUnreadable, OSError."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, Login])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as error:
            raise LoginsUnreadable(f"{self.path} cannot be read: {error}") from error

    def find(self, registry: str) -> Login | None:
        """The one of a registry."""
        return self.all().get(registry)

    def add(self, registry: str, login: Login) -> None:
        """Keep it, instead of any before."""
        self._write({**self.all(), registry: login})

    def remove(self, registry: str) -> bool:
        """Forget it. False if there is none."""
        logins = self.all()
        if logins.pop(registry, None) is None:
            return False
        self._write(logins)
        return True

    def _write(self, logins: dict[str, Login]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.write(self.path, msgspec.json.encode(logins))


def registry_of(image: str) -> str:
    """Whom an image is pulled from: the first part of its name if that is a host, else Docker's."""
    first, slash, _ = image.partition("/")
    if slash and (re.search(r"[.:]", first) or first == "localhost"):
        return "docker.io" if first in ("index.docker.io", "registry-1.docker.io") else first
    return DOCKER_HUB


def normal(registry: str) -> str:
    """A registry as somebody may write it: with a scheme, with a path."""
    host = re.sub(r"^https?://", "", registry.strip()).partition("/")[0].lower()
    return registry_of(f"{host}/") if host else ""
