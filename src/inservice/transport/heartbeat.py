"""A child's end of what its supervisor follows: that it has come up, and that it still turns.

Until a process is up, its standard error is a file of its supervisor's, from which the reason is
told if it never comes up. Then it takes the server's log instead, so that nothing that it writes
later depends on a supervisor that reads. A process that nobody follows has no heartbeat and writes
where it always wrote.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Final

PREPARED: Final = b"p"
"""Everything is imported; what comes next needs what the process before this one has."""

ALIVE: Final = b"."
"""It serves. Those whose heart is watched say so once a second from then on."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The pipe to the supervisor, and the log to write to once all is well."""

    pipe: int | None = None
    log: int | None = None

    def watched_by_a_person(self) -> bool:
        """Whether the log, once it is written to, is a terminal."""
        return os.isatty(self.log) if self.log is not None else sys.stderr.isatty()

    def prepared(self) -> bool:
        """Say that all is imported, and that what this process needs is waited for. False when
        nobody listens any more."""
        return self._say(PREPARED)

    def up(self) -> None:
        """Say that this process serves, and write to the server's log from now on."""
        if self.log is not None:
            sys.stderr.flush()
            os.dup2(self.log, 2)
        self._say(ALIVE)

    def beat(self) -> bool:
        """Say that this process still turns. False when nobody listens any more."""
        return self._say(ALIVE)

    def _say(self, word: bytes) -> bool:
        if self.pipe is None:
            return True
        os.set_blocking(self.pipe, False)
        try:
            os.write(self.pipe, word)
        except BlockingIOError:
            pass  # a supervisor that was stopped for long; the pipe is full of earlier beats
        except BrokenPipeError:
            return False
        return True
