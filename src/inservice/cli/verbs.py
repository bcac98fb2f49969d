"""Nouns with verbs: `inservice endpoint <verb>`, `inservice model <verb>`, and so on.

A noun is a table of verbs; a verb's module has `parser(prog)` and `run(options) -> exit code`, and
is imported when it is asked for. A noun alone is a question, so it is answered with its help.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from textwrap import fill
from typing import Final

from inservice.cli.spelling import USAGE_RC, did_you_mean

EXIT_CODES_TOLD: Final = (
    "Exit codes: 0 done, 1 refused or not reachable, 2 wrong usage, 130 interrupted."
)
"""For nouns whose verbs wait for nothing."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One word after a noun."""

    module: str
    summary: str


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
