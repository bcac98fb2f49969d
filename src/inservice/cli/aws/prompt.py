"""`--cli-auto-prompt`: write the rest of the line with completion, then run it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, FuzzyCompleter
from prompt_toolkit.document import Document

from inservice.cli.aws.failures import PROGRAM, Refused
from inservice.cli.aws.globals import GLOBAL_OPTIONS
from inservice.cli.candidates import candidates


class _LineCompleter(Completer):
    """Offers what may come next, from the same tables as the shells' completion."""

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        del complete_event
        text = document.text_before_cursor
        words = _split(text)
        current = "" if not words or text.endswith(" ") else words.pop()
        for candidate in _offers(words):
            yield Completion(candidate.word, -len(current), display_meta=candidate.summary)


def _offers(words: list[str]) -> Iterable[object]:
    return candidates(words)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def ask(words: list[str]) -> list[str]:
    """Let the user finish the line. Raises Refused without a terminal, KeyboardInterrupt on Ctrl-C."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("--cli-auto-prompt needs a terminal.")
    session: PromptSession[str] = PromptSession(
        completer=FuzzyCompleter(_LineCompleter()), complete_while_typing=True
    )
    text = session.prompt(f"> {PROGRAM} ", default=" ".join([*map(shlex.quote, words), ""]))
    return shlex.split(text)


__all__ = ["GLOBAL_OPTIONS", "ask"]
