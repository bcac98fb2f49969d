"""Reading what a process printed last: the error, where in the code it was, and the lines worth
showing of it.

A traceback is written for whoever has a wide terminal and the source beside it. In a FailureReason
there is room for a few hundred characters, so what tells nothing is left out: frames of the import
system and of InService itself, underlines, where on this host an artifact lies, and the list of
extension modules that faulthandler ends with. Pure: lines in, words out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LINE_CHARACTERS_MAX = 400
"""Nobody reads more of one line of a FailureReason, and no pattern has to."""

COULD_NOT_LOAD = "The model could not be loaded: "
"""What the model server's last words begin with."""

_ERROR_LINES_MAX = 20
"""How far from the end an exception may be and still be why the process ended: its message may have
several lines, and a thread or two may have had something to say as well."""

_FATAL = "Fatal Python error: "
_EXTENSIONS = "Extension modules: "

_FRAME = re.compile(r'^[\s|]*File "([^"]*)", line (\d+)(?:,? in (.+))?$')
_UNDERLINE = re.compile(r"^[\s|]*[~^]+[~^\s]*$")
_TRACEBACK = re.compile(r"^[\s|+]*(?:Exception Group )?Traceback \(most recent call last\):$")
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x[0-9a-f]+")
_EXCEPTION = re.compile(
    r"^[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Group)\b(?::|$)"
)

_NOT_THE_USERS = re.compile(
    r"^<frozen |/inservice/(?:modelserver|runtimes)/|/importlib/__init__\.py$"
)
_ARTIFACT = re.compile(r"[^\s'\"(]*/[0-9a-f]{32,64}(?![0-9a-zA-Z_.-])(?:/model(?![\w.-]))?/?")
_OURS = re.compile(r"<module 'inservice\.[^>]*>")
_PACKAGES = re.compile(r"/[^\s'\"]*/(?:site|dist)-packages/")
_STANDARD = re.compile(r"/[^\s'\"]*/lib/python3(?:\.\d+)?t?/(?!(?:site|dist)-packages/)")
_CODE = re.compile(r"(?:/[^\s'\"]*/|model/)?(code/[^\s'\"]*\.py)\b")


@dataclass(frozen=True, slots=True)
class Said:
    """What there is to learn from the last lines."""

    error: str | None = (
        None  # "ValueError: no such layer", "Fatal Python error: Segmentation fault"
    )
    place: str | None = None  # "code/inference.py, line 3, in model_fn"
    lines: tuple[str, ...] = ()  # what is worth showing, oldest first, without the error
    frames: tuple[str, ...] = ()  # the files of the traceback, as they are


@dataclass(frozen=True, slots=True)
class _Frame:
    file: str
    line: str
    function: str | None

    @property
    def place(self) -> str:
        where = f"{with_short_paths(self.file)}, line {self.line}"
        inside = self.function and self.function != "<module>"
        return f"{where}, in {self.function}" if inside else where


def read(lines: Sequence[str]) -> Said:
    """Understand the end of an instance's output."""
    shown = [line[:LINE_CHARACTERS_MAX].rstrip() for line in lines]
    begins = [n for n, line in enumerate(shown) if _TRACEBACK.match(line) or _THREAD.match(line)]
    fatal = [n for n, line in enumerate(shown) if line.startswith(_FATAL)]
    if fatal and any(n > fatal[-1] for n in begins):
        first = next(n for n in begins if n > fatal[-1])
        return _understood(shown, shown[fatal[-1]], _frames(shown[first:]), newest_first=True)
    frames = _frames(shown[begins[-1] if begins else 0 :])
    return _understood(shown, _error(shown), frames, newest_first=False)


def last_line(lines: Sequence[str]) -> str | None:
    """The last line that says anything."""
    said = [line for line in read(lines).lines if line]
    return said[-1] if said else None


def with_short_paths(text: str) -> str:
    """The text, with files named as their author knows them, and not where they lie here."""
    text = _ARTIFACT.sub("model/", _OURS.sub("the main program", text))
    text = _CODE.sub(r"\1", text)
    return _STANDARD.sub("", _PACKAGES.sub("", text))


def _understood(
    shown: list[str], error: str | None, frames: list[_Frame], *, newest_first: bool
) -> Said:
    ordered = frames if newest_first else frames[::-1]
    users = [frame for frame in ordered if not _NOT_THE_USERS.search(frame.file)]
    own = [frame for frame in users if _is_the_users(frame.file)]
    best = (own or users)[:1]
    told = error and with_short_paths(error.strip())
    lines = tuple(
        line
        for line in _worth_showing(shown)
        if told is None or not (line in told or line.endswith(told))
    )
    return Said(told, best[0].place if best else None, lines, tuple(f.file for f in ordered))


def _is_the_users(file: str) -> bool:
    """Whether a file came with the artifact: in no library."""
    return not (_PACKAGES.search(file) or _STANDARD.search(file))


def _error(shown: Sequence[str]) -> str | None:
    """The exception, from the model server's last words or from a traceback."""
    for number in range(len(shown) - 1, max(len(shown) - _ERROR_LINES_MAX, 0) - 1, -1):
        if shown[number].startswith(COULD_NOT_LOAD):
            rest = [line.strip() for line in shown[number + 1 :] if line.strip()]
            words = shown[number].removeprefix(COULD_NOT_LOAD).rstrip(": ")
            return " ".join([words, *rest])[:LINE_CHARACTERS_MAX]
        if _EXCEPTION.match(shown[number]):
            return shown[number].rstrip(": ")
    return None


def _frames(lines: Sequence[str]) -> list[_Frame]:
    found = map(_FRAME.match, lines)
    return [_Frame(match[1], match[2], match[3]) for match in found if match]


def _worth_showing(lines: Sequence[str]) -> Iterator[str]:
    hidden = False  # the source lines of a frame that is left out
    for line in lines:
        if frame := _FRAME.match(line):
            hidden = bool(_NOT_THE_USERS.search(frame[1]))
            if not hidden:
                yield with_short_paths(line.strip())
            continue
        hidden = hidden and line.startswith(("    ", "  |     "))
        noise = (
            hidden
            or not line.strip()
            or _UNDERLINE.match(line)
            or _TRACEBACK.match(line)
            or _THREAD.match(line)
            or line.startswith((_EXTENSIONS, COULD_NOT_LOAD))
        )
        if not noise:
            yield with_short_paths(line.strip())
