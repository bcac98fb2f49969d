"""Where output goes: to a pager when a person is watching, else straight to stdout."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final

from inservice.cli.aws.failures import NoPager

DEFAULT_PAGER: Final = "less"

_LESS: Final = "FRX"
"""Leave if it fits on a screen, let colours through, do not clear the screen."""


@contextmanager
def output_stream(pager: str | None) -> Iterator[IO[str]]:
    """The stream to write an answer to. Raises NoPager when the pager cannot be started."""
    child = _started(pager) if pager and _is_terminal(sys.stdout) else None
    if child is None:
        yield sys.stdout
        return
    assert child.stdin is not None
    # The reader may leave before the end; there is nothing to say then.
    with suppress(BrokenPipeError):
        try:
            yield child.stdin
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
            child.wait()


def _started(pager: str) -> subprocess.Popen[str] | None:
    """The pager, running; None when it is the default one and this machine has none."""
    environment = {"LESS": _LESS, **os.environ}
    try:
        return subprocess.Popen(  # noqa: S603  (the user's own pager, not through a shell)
            shlex.split(pager), stdin=subprocess.PIPE, env=environment, text=True
        )
    except OSError as error:
        if pager == DEFAULT_PAGER:
            return None
        raise NoPager(error) from error


def is_colored(color: str, stream: IO[str]) -> bool:
    """Whether --color on, off or auto wants colour in this stream: auto, if it is a terminal."""
    return color == "on" or (color == "auto" and _is_terminal(stream))


def _is_terminal(stream: IO[str]) -> bool:
    try:
        return os.isatty(stream.fileno())
    except (OSError, ValueError):
        return False
