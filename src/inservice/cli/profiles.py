"""A profile of the AWS configuration that leads to a server: made, kept current, never taken over.

The two files are the user's: they may be linked from elsewhere, belong to another user than runs
this, be commented, and hold profiles on which a production depends. So

- only lines of our own in sections of our own are written, and a section is ours when the line
  below its header says so; a profile of that name without it is refused;
- both files are decided on before either is touched, and each decision is checked by reading the
  text as botocore does: our profile says what it should, and every other section what it said;
- a file is replaced in one step, with mode 0600 and its owner, by whoever holds its directory's
  lock.

The credentials file is written before the config file: a program that reads between the two steps
finds no address in the profile, or the one of before.

A profile has keys, or names a command that gives some: `credential_process`. Keys win over the
command, so a profile that is to have the one loses the other.

It also says how to sign for S3. At an address of one's own boto3 presigns with Signature Version 2
unless it is told, which S3 takes no longer; no variable of the environment can tell it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inservice import disk
from inservice.cli.target import Target

MARK: Final = "# Written by `inservice env --profile`, which writes it anew."

PRESIGNED: Final = ("s3.signature_version", "s3v4")
"""The setting by which boto3 presigns so that S3 takes it, named as `aws configure set` does."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
_HEADER: Final = re.compile(r"\s*\[(?P<name>[^]]*)\]")
_INDENT: Final = "    "
_SETTING: Final = re.compile(r"(?P<name>[^\s=:#;\[][^=:]*?)\s*[=:]")


