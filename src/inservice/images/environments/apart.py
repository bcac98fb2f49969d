"""Where the code of packages runs while wheels are built of them: apart from everything else.

A setup.py does what it likes, with the rights of who runs it, and a requirements.txt of anybody
names packages of anybody. What of this host it is not to reach is held off by another user and a
view of the file system without the server's own directories, where the host grants them (`apart` of
the order, a command of the process runtime's). In any case it has a cache and a home of its own, so
that it changes nothing which other environments share, and no variable of the server's.

What it made is taken from it as files of its user's: a link to somebody else's file is not.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from inservice.images.environments.order import Order
from inservice.images.environments.running import Outcome, Runner


class View(msgspec.Struct, frozen=True):
    """What of the host a command may see, where it is run apart: paths, beside what all see."""

    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    own: tuple[str, ...]  # may be written to, and become its user's


class Apart:
    """One build's place for code that nobody vouches for."""

    def __init__(
        self, order: Order, runner: Runner, room: Path, variables: Mapping[str, str]
    ) -> None:
        """Makes `room`. Raises OSError."""
        self.room = room
        self._order = order
        self._runner = runner
        for name in ("home", "tmp", "sources"):
            (room / name).mkdir(parents=True)
        own = {"HOME": "home", "TMPDIR": "tmp", "UV_CACHE_DIR": "cache"}
        own_files = {name: str(room / place) for name, place in own.items()}
        own_files["PIP_CONFIG_FILE"] = str(room / "settings")
        self._variables = {**variables, **own_files}

    def own_sources(self, lines: Sequence[str]) -> list[str]:
        """The lines, with a copy here of each directory that they name: a package is built in its
        own directory, and that of a model is not to be changed. Raises OSError."""
        wanted = self._order.wanted
        changed = list(lines)
        for number, source in enumerate(dict.fromkeys(wanted.sources if wanted else ())):
            copy = self.room / "sources" / str(number) / Path(source).name
            shutil.copytree(source, copy, symlinks=True)
            for directory, _, files in os.walk(copy):
                for name in (".", *files):
                    path = Path(directory) / name
                    if not path.is_symlink():
                        path.chmod(path.stat().st_mode | 0o600)
            changed = [line.replace(source, str(copy)) for line in changed]
        return changed

    def run(self, command: Sequence[str], *, hear: Callable[[str], None]) -> Outcome:
        """Run a command here. Raises what a Runner raises."""
        if self._order.apart:
            order = self._order
            local = (*order.settings.local_paths, order.code, order.python.prefix, command[0])
            environment = self.room.parent / "environment"
            view = View(
                hidden=order.hidden,
                shown=(*filter(None, local), str(environment)),
                own=(str(self.room),),
            )
            command = [*order.apart, msgspec.json.encode(view).decode(), *command]
        return self._runner.run(command, variables=self._variables, directory=self.room, hear=hear)

    def wheels_of(self, packages: Mapping[str, str]) -> list[Path]:
        """The wheels that were built of these packages, in the cache."""
        found: dict[str, Path] = {}
        for path in sorted((self.room / "cache").rglob("*.whl")):
            try:
                name, version, _, _ = parse_wheel_filename(path.name)
            except InvalidWheelFilename:
                continue
            if packages.get(canonicalize_name(name)) == str(version) and path.is_file():
                found[name] = path
        return list(found.values())

    def taken(self, wheels: Iterable[Path], into: Path) -> list[Path]:
        """Copies of wheels that were made here. Raises OSError."""
        owner = self.room.stat().st_uid
        copies = []
        for wheel in wheels:
            descriptor = os.open(wheel, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as made:
                status = os.fstat(made.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
                    raise OSError(f"{wheel.name} is not what was built")
                copy = into / wheel.name
                with copy.open("wb") as file:
                    shutil.copyfileobj(made, file)
            copies.append(copy)
        return copies
