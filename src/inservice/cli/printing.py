"""Where text for people goes."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Colours only on a terminal, and never when NO_COLOR is set; long lines are the terminal's."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=width)
