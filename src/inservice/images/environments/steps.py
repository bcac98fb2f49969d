"""The steps from an order to an environment, in a process that does nothing else.

    make       an empty virtual environment; for a layer, the same files as those of its base
    resolve    requirements → exact versions. Those that the server, or the base, has are kept
               where they will do
    install    wheels alone, and no code of a package is run
    sources    where a package has no wheel: it is built apart, with a cache of its own, and then
               installed as a wheel
    finish     a link to our code, compiled bytecode, a lock file, and nothing may be written to

A layer is what `pip install -r requirements.txt` makes of a container: the requirements of the
image do not bind it, only those of our model server do.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from inservice.images.environments import bytecode, explain, places, server, strays
from inservice.images.environments.apart import Apart
from inservice.images.environments.installers import Files, Install, Installer, Pip, Uv
from inservice.images.environments.order import Order
from inservice.images.environments.pip_settings import Secrets, reaching
from inservice.images.environments.running import Outcome, Runner

BUILT_WHEELS = "built-wheels"
"""Beside an environment's packages: wheels of those that there were none of, for its layers."""


class StepFailed(Exception):
    """An installer did not do what it should."""

    def __init__(self, doing: str, lines: Sequence[str], status: int = 1) -> None:
        super().__init__(doing)
        self.doing = doing  # "resolving 4 requirements"
        self.lines = tuple(lines)
        self.status = status


