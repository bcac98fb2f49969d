"""Words that were meant: a wrong one is answered with the one that looks like it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Final, NoReturn

USAGE_RC: Final = 2


class OwnParser(argparse.ArgumentParser):
    """argparse, with a wrong word answered by the one that was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Two or three lines on stderr and exit code 2; the whole usage is what --help is for."""
        meant = suggestion(message, self._option_string_actions)
        self.exit(USAGE_RC, f"{self.prog}: {message}\n{meant}See:  {self.prog} --help\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        choices = None if action.choices is None else [str(choice) for choice in action.choices]
        if choices is not None and value not in choices:
            raise argparse.ArgumentError(
                action, f"{value!r} is none of {', '.join(choices)}{did_you_mean(value, choices)}"
            )


def suggestion(message: str, options: Iterable[str]) -> str:
    """The line for unknown options in argparse's message; empty if there are none like them."""
    unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
    if not message.startswith("unrecognized arguments"):
        return ""
    near = [word for option in unknown for word in nearest(option, options)[:1]]
    return f"Did you mean {', '.join(near)}?\n" if near else ""


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Of the words that are known those that look like this one, best first."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), cutoff=0.6)
    # Two letters in the wrong order are the commonest slip, and no letter of it is wrong.
    return sorted(near, key=lambda candidate: sorted(candidate) != sorted(word))


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean "watch"?`, or nothing where nothing is near."""
    near = nearest(str(word), known)
    return f'; did you mean "{near[0]}"?' if near else ""
