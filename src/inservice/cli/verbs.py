"""Nouns with verbs: `inservice endpoint <verb>`, `inservice model <verb>`, and so on.

A noun is a table of verbs; a verb's module has `parser(prog)` and `run(options) -> exit code`, and
is imported when it is asked for. A noun alone is a question, so it is answered with its help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from textwrap import fill
from typing import Final, NoReturn

USAGE_RC: Final = 2

EXIT_CODES_TOLD: Final = (
    "Exit codes: 0 done, 1 refused or not reachable, 2 wrong usage, 130 interrupted."
)
"""For nouns whose verbs wait for nothing."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One word after a noun."""

    module: str
    summary: str


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


def answer(noun: str, verbs: Mapping[str, Verb], argv: list[str], codes: str) -> int:
    """Answer `inservice <noun> …`."""
    if not argv or argv[:1] in (["--help"], ["-h"], ["help"]):
        sys.stdout.write(_overview(noun, verbs, codes))
        return 0
    verb = verbs.get(argv[0])
    if verb is None:
        sys.stderr.write(
            f'inservice {noun}: there is no "{argv[0]}"{did_you_mean(argv[0], verbs)}\n'
            f"See:  inservice {noun} --help\n"
        )
        return USAGE_RC
    module = import_module(verb.module)
    options = module.parser(f"inservice {noun} {argv[0]}").parse_args(argv[1:])
    options.words = argv[1:]  # for the next step, which may take the same ones
    from inservice.cli.connection import explained

    return explained(module.run, options)


def _overview(noun: str, verbs: Mapping[str, Verb], codes: str) -> str:
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in verbs.items()]
    usage = f"usage: inservice {noun} <verb> [options]"
    more = f"inservice {noun} <verb> --help says more."
    return "\n".join([usage, "", *lines, "", more, "", fill(codes, 80), ""])