class Steps:
    """Of one build, in a directory that is its own."""

    def __init__(
        self,
        order: Order,
        installer: Installer,
        runner: Runner,
        room: Path,
        tell: Callable[[str], None],
    ) -> None:
        """`room` is there, and empty; the environment is made in `environment`."""
        self.environment = room / "environment"
        self._installer = installer
        self._runner = runner
        self._room = room
        self._tell = tell
        self._work = room / "work"
        # Under a path that no other build has: an installer remembers what it found at one.
        self._code = order.code
        self._order = order = order.with_code(room / "code")
        wanted = order.wanted
        self._settings = wanted.over(order.settings) if wanted else order.settings
        self._hashed = wanted is not None and wanted.hashed
        self._began = time.monotonic()

    def all(self) -> None:
        """Build it. Raises StepFailed, OSError, and what a Runner raises."""
        (self._room / "code").mkdir()
        for path in (self.environment, *(self._work / name for name in ("home", "tmp"))):
            path.mkdir(parents=True)
        for file in self._order.wanted.files if self._order.wanted else ():
            places.clone(Path(self._code, file), self._room / "code" / file)
        places.open_to_all(self._room / "code")
        self._make()
        programs = self._interpreters()
        lines = self._lines()
        try:
            self._install_wheels(lines)
        except StepFailed as without_sources:
            # Whether there is something to build is known only now: most environments have no
            # package without a wheel, and what is wrong then is wrong with sources too.
            if ":all:" in self._settings.only_binary or explain.is_final(without_sources.lines):
                raise
            self._tell(f"{without_sources.doing} takes what has no wheel")
            try:
                self._install_with_sources(lines)
            except StepFailed as failed:
                if not explain.is_unreadable(failed.lines):
                    raise
                why = f"(Whoever builds from source here reads no index: {failed.lines[-1]})"
                raise StepFailed(without_sources.doing, (*without_sources.lines, why)) from failed
        if self._interpreters() != programs:
            raise StepFailed("installing", ["A package puts a program in the place of Python."])
        self._finish()

    @property
    def site_packages(self) -> Path:
        """Where the environment has its packages."""
        return self.environment / self._order.python.site_packages

    def _interpreters(self) -> dict[str, str]:
        """What its Python is called, and leads to."""
        programs = (self.environment / "bin").glob("python*")
        return {path.name: os.path.realpath(path) for path in programs}

    def _make(self) -> None:
        base = self._order.base
        self._settings_file(self._work)
        if base:
            store = places.Places(Path(self._order.directory))
            with store.held(base, shared=True):
                places.clone(store.environment(base), self.environment)
            # Else a package with files of that name would be installed into our own code.
            (self.site_packages / "inservice").unlink(missing_ok=True)
            return
        file = self._work / "settings"
        command = self._installer.make(self._order.python, self.environment, file)
        self._ran(command, "making a virtual environment")

    def _lines(self) -> tuple[str, ...]:
        wanted = self._order.wanted
        return wanted.lines if wanted else (*self._order.requirements, *self._order.own)

    def _install_wheels(self, lines: Sequence[str]) -> None:
        """What wheels alone come to."""
        files, uv = self._files(self._work, lines), self._installer
        if isinstance(uv, Pip) or self._hashed:
            doing = f"installing {self._asked()}"
            self._tell(doing)
            self._ran(uv.install(self._to(files, deps=True, hashed=self._hashed)), doing)
            return
        doing = f"resolving {self._asked()}"
        self._tell(doing)
        lock = self._seeded(self._work)
        self._ran(uv.resolve(files, self.environment, lock, self._settings, build=False), doing)
        self._install_locked(_read_lines(lock))

    def _install_locked(self, locked: Sequence[str], wheels: Sequence[Path] = ()) -> None:
        """Exact lines, each of which there is a wheel of."""
        packages = dict(filter(None, map(_pinned, (*locked, *map(_built, wheels)))))
        doing = f"installing {explain.named(packages, self._names())}"
        self._tell(doing)
        files = replace(self._files(self._work, (*locked, *map(str, wheels))), constraints=())
        self._ran(self._installer.install(self._to(files)), doing)

    def _install_with_sources(self, lines: Sequence[str]) -> None:
        """Have what there is no wheel of built apart; then install as ever."""
        apart = Apart(self._order, self._runner, self._room / "apart", self._variables())
        lines = apart.own_sources(lines)
        self._settings_file(apart.room)
        if isinstance(self._installer, Pip):
            self._collected(apart, self._installer, lines)
        else:
            self._built_apart(apart, self._installer, lines)

    def _collected(self, apart: Apart, pip: Pip, lines: Sequence[str]) -> None:
        doing = f"building what of {self._asked()} has no wheel"
        self._tell(doing)
        into = apart.room / "wheels"
        into.mkdir()
        files = self._files(apart.room, lines)
        command = pip.wheels(files, self.environment, into, hashed=self._hashed)
        _good(apart.run(command, hear=self._hear), doing)
        self._install_locked((), apart.taken(into.glob("*.whl"), self._kept_wheels()))

    def _built_apart(self, apart: Apart, uv: Uv, lines: Sequence[str]) -> None:
        locked = list(lines)
        if not self._hashed:
            doing, lock = f"resolving {self._asked()}", self._seeded(apart.room)
            files = self._files(apart.room, lines)
            command = uv.resolve(files, self.environment, lock, self._settings, build=True)
            _good(apart.run(command, hear=self._hear), doing)
            locked = _read_lines(lock)
        sources = self._without_wheels(locked)
        rest = [line for line in locked if line not in sources]
        wheels: Sequence[Path] = ()
        if sources:
            doing, target = f"building {', '.join(map(_shown, sources))}", apart.room / "built"
            self._tell(doing)
            to = self._to(self._files(apart.room, sources), hashed=self._hashed, build=True)
            command = uv.install(replace(to, target=target))
            _good(apart.run(command, hear=self._hear), doing)
            made = apart.wheels_of(server.installed(target))
            wheels = apart.taken(made, self._kept_wheels())
        if self._hashed:
            files = self._files(self._work, rest)
            self._ran(uv.install(self._to(files, hashed=True)), f"installing {len(rest)} packages")
            rest = []
        self._install_locked(rest, wheels)

    def _without_wheels(self, locked: Sequence[str]) -> list[str]:
        """Which of these exact lines no wheel can be had of: found by halves, since few are."""
        sources = [line for line in locked if _is_source(line)]
        todo = [[line for line in locked if line not in sources]]
        while todo:
            lines = todo.pop()
            if not lines or self._has_wheels(lines):
                continue
            if len(lines) == 1:
                sources += lines
            else:
                middle = len(lines) // 2
                todo += [lines[:middle], lines[middle:]]
        return sources

    def _has_wheels(self, lines: Sequence[str]) -> bool:
        to = self._to(self._files(self._work, lines))
        nothing = self._work / "nothing"
        return self._run(self._installer.install(replace(to, target=nothing, dry=True))).status == 0

    def _finish(self) -> None:
        packages = server.installed(self.site_packages)
        if missing := server.lacking(packages, self._order.own):
            words = f"{', '.join(missing)} is what the model server needs, and is not what is there"
            raise StepFailed("installing requirements.txt", [words])
        code = self.site_packages / "inservice"
        if code.is_dir() and not code.is_symlink():  # somebody asked for it by name
            places.clear(code)
        server.link(self.site_packages)
        self._tell("compiling bytecode")
        if self._order.base:
            base = places.Places(Path(self._order.directory)).environment(self._order.base)
            bytecode.drop_stale(self.site_packages, base / self._order.python.site_packages)
        # By no Python that finds packages: what those put into `.pth` files, and into modules that
        # any Python looks for at its start, would be run with the rights of a builder.
        python = self._order.python.executable
        compiling = (python, "-I", "-S", "-m", "compileall", "-q", "-j", str(_cores()))
        # A file that is none of this Python's is no fault: packages bring tests and templates.
        self._run((*compiling, "-x", r"/site-packages/inservice/", str(self.site_packages)))
        _move_scripts(self.environment, self._order)
        self._runner.pause()
        wanted = self._order.wanted
        asked = wanted.shown if wanted else self._order.requirements
        record = places.Record(
            python=self._order.python,
            requirements=tuple(map(Secrets(()).hidden, asked)),
            packages=packages,
            installer=self._installer.title,
            built_at=time.time(),
            seconds=round(time.monotonic() - self._began, 3),
            size_bytes=places.close(self.environment),
            base=self._order.base,
        )
        self.environment.chmod(0o755)
        lock = [f"{name}=={version}" for name, version in packages.items()]
        places.write_record(self.environment, record, lock)

    # What commands are told.

    def _settings_file(self, where: Path) -> None:
        kept = self._kept_wheels()
        links = (*self._settings.find_links, str(kept))
        settings = msgspec.structs.replace(self._settings, find_links=links)
        self._installer.write_settings(where / "settings", settings)

    def _files(self, where: Path, lines: Iterable[str]) -> Files:
        """What a command reads, in a directory that it can read."""
        requirements = where / "requirements.txt"
        requirements.write_text("".join(f"{line}\n" for line in lines))
        if self._hashed:  # which says what is installed, to the last one; uv takes no other limits
            return Files(where / "settings", requirements)
        constraints = [Path(path) for path in self._settings.constraints if Path(path).is_file()]
        if self._order.wanted and self._order.wanted.constraints:
            own = where / "constraints.txt"
            own.write_text("".join(f"{line}\n" for line in self._order.wanted.constraints))
            constraints.append(own)
        return Files(where / "settings", requirements, tuple(constraints))

    def _to(
        self, files: Files, *, deps: bool = False, hashed: bool = False, build: bool = False
    ) -> Install:
        return Install(
            files, self.environment, self._settings, deps=deps, hashed=hashed, build=build
        )

    def _seeded(self, where: Path) -> Path:
        """A lock that has the versions which are to be preferred."""
        lock = where / "lock.txt"
        preferred = self._order.preferred
        if self._order.base:
            preferred = server.installed(self.site_packages)
        lock.write_text("".join(f"{name}=={version}\n" for name, version in preferred.items()))
        return lock

    def _kept_wheels(self) -> Path:
        kept = self.environment / BUILT_WHEELS
        kept.mkdir(exist_ok=True)
        return kept

    def _asked(self) -> str:
        wanted = self._order.wanted
        count = len(wanted.lines if wanted else self._order.requirements)
        if not count:
            return "what the model server needs"
        return f"{count} requirement{'s' if count != 1 else ''}"

    def _names(self) -> Iterable[str]:
        """What was asked for by name, what people know first."""
        wanted = self._order.wanted
        for text in (*(wanted.shown if wanted else ()), *self._order.requirements):
            try:
                yield canonicalize_name(Requirement(text).name)
            except InvalidRequirement:
                continue

    def _variables(self) -> dict[str, str]:
        """All that a command has in its environment: nothing of this server's own."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._work / "home"),
            "TMPDIR": str(self._work / "tmp"),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "UV_CACHE_DIR": str(places.Places(Path(self._order.directory)).cache),
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_LINK_MODE": "hardlink",
            "PIP_CONFIG_FILE": str(self._work / "settings"),
            strays.MARK: self._room.name,
            **reaching(self._settings, os.environ),
        }

    def _run(self, command: Sequence[str]) -> Outcome:
        variables = self._variables()
        if self._order.netrc:
            variables["NETRC"] = self._order.netrc
        directory = Path(self._order.code or self._work)
        return self._runner.run(command, variables=variables, directory=directory, hear=self._hear)

    def _ran(self, command: Sequence[str], doing: str) -> None:
        _good(self._run(command), doing)

    def _hear(self, line: str) -> None:
        """Tell of what takes long, as it begins."""
        verb, _, rest = line.strip().partition(" ")
        if verb in ("Building", "Downloading") and rest:
            what = rest.removeprefix("wheel for ").split(" ")[0]
            self._tell(f"{verb.lower()} {what.replace('==', ' ')}")


def _good(outcome: Outcome, doing: str) -> None:
    if outcome.status != 0:
        raise StepFailed(doing, outcome.lines, outcome.status)


def _read_lines(lock: Path) -> list[str]:
    """The lines of a lock, without remarks."""
    lines = (line.strip() for line in lock.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _pinned(line: str) -> tuple[str, str] | None:
    name, is_pinned, version = line.partition("==")
    return (canonicalize_name(name.partition("[")[0]), version.split(" ")[0]) if is_pinned else None


def _built(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version}"


def _is_source(line: str) -> bool:
    """Whether a line names what can only be a source: a directory, a repository, an archive."""
    bare = line.split(" --")[0].split(" ;")[0].strip()
    where = bare.partition(" @ ")[2].strip() or bare
    path = where.partition("#")[0].removeprefix("file://")
    if where.startswith(("git+", "hg+", "svn+", "bzr+")):
        return True
    if "/" not in path:
        return False
    return path.endswith((".tar.gz", ".zip", ".tgz", ".tar.bz2")) or Path(path).is_dir()


def _shown(line: str) -> str:
    return Path(line.split(" ")[0].replace("==", " ")).name


def _cores() -> int:
    return max(1, min(4, len(os.sched_getaffinity(0))))


def _move_scripts(environment: Path, order: Order) -> None:
    """Have the scripts that name the interpreter by where it was built name it by where it is
    going to be. uv's do not."""
    final = os.fsencode(Path(order.directory) / order.name)
    for script in (environment / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if content.startswith(b"#!") and os.fsencode(environment) in content:
            mode = script.stat().st_mode
            draft = script.with_name(f".{script.name}.new")  # the file itself may be shared
            draft.write_bytes(content.replace(os.fsencode(environment), final))
            shutil.copymode(script, draft)
            draft.chmod(mode)
            draft.replace(script)
