"""What one would do next, after a command: `→ inservice endpoint watch digits`.

For a person at a terminal, on stderr; never where a machine reads, and never with `--output json`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Final

_WHERE: Final = ("data-dir", "endpoint-url", "profile", "region")
_TAKING_A_VALUE: Final = frozenset(f"--{name}" for name in (*_WHERE, "output"))
_FOR_PEOPLE: Final = (None, "text", "table")


def next_steps(options: argparse.Namespace, *commands: str) -> None:
    """Show the commands, each with the options that lead to the same server."""
    if not sys.stderr.isatty() or getattr(options, "output", None) not in _FOR_PEOPLE:
        return
    where = "".join(
        f" --{name} {shlex.quote(value)}"
        for name in _WHERE
        if (value := getattr(options, name.replace("-", "_"), None))
    )
    sys.stdout.flush()
    sys.stderr.writelines(f"→ inservice {command}{where}\n" for command in commands)


def without_where(words: Sequence[str]) -> list[str]:
    """A command's words without those that `next_steps` adds, and without --output."""
    kept: list[str] = []
    following = iter(words)
    for word in following:
        if word in _TAKING_A_VALUE:
            next(following, None)
        elif word.partition("=")[0] not in _TAKING_A_VALUE:
            kept.append(word)
    return kept
