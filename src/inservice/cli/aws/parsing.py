"""argparse with the AWS CLI's words: how usage, a wrong choice and a missing option are told.

Three parsers read one line, each what the one before it left: the global options and the service,
the operation, the operation's options. All three accept any unique beginning of a long option.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from inservice.cli.aws.failures import PROGRAM, USAGE, UsageError

_CHOICES_PER_LINE: Final = 2
_CHOICE_WIDTH: Final = 40


class Parser(argparse.ArgumentParser):
    """One of the three readers of a command line. Raises instead of leaving the interpreter."""

    def __init__(self) -> None:
        super().__init__(
            prog=PROGRAM,
            usage=USAGE,
            add_help=False,
            conflict_handler="resolve",
            formatter_class=argparse.RawTextHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would have printed before exiting."""
        raise UsageError(f"{self.format_usage()}\n{self.prog}: error: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # argparse has no public way to word this, and its own wording is one endless line: a
        # service has four hundred operations.
        choices = None if action.choices is None else list(action.choices)
        if choices is not None and value not in choices:
            raise argparse.ArgumentError(action, wrong_choice(value, choices))


def wrong_choice(value: str, choices: Sequence[str]) -> str:
    """Say which choices there are, and which of them was probably meant."""
    from difflib import get_close_matches

    lines = ["Invalid choice, valid choices are:\n"]
    for start in range(0, len(choices), _CHOICES_PER_LINE):
        row = choices[start : start + _CHOICES_PER_LINE]
        lines.append(" | ".join(f"{choice:<{_CHOICE_WIDTH}}" for choice in row))
    meant = get_close_matches(value, choices, cutoff=0.8)
    if meant:
        lines.append(f"\n\nInvalid choice: {value!r}, maybe you meant:\n")
        lines += [f"  * {word}" for word in meant]
    return "\n".join(lines)


def choose(dest: str, words: list[str], choices: Iterable[str]) -> tuple[str, list[str]]:
    """Take the first positional word, which must be one of the choices. Return it and the rest."""
    parser = Parser()
    parser.add_argument(dest, choices=list(choices))
    parsed, rest = parser.parse_known_args(words)
    return str(getattr(parsed, dest)), rest


def choose_optional(
    dest: str, words: list[str], choices: Iterable[str]
) -> tuple[str | None, list[str]]:
    """Like `choose`, where no word at all is an answer too."""
    parser = Parser()
    parser.add_argument(dest, choices=list(choices), nargs="?")
    parsed, rest = parser.parse_known_args(words)
    return getattr(parsed, dest), rest
