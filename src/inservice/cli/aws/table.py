"""`--output table`: boxes drawn with + - |, nested structures indented below their parent.

    --------------------------------
    |       ListEndpoints          |     a section's title is its member's name
    +------------------------------+
    ||         Endpoints          ||     one level deeper, one more bar on each side
    |+--------------+-------------+|
    ||  CreationTime| EndpointArn ||

First the answer becomes a list of sections (title, headers, rows, depth), then the sections become
lines. When the widest section does not fit the terminal, a section of one row is turned on its
side: a line per column.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

from inservice.cli.aws.pager import is_colored

_PADDING: Final = 4
"""Columns around a cell: two spaces on the left, the rest to the right of the longest."""

_DEFAULT_WIDTH: Final = 80

_ELEMENT: Final = "\x1b[1m\x1b[34m{}\x1b[0m"
_BAR: Final = "\x1b[2m\x1b[33m{}\x1b[0m"


@dataclass(slots=True)
class Section:
    """One box. `title` is empty for rows that continue nothing."""

    title: str
    depth: int
    headers: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def column_widths(self) -> list[int]:
        """The width of each column's longest cell, in columns of the terminal."""
        lines = [*self.rows, self.headers] if self.headers else self.rows
        return [max(map(_width, cells)) for cells in zip(*lines, strict=True)]

    def width(self) -> int:
        """What the section needs, borders and indentation included."""
        around = 2 + 2 * self.depth
        cells = sum(width + _PADDING for width in self.column_widths())
        return max(_width(self.title) + around, cells + around)

    def on_its_side(self) -> Section:
        """A section of one row with a line per column; any other section as it is."""
        if len(self.rows) != 1 or not self.headers:
            return self
        turned = [list(pair) for pair in zip(self.headers, self.rows[0], strict=True)]
        return Section(self.title, self.depth, rows=turned)


def write_table(operation: str, answer: Any, stream: IO[str], color: str) -> None:
    """Write an answer as a table. Nothing at all for an empty one."""
    sections = list(sections_of(operation, answer))
    if not sections:
        return
    width = max(section.width() for section in sections)
    if width > _terminal_width():
        sections = [section.on_its_side() for section in sections]
        width = max(section.width() for section in sections)
    colored = is_colored(color, stream)
    draw = _Drawing(stream, colored)
    stream.write("-" * width + "\n")
    for section in sections:
        draw.section(section, width)


def sections_of(title: str, answer: Any, depth: int = 0) -> Iterator[Section]:
    """The sections that show an answer, parents before children."""
    if not answer:
        return
    if isinstance(answer, dict):
        yield from _of_structure(title, answer, depth)
    elif isinstance(answer, list) and isinstance(answer[0], dict):
        yield from _of_structures(title, answer, depth)
    elif isinstance(answer, list):
        yield from _of_list(title, answer, depth)
    else:
        yield Section(title, depth)


def _of_structure(title: str, answer: dict[str, Any], depth: int) -> Iterator[Section]:
    headers = sorted(key for key, value in answer.items() if not _is_nested(value))
    section = Section(title, depth)
    if len(headers) == 1:
        section.rows.append([headers[0], str(answer[headers[0]])])
    elif headers:
        section.headers = headers
        section.rows.append([str(answer[key]) for key in headers])
    yield section
    for key in sorted(set(answer) - set(headers)):
        yield from sections_of(key, answer[key], depth + 1)


def _of_structures(title: str, answer: list[Any], depth: int) -> Iterator[Section]:
    headers = sorted({k for item in answer for k, value in item.items() if not _is_nested(value)})
    nested = sorted({k for item in answer for k, value in item.items() if _is_nested(value)})
    rows = [[str(item.get(key, "")) for key in headers] for item in answer]
    if not nested:
        yield Section(title, depth, headers, rows)
        return
    # A row with children of its own cannot share its box: each row begins a new one.
    for item, row in zip(answer, rows, strict=True):
        yield Section(title, depth, headers, [row])
        for key in nested:
            if key in item:
                yield from sections_of(key, item[key], depth + 1)


def _of_list(title: str, answer: list[Any], depth: int) -> Iterator[Section]:
    rows = list(_rows(answer))
    columns = max(map(len, rows))
    yield Section(title, depth, rows=[row + [""] * (columns - len(row)) for row in rows])


def _rows(answer: list[Any]) -> Iterator[list[str]]:
    for item in answer:
        if isinstance(item, list) and any(map(_is_nested, item)):
            yield from _rows(item)
        else:
            yield [str(cell) for cell in item] if isinstance(item, list) else [str(item)]


class _Drawing:
    """Writes sections as lines."""

    def __init__(self, stream: IO[str], colored: bool) -> None:
        self._stream = stream
        self._element = _ELEMENT if colored else "{}"
        self._bar = _BAR.format("|") if colored else "|"

    def section(self, section: Section, width: int) -> None:
        inner = width - 2 * section.depth
        bars = self._bar * section.depth
        for line in self._lines(section, inner):
            self._stream.write(f"{bars}{line}{bars}\n")

    def _lines(self, section: Section, width: int) -> Iterator[str]:
        if section.title:
            yield _centered(section.title, width, left="|")
            if not section.headers and not section.rows:
                yield f"+{'-' * (width - 2)}+"
        widths = _scaled([w + _PADDING for w in section.column_widths()], width)
        if not widths:
            return
        rule = "+" + "+".join("-" * w for w in _between_bars(widths)) + "+"
        if section.headers:
            yield rule
            yield "".join(
                _centered(header, w, left="" if number else "|")
                for number, (header, w) in enumerate(zip(section.headers, widths, strict=True))
            )
        if section.rows:
            yield rule
            for row in section.rows:
                yield "".join(
                    self._cell(cell, w, left="" if number else "|")
                    for number, (cell, w) in enumerate(zip(row, widths, strict=True))
                )
            yield rule

    def _cell(self, text: str, width: int, left: str) -> str:
        taken = _width(text) + len(left) + 1
        padding = 2 if width - taken >= 2 else 0
        room = width - taken - padding
        return f"{left}{' ' * padding}{self._element.format(text)}{' ' * room}|"


def _between_bars(widths: list[int]) -> list[int]:
    """Each column's width without its bars: the first column has two, the others one."""
    return [w - 1 if number else w - 2 for number, w in enumerate(widths)]


def _centered(text: str, width: int, left: str) -> str:
    before = width // 2 - _width(text) // 2 - 1
    after = width - 1 - len(left) - before - _width(text)
    return f"{left}{' ' * before}{text}{' ' * after}|"


def _scaled(widths: list[int], total: int) -> list[int]:
    """Stretch columns so that together they are as wide as the table."""
    if not widths:
        return widths
    factor = total / float(sum(widths))
    scaled = [round(factor * width) for width in widths]
    off_by = sum(scaled) - total
    step = 1 if off_by > 0 else -1
    # Too wide is taken back from the left, too narrow is given from the right.
    order = range(len(scaled)) if off_by > 0 else range(len(scaled) - 1, -1, -1)
    while off_by:
        for number in order:
            scaled[number] -= step
            off_by -= step
            if not off_by:
                break
    return scaled


def _width(text: str) -> int:
    """Columns of the terminal. Wide, full-width and ambiguous characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WFA" else 1 for char in text)


def _is_nested(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return _DEFAULT_WIDTH
