"""A requirements.txt, read for what pip would stop at, before any pip is there.

It says less than an installation: whether packages of these versions exist, only an index knows.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator

from packaging.requirements import InvalidRequirement, Requirement

from inservice.contract import CODE_DIRECTORY, MODEL_DIR

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OF_ONE = re.compile(r"\s--(?:hash|config-settings?|global-option)[=\s].*$")
_NAMES_A_FILE = ("-r", "--requirement", "-c", "--constraint")
_TAKES_A_WORD = (
    *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host"),
    *("--no-binary", "--only-binary", "--use-feature"),
)
_ALONE = ("--no-index", "--pre", "--prefer-binary", "--require-hashes")
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2")


def mistakes(source: bytes, directory: str, beside: Collection[str]) -> Iterator[tuple[int, str]]:
    """Lines that pip refuses, with why. `directory` is where the file is in the artifact, `beside`
    are the artifact's paths."""
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield 1, "It is not UTF-8."
        return
    logical = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.rstrip().endswith("\\"):
            logical += line.rstrip()[:-1] + " "
            continue
        whole, logical = _COMMENT.sub("", logical + line).strip(), ""
        if whole and (why := _why_not(whole, directory, beside)):
            yield number, why


def _why_not(line: str, directory: str, beside: Collection[str]) -> str:
    option, _, rest = re.sub(r"^(--[\w-]+)=", r"\1 ", line).partition(" ")
    if option in _NAMES_A_FILE:
        return _missing(rest.strip(), directory, beside)
    if option in ("-e", "--editable"):
        return "" if "://" in rest else _missing(rest.strip(), directory, beside)
    if option.startswith("-"):
        known = option in (*_ALONE, *_TAKES_A_WORD) or option[:2] in ("-i", "-f", "-r", "-c")
        return "" if known else f"pip knows no option {option} in a requirements.txt."
    wanted = _OF_ONE.sub("", line).strip()
    path, _, _ = wanted.partition(";")
    path = path.strip().partition("[")[0]
    if "://" in path.partition("@")[0]:
        return ""
    if path.endswith(_ARCHIVES) or path.startswith((".", "/")):
        return _missing(path, directory, beside)
    try:
        Requirement(wanted)
    except InvalidRequirement as error:
        return f"pip does not understand it: {str(error).splitlines()[0]}."
    return ""


def _missing(path: str, directory: str, beside: Collection[str]) -> str:
    """Why a file that a line names is not there; those of an artifact are told by their paths."""
    if "://" in path:
        return ""
    inside = posixpath.normpath(posixpath.join(MODEL_DIR, directory or CODE_DIRECTORY, path))
    found = inside.removeprefix(f"{MODEL_DIR}/")
    if found == inside:
        return f"{path} is not in the artifact: only files of the artifact can be named."
    if found in beside or any(name.startswith(f"{found.rstrip('/')}/") for name in beside):
        return ""
    return f"It names {path}, and the artifact has no {found}."
