"""A model's requirements.txt, read as pip reads it, and made fit to be installed elsewhere.

AWS's containers run `pip install -r requirements.txt` in a container that is the model's own. Here
it is read on a host that others share, by a server that can read more than the model may. So

    files of the code directory       are named by `./x.whl`, `-r more.txt`, `-c`, `--find-links .`,
                                      or by the path that they have in a container
    other files of this host          are refused: what is in them would be told in an error
    variables (`${TOKEN}`)            are refused: they would be the server's
    indexes, hashes, repositories     are the model's to choose

What comes of it is flat, one list of lines without any of these options, and a digest of all that
decides what is installed: lines, options, and the content of each file that is named.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.requirements import InvalidRequirement, Requirement

from inservice.images.environments.pip_settings import PipSettings

NAME: Final = "requirements.txt"
IN_CONTAINER: Final = "/opt/ml/model/code/"
"""Where a container has the code directory."""

_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2")
_FILE_BYTES_MAX = 1 << 20
_FILES_MAX = 64
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_OF_ONE = re.compile(r"\s--(?:hash|global-option|config-settings?|install-option)(?:[=\s]|$)")
_REMOTE = ("http", "https", "git+https", "git+http", "git+ssh", "git+git", "hg+https", "svn+https")


class BadRequirements(Exception):
    """A requirements.txt that cannot be installed here; the message says why."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """All that a requirements.txt asks for, flat."""

    lines: tuple[str, ...] = ()  # requirements, with their hashes; files by absolute paths
    constraints: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # directories among the lines, absolute: built before installed
    files: tuple[str, ...] = ()  # all that is named of the code directory, relative to it
    settings: PipSettings = PipSettings()  # what it says of where packages come from
    hashed: bool = False  # nothing is installed but what a hash vouches for
    shown: tuple[str, ...] = ()  # the requirements as they are written
    digest: str = ""

    def moved(self, code: str, elsewhere: str) -> Wanted:
        """The same, with the files of the code directory in another one."""

        def there(text: str) -> str:
            return text.replace(code, elsewhere)

        own = self.settings
        settings = msgspec.structs.replace(
            own,
            index_url=there(own.index_url),
            extra_index_urls=tuple(map(there, own.extra_index_urls)),
            find_links=tuple(map(there, own.find_links)),
        )
        return msgspec.structs.replace(
            self,
            lines=tuple(map(there, self.lines)),
            sources=tuple(map(there, self.sources)),
            settings=settings,
        )

    def over(self, settings: PipSettings) -> PipSettings:
        """The settings of this host with what the file says of its own."""
        own = self.settings
        return msgspec.structs.replace(
            settings,
            index_url=own.index_url or settings.index_url,
            extra_index_urls=(*settings.extra_index_urls, *own.extra_index_urls),
            find_links=(*own.find_links, *settings.find_links),
            no_index=settings.no_index or own.no_index,
            trusted_hosts=(*settings.trusted_hosts, *own.trusted_hosts),
            only_binary=(*settings.only_binary, *own.only_binary),
            no_binary=(*settings.no_binary, *own.no_binary),
            pre=settings.pre or own.pre,
        )


def read(code: Path) -> Wanted | None:
    """What the code in a directory asks for; None if it has no requirements.txt, or one that asks
    for nothing. Raises BadRequirements and OSError."""
    file = code / NAME
    if not file.is_file():
        return None
    reading = _Reading(Path(os.path.realpath(code)))
    reading.file(reading.inside(file, NAME), of_constraints=False)
    return reading.wanted() if reading.lines else None


@dataclass(slots=True)
class _Reading:
    """Of one file and of those that it names."""

    code: Path  # resolved
    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    index_url: str = ""
    extra: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    only_binary: list[str] = field(default_factory=list)
    no_binary: list[str] = field(default_factory=list)
    no_index: bool = False
    pre: bool = False
    hashed: bool = False
    _seen: set[tuple[Path, bool]] = field(default_factory=set)
    _named: set[Path] = field(default_factory=set)
    _searched: set[Path] = field(default_factory=set)
    _at: str = ""  # the line that is read, for an error

    def wanted(self) -> Wanted:
        """All that was read. Raises OSError."""
        wheels = sorted(self.code.glob("*.whl"))
        links = [*self.links, *([str(self.code)] if wheels else [])]
        made = Wanted(
            lines=tuple(self.lines),
            constraints=tuple(self.constraints),
            sources=tuple(self.sources),
            settings=PipSettings(
                index_url=self.index_url,
                extra_index_urls=tuple(self.extra),
                find_links=tuple(dict.fromkeys(links)),
                no_index=self.no_index,
                trusted_hosts=tuple(self.hosts),
                only_binary=tuple(self.only_binary),
                no_binary=tuple(self.no_binary),
                pre=self.pre,
            ),
            hashed=self.hashed,
            shown=tuple(self.shown),
        )
        # Two models with the same files in different places ask for the same.
        text = msgspec.json.encode(made).replace(os.fsencode(self.code), b".")
        digest, files = hashlib.sha256(text), []
        packages = (p for place in self._searched for p in place.rglob("*") if _is_package(p))
        for path in sorted({*self._named, *wheels, *packages}):
            files.append(str(path.relative_to(self.code)))
            digest.update(f"\n{files[-1]} {_digest_of(path)}".encode(errors="surrogateescape"))
        return msgspec.structs.replace(made, files=tuple(files), digest=digest.hexdigest())

    def file(self, path: Path, *, of_constraints: bool) -> None:
        """Read a file of requirements, or of constraints. Raises BadRequirements, OSError."""
        if (path, of_constraints) in self._seen:
            return
        self._seen.add((path, of_constraints))
        if len(self._seen) > _FILES_MAX:
            raise self._bad(f"names more than {_FILES_MAX} files of requirements")
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise self._bad(f"{path.name} has more than {_FILE_BYTES_MAX} bytes")
        for line in _lines(path.read_bytes()):
            self._at = line
            if _VARIABLE.search(line):
                raise self._bad(
                    "has a variable in it, and those of the container are not known where packages "
                    "are installed: write out what it stands for, or set pip's own settings on "
                    "this host"
                )
            if line.startswith("-"):
                self._option(line, path.parent, of_constraints=of_constraints)
            elif of_constraints:
                self.constraints.append(line)
            else:
                self._requirement(line, path.parent)

    def _option(self, line: str, here: Path, *, of_constraints: bool) -> None:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise self._bad(f"cannot be read: {error}") from None
        name, _, value = words[0].partition("=")
        if not name.startswith("--") and len(name) > 2:  # -rmore.txt
            name, value = name[:2], words[0][2:].removeprefix("=")
        value = value or " ".join(words[1:])
        match name:
            case "-r" | "--requirement":
                self.file(self._near(value, here), of_constraints=of_constraints)
            case "-c" | "--constraint":
                self.file(self._near(value, here), of_constraints=True)
            case "-e" | "--editable":  # code that is not changed here needs no link to itself
                self._requirement(value, here)
            case "-i" | "--index-url" | "--pypi-url":
                self.index_url = self._place(value, here)
            case "--extra-index-url":
                self.extra.append(self._place(value, here))
            case "-f" | "--find-links":
                self.links.append(self._place(value, here))
            case "--trusted-host":
                self.hosts.append(value)
            case "--only-binary":
                self.only_binary += value.split(",")
            case "--no-binary":
                self.no_binary += value.split(",")
            case "--no-index":
                self.no_index = True
            case "--pre":
                self.pre = True
            case "--require-hashes":
                self.hashed = True
            case "--prefer-binary" | "--use-feature" | "--no-use-wheel" | "--use-wheel":
                pass  # wheels are preferred as it is; features are of one version of pip
            case _:
                raise self._bad("is an option that is not known")

    def _requirement(self, line: str, here: Path) -> None:
        own = _OF_ONE.search(line)
        bare, options = (line[: own.start()], line[own.start() :]) if own else (line, "")
        bare = bare.strip()
        self.hashed = self.hashed or "--hash" in options
        self.shown.append(bare)
        self.lines.append(f"{self._located(bare, here)}{options.rstrip()}")

    def _located(self, bare: str, here: Path) -> str:
        """A requirement, with a file of the code directory by its absolute path."""
        try:
            requirement = _parsed(bare)
        except InvalidRequirement as why:
            if urlsplit(bare).scheme in _REMOTE:
                return bare
            path, extras = _without_extras(bare)
            is_path = "/" in path or path.startswith(".") or path.endswith(_ARCHIVES)
            if not is_path and not (here / path).exists():
                raise self._bad(f"is no requirement: {str(why).splitlines()[0]}") from None
            return f"{self._file(path, here)}{extras}"
        if requirement.url is None or urlsplit(requirement.url).scheme in _REMOTE:
            return bare
        local = self._file(requirement.url.removeprefix("file:"), here)
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        marker = f" ; {requirement.marker}" if requirement.marker else ""
        return f"{requirement.name}{extras} @ {Path(local).as_uri()}{marker}"

    def _file(self, text: str, here: Path) -> str:
        found = self._near(text, here)
        if found.is_dir():
            self.sources.append(str(found))
        return str(found)

    def _place(self, text: str, here: Path) -> str:
        """Where packages are: an address, or a directory of the code's."""
        scheme = urlsplit(text).scheme
        if scheme in ("http", "https"):
            return text
        found = self._near(text, here)
        self._named.discard(found)  # what lies beside the packages in it does not matter
        self._searched.add(found)
        return str(found)

    def _near(self, text: str, here: Path) -> Path:
        """A file or directory that must be of the code's; as pip has it, seen from the file that
        names it, or from the code directory. Raises BadRequirements."""
        if urlsplit(text).scheme not in ("", "file"):
            raise self._bad("names what is neither in the code directory nor an index")
        path = unquote(urlsplit(text).path) if text.startswith("file:") else text
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if f"{path}/" == IN_CONTAINER or path.startswith(IN_CONTAINER):
            path = "./" + path[len(IN_CONTAINER) :]
            here = self.code
        for base in (here, self.code):
            if os.path.lexists(base / path):
                found = self.inside(base / path, text)
                self._named.add(found)
                return found
        if Path(path).is_absolute():
            raise self._outside(text)
        raise self._bad(f"names {text}, which is not in the code directory")

    def inside(self, path: Path, text: str) -> Path:
        """The path without links, which leads nowhere else. Raises BadRequirements."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.code):
            raise self._outside(text)
        if not real.exists():
            raise self._bad(f"names {text}, which is not in the code directory")
        return real

    def _outside(self, text: str) -> BadRequirements:
        return self._bad(
            f"names {text}, which is outside of the code directory: carry the file in there, or "
            "say where packages are by pip's own settings on this host"
        )

    def _bad(self, why: str) -> BadRequirements:
        return BadRequirements(f"Of {NAME}, the line '{self._at}' {why}.")


def _parsed(text: str) -> Requirement:
    """Raises InvalidRequirement for the name of a file too, which could be one of a package."""
    if text.endswith(_ARCHIVES) and " @ " not in text:
        raise InvalidRequirement("it is a file")
    return Requirement(text)


def _is_package(path: Path) -> bool:
    return path.name.endswith((*_ARCHIVES, ".html")) and path.is_file()


def _without_extras(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*?)(\[[\w\s,.-]*\])?", text, re.DOTALL)
    assert found is not None
    return found[1].strip(), found[2] or ""


def _lines(content: bytes) -> Iterator[str]:
    """As pip joins and cuts them: a backslash at the end goes on, ` #` begins a comment."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # as PowerShell's `>` writes it
        text = content.decode("utf-16", errors="replace")
    else:
        text = content.decode("utf-8-sig", errors="replace")
    joined = ""
    for line in text.splitlines():
        if line.endswith("\\") and not _COMMENT.match(line):
            joined += line[:-1]
            continue
        joined += f" {line}" if _COMMENT.match(line) and joined else line
        if stripped := _COMMENT.sub("", joined).strip():
            yield stripped
        joined = ""
    if stripped := _COMMENT.sub("", joined).strip():
        yield stripped


def _digest_of(path: Path) -> str:
    """Of a file, or of all that is in a directory."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    for each in sorted(path.rglob("*")):
        digest.update(f"{each.relative_to(path)}\0".encode(errors="surrogateescape"))
        if each.is_symlink():
            digest.update(os.fsencode(each.readlink()))
        elif each.is_file():
            digest.update(_digest_of(each).encode())
    return digest.hexdigest()
