"""Wildcards, matched in a time that no pattern can make explode.

A pattern is a row of *pieces*: literal text, STAR for any run of characters, ANY for any one. The
runs cut it into *segments*: the first stands at the beginning of the text, the last at its end, and
each between them is looked for from where the one before ended. Taking the leftmost place is never
wrong, since whatever a later place leaves to the segments after it an earlier one leaves as well.
So nothing is ever tried again, and `*a*a*a*…` costs one walk over the text.

A segment without ANY is found by `str.find`, which is linear. One with ANY is found by arithmetic:
a number has a bit for each place where a character stands in the text; shifted by the character's
offset in the segment, and all of them and'ed, what is left are the places of the segment. Each of
its characters costs one operation on a number of as many bits as the text has characters.

Pieces and not text with `*` in it, because a variable's value may hold a `*` that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

STAR: Final = 0
ANY: Final = 1

Piece = str | int
"""Literal text, STAR or ANY."""


def pieces_of(text: str) -> tuple[Piece, ...]:
    """A pattern as it is written."""
    pieces: list[Piece] = []
    literal = 0
    for at, character in enumerate(text):
        if character in "*?":
            if literal < at:
                pieces.append(text[literal:at])
            pieces.append(STAR if character == "*" else ANY)
            literal = at + 1
    if literal < len(text):
        pieces.append(text[literal:])
    return tuple(pieces)


class Subject:
    """A text that many patterns are held against."""

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self._places: dict[str, int] = {}
        self._characters: set[str] | None = None

    def places(self, character: str) -> int:
        """A bit for each place where it stands in the text, the lowest for the first."""
        found = self._places.get(character)
        if found is None:
            if self._characters is None:
                self._characters = set(self.text)
            table = {ord(other): "0" for other in self._characters}
            table[ord(character)] = "1"
            found = int(self.text[::-1].translate(table), 2) if self.text else 0
            self._places[character] = found
        return found


class _Segment:
    """What stands between two runs."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.literal: Final = "".join("?" if isinstance(p, int) else p for p in pieces)
        self.length: Final = len(self.literal)
        self.exact: Final = all(isinstance(piece, str) for piece in pieces)
        solid: list[tuple[int, str]] = []
        chunks: list[tuple[int, str]] = []
        offset = 0
        for piece in pieces:
            if isinstance(piece, str):
                chunks.append((offset, piece))
                solid.extend(enumerate(piece, offset))
                offset += len(piece)
            else:
                offset += 1
        self.solid: Final = solid  # each character that is no ANY, with its offset
        self.chunks: Final = chunks

    def at(self, text: str, place: int) -> bool:
        """Whether it stands there. The text is long enough."""
        if self.exact:
            return text.startswith(self.literal, place)
        return all(text.startswith(chunk, place + offset) for offset, chunk in self.chunks)

    def find(self, subject: Subject, place: int, end: int) -> int:
        """The first place from `place` on where it stands and ends before `end`; −1 for none."""
        if self.exact:
            return subject.text.find(self.literal, place, end)
        room = end - place - self.length + 1
        if room <= 0:
            return -1
        hits = ((1 << room) - 1) << place
        for offset, character in self.solid:
            hits &= subject.places(character) >> offset
            if not hits:
                return -1
        return (hits & -hits).bit_length() - 1


class Pattern:
    """A pattern, compiled."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        rows: list[list[Piece]] = [[]]
        for piece in pieces:
            if piece == STAR:
                rows.append([])
            else:
                rows[-1].append(piece)
        self.open: Final = len(rows) > 1
        self.first: Final = _Segment(rows[0])
        self.last: Final = _Segment(rows[-1])
        self.between: Final = [_Segment(row) for row in rows[1:-1] if row]
        self.shortest: Final = sum(_Segment(row).length for row in rows)

    @property
    def literal(self) -> str | None:
        """The one text that it matches; None if it has wildcards."""
        return self.first.literal if not self.open and self.first.exact else None

    @property
    def prefix(self) -> str | None:
        """What all that begins with it matches; None if it asks for more or for less."""
        plain = self.open and self.first.exact and not self.between and not self.last.length
        return self.first.literal if plain else None

    def matches(self, subject: Subject) -> bool:
        """Whether it matches the whole text."""
        text = subject.text
        length = len(text)
        if not self.open:
            return length == self.shortest and self.first.at(text, 0)
        end = length - self.last.length
        if length < self.shortest or not (self.first.at(text, 0) and self.last.at(text, end)):
            return False
        place = self.first.length
        for segment in self.between:
            found = segment.find(subject, place, end)
            if found < 0:
                return False
            place = found + segment.length
        return True


@lru_cache(maxsize=4096)
def compiled(pieces: tuple[Piece, ...]) -> Pattern:
    """The pattern of these pieces. Those with a variable in them come again for the same caller."""
    return Pattern(pieces)


class PatternSet:
    """Patterns of which one has to match: the literal ones are one look-up, and those that only end
    in a STAR are one call."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        texts: set[str] = set()
        prefixes: list[str] = []
        others: list[Pattern] = []
        for pattern in patterns:
            if (literal := pattern.literal) is not None:
                texts.add(literal)
            elif (prefix := pattern.prefix) is not None:
                prefixes.append(prefix)
            else:
                others.append(pattern)
        self.texts: Final = frozenset(texts)
        self.prefixes: Final = tuple(prefixes)
        self.others: Final = others

    def matches(self, subject: Subject) -> bool:
        """Whether one does."""
        if subject.text in self.texts or subject.text.startswith(self.prefixes):
            return True
        return any(pattern.matches(subject) for pattern in self.others)
