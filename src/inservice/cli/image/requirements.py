"""A requirements file as `image add` takes it: packages and versions, and files of the same.

Where packages come from is for the host to say, by pip's usual settings, since it is the host that
builds; and a build locks every package to a version and a hash by itself. So what says either in
the file is refused, line by line, rather than left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from inservice.cli.aws.failures import CommandLineError

_COMMENT: Final = re.compile(r"(^|\s)#.*")
_MORE: Final = re.compile(r"(?:-r|--requirement)[ =]?\s*(\S.*)")


def read(path: Path) -> list[str]:
    """The requirements in a file, "-" for standard input, and in those that it names; each once.

    Raises CommandLineError with the line that cannot be taken, and OSError.
    """
    return [*dict.fromkeys(_of(path, ()))]


def _of(path: Path, above: tuple[Path, ...]) -> Iterator[str]:
    if path in above:
        raise CommandLineError(f"{path} names itself, over {len(above)} files.")
    piped = str(path) == "-"
    content = sys.stdin.buffer.read() if piped else path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandLineError(f"{path} is no text in UTF-8: {error}") from None
    for number, line in _lines(text):
        more = _MORE.fullmatch(line)
        if more is not None:
            here = Path() if piped else path.parent
            yield from _of(here / more[1], (*above, path))
        else:
            yield _requirement(line, f"{path}, line {number}")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """What is said, each with the number of its first line: joined at a backslash, without comments
    and blank lines."""
    begun, number = "", 0
    for at, line in enumerate(text.splitlines(), 1):
        number = number if begun else at
        begun += line
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        said = _COMMENT.sub("", begun).strip()
        if said:
            yield number, said
        begun = ""
    if said := _COMMENT.sub("", begun).strip():
        yield number, said


def _requirement(line: str, where: str) -> str:
    if line.startswith("-"):
        raise CommandLineError(
            f"{where}: '{line}' is an option of pip. Where packages come from is said by pip's "
            "settings on the host of the server."
        )
    if " --" in line:
        raise CommandLineError(
            f"{where}: '{line}' has an option of pip in it. Leave it out: what is built is locked "
            "to versions and hashes by itself."
        )
    try:
        return str(Requirement(line))
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise CommandLineError(f"{where}: '{line}' is no requirement: {why}") from None
