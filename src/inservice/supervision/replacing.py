"""A new process takes the place of one that serves, or does not and nothing has changed.

The old one goes when the new one has come up, never before. What cannot serve beside another of its
kind steps aside instead: control closes its records, keeps everything that it needs to open them
again, and is either told to go, or to go on because the new one could not. Requests that arrive
meanwhile wait at the socket, which is the supervisor's.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from inservice.supervision.children import START_SECONDS, Child, Children
from inservice.supervision.process import Life

LAST_WORDS_SECONDS = 5.0
"""What a worker may take beyond its drain, to hand over its last counts, before it is killed."""

ASIDE = signal.SIGUSR1
"""Close the records and wait, with everything at hand to open them again."""

GO_ON = signal.SIGUSR2
"""To one that stepped aside: open them again, and serve."""

RECORDS_SECONDS = 120.0
"""What a new control may take to migrate and read its records, once the old one has closed them."""


class GivenUp(Exception):
    """The new process did not come up; the old one stays. Says why, with its last lines."""


class Stopped(Exception):
    """The server is being stopped while something was waited for."""


@dataclass
class Replacing:
    """How the supervisor replaces its children, one after the other."""

    children: Children
    drain_seconds: float
    turn: Callable[[], None]
    """Takes one turn of the supervisor's loop. Raises Stopped."""

    def replace(self, child: Child) -> int:
        """A new process in place of this child's; gives its pid when the old one is gone.

        Raises GivenUp, Stopped.
        """
        self._settle(child)
        fresh = self._start(child)
        asked_aside = None
        try:
            if child.program.side_by_side or child.life is None:
                self._await(child, fresh, lambda: fresh.up, START_SECONDS)
            else:
                self._await(child, fresh, lambda: fresh.prepared, START_SECONDS)
                if child.life is not None:  # it may have ended meanwhile
                    asked_aside = child.life
                    asked_aside.up = False  # it says so again if it has to go on
                    asked_aside.process.send(ASIDE)
                self._await(child, fresh, lambda: fresh.up, RECORDS_SECONDS)
        except BaseException:
            self._give_up(child, fresh)
            if asked_aside is not None:
                asked_aside.process.send(GO_ON)
            raise
        old, child.life, child.successor = child.life, fresh, None
        child.failures = 0
        if old is not None:
            self._let_go(child, old)
        return fresh.process.pid

    def _settle(self, child: Child) -> None:
        """One that is still coming up itself is waited for."""
        deadline = time.monotonic() + START_SECONDS
        while child.life is not None and not child.life.up and time.monotonic() < deadline:
            self.turn()
        if child.life is not None and not child.life.up:
            pid = child.life.process.pid
            raise GivenUp(f"{child.program.name} (pid {pid}) has not come up itself; it stays")

    def _start(self, child: Child) -> Life:
        try:
            child.successor = self.children.start(child.program)
        except OSError as full:
            raise GivenUp(f"{child.program.name}: no new one could be started: {full}") from None
        self.children.publish()
        return child.successor

    def _await(self, child: Child, fresh: Life, come: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not come():
            code = fresh.process.poll()
            if code is not None:
                raise GivenUp(self._why(child, fresh, f"ended with {code} before it served"))
            if time.monotonic() > deadline:
                why = f"did not serve within {seconds:.0f} s"
                raise GivenUp(self._why(child, fresh, why))
            self.turn()

    def _why(self, child: Child, fresh: Life, what: str) -> str:
        stays = f"; the old one (pid {child.life.process.pid}) stays" if child.life else ""
        said = fresh.last_lines()
        last = f". Its last lines:\n{said}" if said else ""
        return f"{child.program.name}: the new one (pid {fresh.process.pid}) {what}{stays}{last}"

    def _give_up(self, child: Child, fresh: Life) -> None:
        fresh.process.send(signal.SIGKILL)
        fresh.process.end(1.0)
        child.successor = None
        self.children.forget(fresh)
        child.due_at = 0.0  # if the old one has ended meanwhile

    def _let_go(self, child: Child, old: Life) -> None:
        """An old one has as long as it drains, and a moment; meanwhile the others are tended."""
        name = child.program.name
        self.children.leaving.append((name, old))
        self.children.publish()
        old.process.send(signal.SIGTERM)
        deadline = time.monotonic() + self.drain_seconds + LAST_WORDS_SECONDS
        while (name, old) in self.children.leaving:
            if time.monotonic() > deadline:
                old.process.send(signal.SIGKILL)
            self.turn()