class ProfileRefused(ValueError):
    """The profile cannot be written; nothing was changed. The message says why."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the AWS configuration of this environment is."""

    config: Path
    credentials: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Files:
        """As AWS's SDKs find them."""
        return cls(
            Path(environment.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser(),
            Path(
                environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
            ).expanduser(),
        )


Settings = Mapping[str, str | None]
"""What each line of a section is to say; None: there is to be none. `a.b` is the line `b` of those
that stand indented below `a`, and is never None."""


def write(name: str, target: Target, files: Files, *, process: str | None = None) -> None:
    """Make `name` a profile that leads to the server, with the target's keys or, where `process` is
    given, with those that this command gives. Raises ProfileRefused and OSError."""
    if not _NAME.fullmatch(name):
        raise ProfileRefused(
            f"{name!r} is no name for a profile: letters, digits and _ . @ + -, 64 at most"
        )
    section = "default" if name == "default" else f"profile {name}"
    secret: Settings = {
        "aws_access_key_id": target.access_key_id if process is None else None,
        "aws_secret_access_key": target.secret_access_key if process is None else None,
    }
    place: Settings = {
        "endpoint_url": target.url,
        "region": target.region,
        "credential_process": process,
        PRESIGNED[0]: PRESIGNED[1],
    }
    if files.config.resolve() == files.credentials.resolve():
        raise ProfileRefused(f"{files.config} cannot be both, the config and the credentials file")
    with _held({path.resolve().parent for path in (files.config, files.credentials)}):
        texts = [
            (files.credentials, _changed(files.credentials, name, secret)),
            (files.config, _changed(files.config, section, place)),
        ]
        for path, text in texts:
            if text is not None:
                _replace(path, text)


def _changed(path: Path, section: str, settings: Settings) -> str | None:
    """The file's text with these settings in that section; None when it says so already."""
    try:
        before = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        before = ""
    after = with_settings(before, section, settings, str(path))
    _check(path, before, after, section, settings)
    return None if after == before else after


def with_settings(text: str, section: str, settings: Settings, path: str) -> str:
    """`text` with these settings in that section of ours, and every other byte as it was. Where
    there is no such section and nothing to say in it, none is made.

    Raises ProfileRefused when there is such a section and it is not ours.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    found = [n for n, line in enumerate(lines) if _section_of(line) == section]
    told = {name: value for name, value in settings.items() if value is not None}
    if not found and not told:
        return text
    if not found:
        gap = "" if not text else end if text.endswith("\n") else end + end
        head = text + gap + f"[{section}]{end}{MARK}{end}"
        return head + "".join(_said(name, value, end) for name, value in told.items())
    first = found[0] + 1
    if first >= len(lines) or lines[first].strip() != MARK:
        raise ProfileRefused(
            f"{path} has a [{section}] that InService did not write: choose another name"
        )
    last = next((n for n in range(first, len(lines)) if _section_of(lines[n]) is not None), None)
    inside = lines[first:last]
    for name, value in settings.items():
        inside = _with_setting(inside, name, value, end)
    rest = [] if last is None else lines[last:]
    return "".join([*lines[:first], *inside, *rest])


def _with_setting(lines: list[str], name: str, value: str | None, end: str) -> list[str]:
    """The lines of a section in which a setting has this value, at its old place if it had one."""
    outer, _, inner = name.partition(".")
    at = next((n for n, line in enumerate(lines) if _setting_of(line) == outer), None)
    if at is None:
        mark = lines[0] if lines[0].endswith("\n") else lines[0] + end
        return lines if value is None else [mark, _said(name, value, end), *lines[1:]]
    if not inner:
        line = [] if value is None else [_said(name, value, end)]
        return [*lines[:at], *line, *lines[at + 1 :]]
    rest = next((n for n in range(at + 1, len(lines)) if not _is_below(lines[n])), len(lines))
    below = lines[at + 1 : rest]
    indent = below[0][: len(below[0]) - len(below[0].lstrip())] if below else _INDENT
    line = [f"{indent}{inner} = {value}{end}"]
    old = next((n for n, text in enumerate(below) if _setting_of(text.lstrip()) == inner), None)
    below = line + below if old is None else below[:old] + line + below[old + 1 :]
    return [*lines[: at + 1], *below, *lines[rest:]]


def _setting_of(line: str) -> str | None:
    setting = _SETTING.match(line)
    return setting["name"].lower() if setting else None


def _is_below(line: str) -> bool:
    return line[:1] in (" ", "\t") and bool(line.strip())


def _said(name: str, value: str, end: str) -> str:
    """A setting as text; one with a line of its own below it is two lines."""
    outer, _, inner = name.partition(".")
    below = f"{outer} ={end}{_INDENT}{inner}" if inner else outer
    return f"{below} = {value}{end}"


def _section_of(line: str) -> str | None:
    """The section that a line begins; spaces and quotes in its name are written in many ways."""
    header = _HEADER.match(line) if line[:1] == "[" else None
    if header is None:
        return None
    kind, _, name = header["name"].strip().partition(" ")
    return f"{kind} {name.strip().strip(chr(34) + chr(39))}" if name else kind


def _check(path: Path, before: str, after: str, section: str, settings: Settings) -> None:
    """Raises ProfileRefused unless botocore reads what was meant, and all else as before."""
    was, now = _as_botocore_reads(path, before), _as_botocore_reads(path, after)
    ours = next((key for key in now if _section_of(f"[{key}]") == section), None)
    others = {key: value for key, value in now.items() if key != ours}
    if ours is None and after == before:
        return
    if ours is None or others != {key: value for key, value in was.items() if key != ours}:
        raise ProfileRefused(f"{path} cannot be changed without changing more than a profile")
    if any(_read(now[ours], name) != value for name, value in settings.items()):
        raise ProfileRefused(f"{path} has a [{section}] whose lines cannot be told apart")


def _read(section: Mapping[str, object], name: str) -> object:
    outer, _, inner = name.partition(".")
    value = section.get(outer)
    return value.get(inner) if inner and isinstance(value, dict) else value


def _as_botocore_reads(path: Path, text: str) -> dict[str, dict[str, object]]:
    from botocore.configloader import raw_config_parse
    from botocore.exceptions import ConfigParseError

    with tempfile.NamedTemporaryFile() as copy:  # botocore reads files only
        copy.write(text.encode("utf-8", "surrogateescape"))
        copy.flush()
        try:
            return dict(raw_config_parse(copy.name))
        except ConfigParseError as broken:
            raise ProfileRefused(
                f"{path} is not an AWS configuration that botocore can read; mend it first"
            ) from broken


@contextlib.contextmanager
def _held(directories: set[Path]) -> Iterator[None]:
    """Nobody else who asks changes the files of these directories meanwhile."""
    with contextlib.ExitStack() as held:
        for directory in sorted(directories):  # everybody in one order, so that nobody deadlocks
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _replace(path: Path, text: str) -> None:
    """Put the text in the place of a file, in one step; where it is a link, of what it names."""
    path = path.resolve()
    with disk.replacing(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        with contextlib.suppress(FileNotFoundError):
            was = path.stat()
            os.fchown(file.fileno(), was.st_uid, was.st_gid)
