"""`--cli-auto-prompt`: write the rest of the line with completion, then run it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, FuzzyCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from inservice.cli.aws.failures import PROGRAM, Refused
from inservice.cli.candidates import candidates


class LineCompleter(Completer):
    """Offers what may come next, from the tables that the shells' completion uses."""

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        """What may stand where the cursor is."""
        del complete_event
        text = document.text_before_cursor
        words = _split(text)
        current = "" if not words or text.endswith(" ") else words.pop()
        for candidate in candidates(words, current):
            yield Completion(candidate.word, -len(current), display_meta=candidate.summary)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        # A quote is still open.
        return text.split()


def ask(words: list[str], keyboard: Input | None = None, screen: Output | None = None) -> list[str]:
    """Let the user finish the line, on the terminal unless told where.

    Raises Refused without a terminal, KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D.
    """
    if keyboard is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("--cli-auto-prompt needs a terminal.")
    session: PromptSession[str] = PromptSession(
        completer=FuzzyCompleter(LineCompleter()),
        complete_while_typing=True,
        input=keyboard,
        output=screen,
    )
    begun = "".join(f"{shlex.quote(word)} " for word in words)
    return shlex.split(session.prompt(f"> {PROGRAM} ", default=begun))
