"""What the demo prints: numbered steps on a terminal, the same lines plainly anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.text import Text

TITLE_WIDTH = 10


class Story:
    """Steps with a title each, and lines below them."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._console = Console(file=output, highlight=False, soft_wrap=True)
        self._number = 0

    def opening(self, text: str) -> None:
        """The first line."""
        self._console.print(Text(text, style="bold"))
        self._console.print()

    @contextmanager
    def step(self, title: str, waiting: str) -> Iterator[Step]:
        """One step. `waiting` turns beside a spinner on a terminal until the first line is told."""
        self._number += 1
        heading = Text(f"{self._number}  {title:<{TITLE_WIDTH}}", style="bold cyan")
        step = Step(self._console, heading)
        if not self._console.is_terminal:
            yield step
            return
        with self._console.status(Text(f"{title}: {waiting}")):
            yield step

    def good(self, text: str) -> None:
        """The last line of a demo that went well."""
        self._console.print()
        self._console.print(Text(text, style="bold green"))

    def bad(self, text: str) -> None:
        """What went wrong."""
        self._console.print()
        self._console.print(Text(text, style="bold red"))

    def plain(self, text: str) -> None:
        """Lines as they are."""
        self._console.print(Text(text))


class Step:
    """The lines of one step; the first stands beside the title."""

    def __init__(self, console: Console, heading: Text) -> None:
        self._console = console
        self._heading: Text | None = heading
        self._began = time.perf_counter()

    def tell(self, text: str, *, timed: bool = False) -> None:
        """One line; `timed` adds the seconds since the step began."""
        indent = Text(" " * (TITLE_WIDTH + 3))
        line, self._heading = self._heading or indent, None
        line = line + Text(text)
        if timed:
            line.append(f"  {time.perf_counter() - self._began:.2f} s", style="dim")
        self._console.print(line)
