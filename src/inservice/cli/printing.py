"""Where text for people goes."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Colours only on a terminal, and never when NO_COLOR is set; long lines are the terminal's."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=width)


def write_warnings(warnings: Iterable[str], *, stderr: bool) -> None:
    """What a server warns of about a record, below it; beside it where a program reads that."""
    out = console(stderr=stderr)
    for warning in warnings:
        out.print(f"  warning  {warning}", style="yellow", markup=False)
