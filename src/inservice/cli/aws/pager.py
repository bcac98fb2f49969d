"""Where output goes: to a pager when a person is watching, else straight to stdout."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from inservice.cli.aws.failures import NoPager

_LESS = "FRX"
"""Leave if it fits on a screen, let colours through, do not clear the screen."""


@contextmanager
def output_stream(pager: str | None) -> Iterator[IO[str]]:
    """The stream to write an answer to. Raises NoPager when the pager cannot be started."""
    if not pager or not _is_terminal():
        yield sys.stdout
        return
    environment = {"LESS": _LESS, **os.environ}
    try:
        child = subprocess.Popen(  # noqa: S603  (the user's own pager, not through a shell)
            shlex.split(pager), stdin=subprocess.PIPE, env=environment, text=True
        )
    except OSError as error:
        raise NoPager(error) from error
    assert child.stdin is not None
    # The reader may leave before the end; there is nothing to say then.
    with suppress(BrokenPipeError):
        try:
            yield child.stdin
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
            child.wait()


def _is_terminal() -> bool:
    try:
        return os.isatty(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
