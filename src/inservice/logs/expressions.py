"""The regular expressions of filter patterns, matched in time linear to the line.

AWS allows characters, classes, `.`, `^`, `$`, `?`, `*`, `+`, `{m,n}`, `|` and escapes, and no
parentheses. Python's `re` could match them all, and could be kept busy for hours by `.*.*.*x` over
a line that the model's author chose. Without groups a pattern is alternatives of items in a row, so
it is matched as one: bit i of an integer says "the first i items are matched up to here".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from inservice.logs.errors import LogsParameterRefused

ITEMS_MAX = 1_000
"""Items after `{m,n}` is written out: bits of the integer that a step costs."""

_CLASSES = {
    "d": "0-9",
    "w": "a-zA-Z_0-9",
    "s": " \\t\\n",
}
_ALLOWED = re.compile(r"[A-Za-z0-9:_#=@/;,\- ^$?\[\]{}|\\*+.]*")
_QUANTIFIER = re.compile(r"\?|\*|\+|\{(\d{0,3})(,?)\s?(\d{0,3})\}")
_HEX = re.compile(r"x[0-9A-Fa-f]{2}")


@dataclass(slots=True)
class _Item:
    """One character out of a set, how often."""

    characters: re.Pattern[str]  # matches exactly one
    optional: bool = False
    repeated: bool = False


@dataclass(slots=True)
class _Row:
    """One alternative."""

    items: list[_Item]
    from_start: bool
    to_end: bool
    masks: dict[str, int] = field(default_factory=dict)  # character → items it can be
    optional: int = 0
    repeated: int = 0

    def finds(self, text: str) -> bool:
        """Whether the alternative matches somewhere in the text."""
        final = 1 << len(self.items)
        begin = self._skip(1)
        state = begin
        if state & final and (not self.to_end or not text):
            return True
        for character in text:
            mask = self.masks.get(character)
            if mask is None:
                mask = self._mask(character)
            state = self._skip(((state << 1) | (state & self.repeated)) & mask)
            if not self.from_start:
                state |= begin
            if state & final and not self.to_end:
                return True
        return bool(state & final)

    def _skip(self, state: int) -> int:
        while True:
            more = state | ((state << 1) & self.optional)
            if more == state:
                return state
            state = more

    def _mask(self, character: str) -> int:
        bits = 0
        for number, item in enumerate(self.items, 1):
            if item.characters.fullmatch(character):
                bits |= 1 << number
        self.masks[character] = bits
        return bits


class Expression:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Raises LogsParameterRefused for what is not one of AWS's expressions."""
        if not _ALLOWED.fullmatch(text):
            raise LogsParameterRefused(f"The expression %{text}% has an unsupported character.")
        self._rows = [_row(part, text) for part in _alternatives(text)]

    def finds(self, text: str) -> bool:
        """Whether it matches somewhere in the text."""
        return any(row.finds(text) for row in self._rows)


def _alternatives(text: str) -> list[str]:
    parts, begin, at, inside = [], 0, 0, False
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            inside = True
        elif text[at] == "]":
            inside = False
        elif text[at] == "|" and not inside:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    return [*parts, text[begin:]]


def _row(part: str, whole: str) -> _Row:
    from_start = part.startswith("^")
    at, items = int(from_start), list[_Item]()
    to_end = part.endswith("$") and not part.endswith("\\$")
    end = len(part) - int(to_end)
    while at < end:
        characters, at = _one(part, at, whole)
        quantifier = _QUANTIFIER.match(part, at)
        if quantifier:
            at = quantifier.end()
        items += _repeat(characters, quantifier, whole)
        if len(items) > ITEMS_MAX:
            raise LogsParameterRefused(f"The expression %{whole}% is too long.")
    row = _Row(items, from_start, to_end)
    for number, item in enumerate(items, 1):
        row.optional |= item.optional << number
        row.repeated |= item.repeated << number
    return row


def _one(part: str, at: int, whole: str) -> tuple[re.Pattern[str], int]:
    """The set of one item, and where the next thing begins."""
    sign = part[at]
    if sign == "[":
        close = at + 1
        while close < len(part) and (part[close] != "]" or close == at + 1):
            close += 2 if part[close] == "\\" else 1
        inside = part[at + 1 : close].replace("[", r"\[").replace("|", r"\|")
        source, after = f"[{inside}{part[close : close + 1]}", close + 1
    elif sign == "\\":
        escape = _HEX.match(part, at + 1)
        after = escape.end() if escape else at + 2
        source = part[at:after]
        letter = source[1:2]
        if letter.lower() in _CLASSES:
            source = f"[{'^' if letter.isupper() else ''}{_CLASSES[letter.lower()]}]"
    elif sign in "?*+{":
        raise LogsParameterRefused(f"The expression %{whole}% has nothing to repeat at {at + 1}.")
    else:
        source, after = "." if sign == "." else re.escape(sign), at + 1
    try:
        return re.compile(source, re.DOTALL), after
    except (re.error, FutureWarning) as error:
        raise LogsParameterRefused(f"The expression %{whole}% cannot be read: {error}.") from error


def _repeat(
    characters: re.Pattern[str], quantifier: re.Match[str] | None, whole: str
) -> list[_Item]:
    if quantifier is None:
        return [_Item(characters)]
    if quantifier.group() in "?*+":
        sign = quantifier.group()
        return [_Item(characters, optional=sign != "+", repeated=sign != "?")]
    low, comma, high = quantifier.groups()
    least = int(low or 0)
    if comma and not high:
        return [
            *(_Item(characters) for _ in range(least)),
            _Item(characters, optional=True, repeated=True),
        ]
    most = int(high) if comma else least
    if most < least or not (low or high):
        raise LogsParameterRefused(f"The expression %{whole}% has an impossible repetition.")
    optional = (_Item(characters, optional=True) for _ in range(most - least))
    return [*(_Item(characters) for _ in range(least)), *optional]
