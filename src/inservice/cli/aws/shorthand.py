r"""The AWS CLI's shorthand: a small language for structures on a command line.

    parameter   = pair *("," pair)
    pair        = key ["@"] "=" [list / hash / commas]
    commas      = word *("," later-word)              Key=a,b,c is the list [a, b, c]
    list        = "[" [element *("," element)] "]"
    hash        = "{" [key ["@"] "=" element *("," ...)] "}"
    element     = list / hash / word
    word        = quoted / plain
    quoted      = "'" ... "'" / '"' ... '"'           \' and \\ are escapes inside '...'
    plain       = characters; "\," is a comma that does not separate
    key         = 1*(letter / digit / "-" / "_" / "." / "#" / "/" / ":")

`key@=file://path` puts the contents of a file there. A comma is ambiguous: in `a=1,2,b=3` the word
after the second comma turns out to be a key, so the reader goes back to that comma. That is why a
later word may not hold "=" while the first may.

The parser knows no shapes: every leaf is text. `fit` then gives leaves the types of the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from botocore.model import ListShape, MapShape, Shape, StructureShape

_KEY: Final = re.compile(r"[A-Za-z0-9\-_.#/:]*")
_SINGLE: Final = re.compile(r"'(?:\\\\|\\'|[^'])*'")
_DOUBLE: Final = re.compile(r'"(?:\\\\|\\"|[^"])*"')
_FIRST: Final = re.compile(r"""(?:\\,|[^\s"',=\[{])(?:\\,|[^"',\]}])*""", re.ASCII)
_LATER: Final = re.compile(r"""(?:\\,|[^\s"',=\[{])(?:\\,|[^"',=])*""", re.ASCII)
_SPACE: Final = re.compile(r"\s*", re.ASCII)

_END: Final = ""


class ShorthandError(ValueError):
    """The text is not shorthand. The message shows it with a caret under the culprit."""


FileReader = Callable[[str], "str | bytes | None"]


def parse(text: str, read_file: FileReader | None = None) -> dict[str, Any]:
    """Parse one parameter. Leaves are text, or what `read_file` made of a `key@=` value.

    `read_file` is given the word after `@=` and answers None when it names no file.
    Raises ShorthandError.
    """
    return _Reader(text, read_file).parameter()


class _Reader:
    """A cursor over the text. One method per rule of the grammar above."""

    def __init__(self, text: str, read_file: FileReader | None) -> None:
        self._text = text
        self._at = 0
        self._read_file = read_file
        self._from_file = False

    def parameter(self) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        key, value = self._pair(self._top_value)
        pairs[key] = value
        end_of_last = self._at
        while self._at < len(self._text):
            self._expect(",")
            key, value = self._pair(self._top_value)
            if key in pairs:
                self._refuse_second(key, end_of_last + 1)
            pairs[key] = value
            end_of_last = self._at
        return pairs

    def _pair(self, read_value: Callable[[], Any]) -> tuple[str, Any]:
        key = self._take(_KEY) or ""
        self._skip_space()
        self._from_file = self._here == "@"
        if self._from_file:
            self._at += 1
        self._expect("=")
        return key, read_value()

    def _top_value(self) -> Any:
        if self._here == _END:
            return ""
        if self._here in "[{":
            return self._element()
        return self._commas()

    def _element(self) -> Any:
        if self._here == "[":
            return self._list()
        if self._here == "{":
            return self._hash()
        return self._resolve(self._first_word())

    def _list(self) -> list[Any]:
        self._expect("[")
        elements = []
        while self._here != "]":
            elements.append(self._element())
            self._separate("]")
        self._expect("]", spaces_after=False)
        return elements

    def _hash(self) -> dict[str, Any]:
        self._expect("{")
        pairs = {}
        while self._here != "}":
            key, value = self._pair(self._element)
            pairs[key] = value
            self._separate("}")
        self._expect("}", spaces_after=False)
        return pairs

    def _separate(self, closing: str) -> None:
        self._skip_space()
        if self._here != closing:
            self._expect(",")

    def _commas(self) -> Any:
        words = [self._first_word()]
        self._skip_space()
        if self._here != ",":
            return self._resolve(words[0])
        self._expect(",")
        while True:
            try:
                word = self._later_word()
                self._skip_space()
                if self._here == _END:
                    words.append(word)
                    break
                self._expect(",")
                words.append(word)
            except ShorthandError:
                if self._here == _END:
                    raise
                # What was read is the next key. Its comma belongs to `parameter`.
                self._at = self._text.rindex(",", 0, self._at + 1)
                break
        # Only now is it known which words are values, and so may name files.
        values = [self._resolve(word) for word in words]
        return values[0] if len(values) == 1 else values

    def _first_word(self) -> str:
        if (quoted := self._quoted()) is not None:
            return quoted
        return _unescape(self._take(_FIRST) or "")

    def _later_word(self) -> str:
        if (quoted := self._quoted()) is not None:
            return quoted
        word = self._take(_LATER)
        if word is None:
            self._refuse("<second>", "<none>")
        return _unescape(word)

    def _quoted(self) -> str | None:
        mark = self._here
        if mark not in ("'", '"'):
            return None
        word = self._take(_SINGLE if mark == "'" else _DOUBLE)
        if word is None:
            self._refuse("<singled quoted>" if mark == "'" else "<double quoted>", "<none>")
        return word[1:-1].replace("\\" + mark, mark).replace("\\\\", "\\")

    def _resolve(self, word: str) -> str | bytes:
        if not self._from_file or self._read_file is None:
            return word
        contents = self._read_file(word)
        return word if contents is None else contents

    @property
    def _here(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match.group()

    def _skip_space(self) -> None:
        self._take(_SPACE)

    def _expect(self, mark: str, *, spaces_after: bool = True) -> None:
        self._skip_space()
        if self._here != mark:
            self._refuse(mark, self._here or "EOF")
        self._at += 1
        if spaces_after:
            self._skip_space()

    def _refuse(self, wanted: str, got: str) -> NoReturn:
        where = _pointed_at(self._text, self._at)
        raise ShorthandError(f"Expected: '{wanted}', received: '{got}' for input:\n{where}")

    def _refuse_second(self, key: str, at: int) -> NoReturn:
        raise ShorthandError(
            f'Second instance of key "{key}" encountered for input:\n'
            f"{_pointed_at(self._text, at)}\n"
            'This is often because there is a preceding "," instead of a space.'
        )


def _unescape(word: str) -> str:
    return word.replace("\\,", ",").rstrip()


def _pointed_at(text: str, at: int) -> str:
    """The text with a caret under `at`, on a line of its own below the line that holds it."""
    before, after = text[:at], text[at:]
    column = at - (before.rfind("\n") + 1)
    rest_of_line, newline, later_lines = after.partition("\n")
    return f"{before}{rest_of_line}\n{' ' * column}^{newline}{later_lines}"


def fit(value: Any, shape: Shape) -> Any:
    """Give parsed shorthand the types of a shape: numbers, booleans, a lone value as a list of one.

    What does not fit is left as it is for the model's validation to name. Raises ValueError for
    text that is no number where one belongs (the AWS CLI ends in exit code 255 there, not 252).
    """
    if isinstance(shape, StructureShape):
        members = shape.members
        return _each(value, lambda key, item: fit(item, members[key]) if key in members else item)
    if isinstance(shape, ListShape):
        items = value if isinstance(value, list) else [value]
        return [fit(item, shape.member) for item in items]
    if isinstance(shape, MapShape):
        return _each(value, lambda _, item: fit(item, shape.value))
    return fit_scalar(value, shape.type_name)


def _each(value: Any, change: Callable[[str, Any], Any]) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: change(key, item) for key, item in value.items()}


def fit_scalar(value: Any, kind: str) -> Any:
    """One leaf. A boolean is set by the words true and false alone."""
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "boolean":
        return {"true": True, "false": False}.get(value.lower(), value)
    return value
