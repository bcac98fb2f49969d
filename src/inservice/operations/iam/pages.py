"""IAM's lists: Marker and MaxItems, IsTruncated and Marker.

A page begins after the last line of the page before, so what is made or deleted between two pages
neither repeats nor hides a line.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from inservice.errors import ValidationError
from inservice.operations.registry import Call, Document

PAGE_SIZE = 100
"""Lines of a page unless MaxItems says otherwise: AWS's own default."""

_INVALID = "Invalid Marker."

_Line = TypeVar("_Line")


@dataclass(frozen=True, slots=True)
class Pages:
    """One list request."""

    identity: str  # of what is listed, so that no Marker of another list is taken
    after: str | None  # where the page before ended
    size: int

    @classmethod
    def of(cls, call: Call, listed: Sequence[object], marker: str | None, max_items: int) -> Pages:
        """`listed` is what the request asks for, its operation first. Raises ValidationError for a
        Marker that this list did not give."""
        told = repr((call.account, *listed)).encode()
        identity = hashlib.sha256(told).hexdigest()[:12]
        return cls(identity, None if marker is None else _position(identity, marker), max_items)

    def cut(
        self, lines: Iterable[_Line], position: Callable[[_Line], str]
    ) -> tuple[list[_Line], Document]:
        """Of all lines, or of those after the page before, the ones of this page; and the members
        that tell whether there are more. Positions sort as the list does."""
        sorted_lines = sorted(lines, key=position)
        if self.after is not None:
            after = self.after
            sorted_lines = [line for line in sorted_lines if position(line) > after]
        shown = sorted_lines[: self.size]
        if len(sorted_lines) <= self.size:
            return shown, {"IsTruncated": False}
        return shown, self._to_be_continued(position(shown[-1]))

    def numbers(self, count: int) -> tuple[range, Document]:
        """The same of lines that are only counted, from 0: there may be more than anybody wants to
        have made. Raises ValidationError as `of` does."""
        if self.after is not None and not self.after.isdecimal():
            raise ValidationError(_INVALID)
        start = 0 if self.after is None else min(int(self.after), count)
        end = min(start + self.size, count)
        return range(start, end), (
            {"IsTruncated": False} if end == count else self._to_be_continued(str(end))
        )

    def _to_be_continued(self, position: str) -> Document:
        token = msgspec.json.encode([self.identity, position])
        return {"IsTruncated": True, "Marker": base64.urlsafe_b64encode(token).decode()}


def _position(identity: str, marker: str) -> str:
    """Whoever forges one can only see what is theirs to list; the identity is against mistakes."""
    try:
        given, position = _MARKER.decode(base64.urlsafe_b64decode(marker.encode("latin-1")))
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValidationError(_INVALID) from error
    if given != identity:
        raise ValidationError(_INVALID)
    return position


_MARKER = msgspec.json.Decoder(tuple[str, str])
