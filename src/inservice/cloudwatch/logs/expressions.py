"""The regular expressions of filter patterns, matched in time linear to the line.

AWS allows characters, classes, `.`, `^`, `$`, `?`, `*`, `+`, `{m,n}`, `|` and escapes, and no
parentheses. Python's `re` could match them all, and could be kept busy for hours by `.*.*.*x` over
a line that the model's author chose. Without groups a pattern is alternatives of items in a row, so
it is matched as one: bit i of an integer says "up to item i is matched up to here". All
alternatives share the integer.

What a set of bits becomes with a character is remembered, so most characters cost one look into a
dictionary; what had to be computed is counted as work. An expression made to have no two sets alike
costs thirty times as much a character, and whoever searches can tell.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from inservice.cloudwatch.logs.errors import LogsParameterRefused

ITEMS_MAX = 1_000
"""Items of all alternatives after `{m,n}` is written out: bits of the integer."""

STEPS_MAX = 20_000
"""Steps that are remembered, some megabytes of them. Beyond it all are forgotten."""

COMPUTED_WORK = 30
"""What computing a step costs, in remembered ones: 1.5 µs to 50 ns."""

_CLASSES = {
    "d": "0-9",
    "w": "a-zA-Z_0-9",
    "s": " \\t\\n",
}
_ALLOWED = re.compile(r"[A-Za-z0-9:_#=@/;,\- ^$?\[\]{}|\\*+.]*")
_QUANTIFIER = re.compile(r"\?|\*|\+|\{(\d{0,3})(,?)\s?(\d{0,3})\}")
_HEX = re.compile(r"x[0-9A-Fa-f]{2}")


_SIGNS = tuple(map(chr, range(0x101)))
"""Every character that an expression can tell from another: there is no way to write one beyond
`\\xff`, so the last of these stands for all of them."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One character out of a set, how often."""

    characters: frozenset[str]  # of _SIGNS
    optional: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """One alternative."""

    items: list[_Item]
    from_start: bool
    to_end: bool

    def literal(self) -> str:
        """The longest text that is in everything the row matches."""
        longest = found = ""
        for item in self.items:
            sign = next(iter(item.characters)) if len(item.characters) == 1 else ""
            if item.optional or not sign or sign == _SIGNS[-1]:
                found = ""
                continue
            found = found + sign
            longest = max(longest, found, key=len)
            if item.repeated:
                found = sign
        return longest


class _Place:
    """What is matched after some characters, and what becomes of it with the next one."""

    __slots__ = ("accepts", "bits", "following")

    def __init__(self, bits: int, accepts: bool) -> None:
        self.bits = bits
        self.accepts = accepts
        self.following: dict[str, _Place] = {}


class Expression:
    """A compiled expression. Used by one thread at a time."""

    def __init__(self, text: str) -> None:
        """Raises LogsParameterRefused for what is not one of AWS's expressions."""
        if not _ALLOWED.fullmatch(text):
            raise LogsParameterRefused(f"The expression %{text}% has an unsupported character.")
        rows = [_row(part, text) for part in _alternatives(text)]
        if sum(len(row.items) for row in rows) > ITEMS_MAX:
            raise LogsParameterRefused(f"The expression %{text}% is too long.")
        self.work = 0
        """What matching has cost so far, in characters that were looked at."""
        self._literals = [row.literal() for row in rows]
        self._items: list[_Item] = []
        self._optional = self._repeated = self._starts = self._anywhere = 0
        self._ends = self._accepting = 0
        for row in rows:
            self._lay_out(row)
        self._masks: dict[str, int] = {}
        self._forget()

    def finds(self, text: str) -> bool:
        """Whether it matches somewhere in the text."""
        if all(self._literals) and not any(literal in text for literal in self._literals):
            self.work += len(text) // 16
            return False
        place = self._first
        for number, character in enumerate(text):
            if place.accepts:
                self.work += number
                return True
            following = place.following.get(character)
            place = self._step(place, character) if following is None else following
        self.work += len(text)
        return place.accepts or bool(place.bits & self._ends)

    def _lay_out(self, row: _Row) -> None:
        """Give a row its bits: one for its start, then one for each item."""
        start = len(self._items)
        self._items += [_Item(frozenset()), *row.items]
        for number, item in enumerate(row.items, start + 1):
            self._optional |= item.optional << number
            self._repeated |= item.repeated << number
        end = 1 << (len(self._items) - 1)
        self._starts |= 1 << start
        self._anywhere |= (not row.from_start) << start
        self._ends |= end
        self._accepting |= 0 if row.to_end else end

    def _forget(self) -> None:
        self._steps = 0
        self._places: dict[int, _Place] = {}
        self._first = self._place(self._skip(self._starts))

    def _place(self, bits: int) -> _Place:
        place = self._places.get(bits)
        if place is None:
            place = self._places[bits] = _Place(bits, bool(bits & self._accepting))
        return place

    def _step(self, place: _Place, character: str) -> _Place:
        self.work += COMPUTED_WORK
        if self._steps >= STEPS_MAX:
            self._forget()
        bits = ((place.bits << 1) | (place.bits & self._repeated)) & self._mask(character)
        following = self._place(self._skip(bits | self._anywhere))
        place.following[character] = following
        self._steps += 1
        return following

    def _skip(self, bits: int) -> int:
        """Go over optional items, however many are in a row: a carry runs through them all."""
        entered = (bits << 1) & self._optional
        return bits | entered | (self._optional & ~(self._optional + entered))

    def _mask(self, character: str) -> int:
        sign = min(character, _SIGNS[-1])
        mask = self._masks.get(sign)
        if mask is None:
            mask = sum(1 << n for n, item in enumerate(self._items) if sign in item.characters)
            self._masks[sign] = mask
        return mask


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
    return _Row(items, from_start, to_end)


def _one(part: str, at: int, whole: str) -> tuple[frozenset[str], int]:
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
        return _characters(source), after
    except (re.error, FutureWarning) as error:
        raise LogsParameterRefused(f"The expression %{whole}% cannot be read: {error}.") from error


@functools.lru_cache(maxsize=1_024)
def _characters(source: str) -> frozenset[str]:
    """What one of Python's regular expressions for a single character stands for."""
    compiled = re.compile(source, re.DOTALL)
    return frozenset(sign for sign in _SIGNS if compiled.fullmatch(sign))


def _repeat(
    characters: frozenset[str], quantifier: re.Match[str] | None, whole: str
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
