"""Programs kept running: what ends is started again, what is stuck is ended, who runs is told.

At most three processes belong to one program at a time: the one that serves, a newer one that is
coming up beside it, and older ones that finish what they have in flight.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from inservice.config import Settings
from inservice.reserve import Reserve
from inservice.supervision.files import say, write_private
from inservice.supervision.process import Life, begin
from inservice.supervision.programs import CONTROL, Program
from inservice.transport.census import strike_out

HEARTBEAT_SECONDS = 4.0
"""Workers beat once a second; three missed beats on a busy machine are not yet a stuck worker."""

START_SECONDS = 30.0
"""Until the first beat: an interpreter and its imports, on a machine that has more to do."""

STEADY_SECONDS = 10.0
"""A child that lived this long was healthy: its next failure is a first one again."""

RECORDS_REFUSED = 78
"""Control's exit code when it cannot use its records: EX_CONFIG of sysexits.h, which neither Python
nor a signal ends with by itself."""


HOST_REFUSED = 71
"""And when this host cannot do what the settings ask for: EX_OSERR."""


class HostRefused(Exception):
    """The host cannot do what the settings ask for; control's own log line says why."""


class RecordsRefused(Exception):
    """Control cannot use the records of this data directory; its own log line says why."""


@dataclass
class Child:
    """A program and its processes."""

    program: Program
    life: Life | None = None
    successor: Life | None = None  # coming up, to take the place of `life`
    failures: int = 0
    due_at: float = 0.0  # when to start it again


@dataclass
class Children:
    """Everything that the supervisor keeps running."""

    settings: Settings
    census: int
    selector: selectors.BaseSelector
    reserve: Reserve
    by_name: dict[str, Child] = field(default_factory=dict)
    leaving: list[tuple[str, Life]] = field(default_factory=list)  # told to go, by name
    _told: object = None  # what processes.json says
    _complained: bool = False  # that it cannot be written
    _listened_at: float = 0.0  # the last round of the loop, which takes a second at most

    @property
    def processes_file(self) -> Path:
        """Who runs, for control and for `inservice status`."""
        return self.settings.run_dir / "processes.json"

    def add(self, program: Program) -> Child:
        """A program that is to run from now on."""
        return self.by_name.setdefault(program.name, Child(program))

    def start(self, program: Program) -> Life:
        """A new process of a program, listened to. Raises OSError when there is no room."""
        life = begin(program, self.settings.settings_file)
        self.follow(life)
        return life

    def follow(self, life: Life) -> None:
        """Listen to its heart."""
        if life.heartbeat >= 0:
            self.selector.register(life.heartbeat, selectors.EVENT_READ, lambda: self._hear(life))

    def forget(self, life: Life) -> None:
        """It has ended: nothing of it stays open."""
        self._stop_listening(life)
        life.forget()

    def tend(self) -> None:
        """One round: start again what ended, end what is stuck, say who runs."""
        now = time.monotonic()
        self._reap(now)
        self._kill_stuck(now)
        self._start_due(now)
        self.publish()

    def listen(self) -> None:
        """Take what there is to hear, for a second at most."""
        for key, _ in self.selector.select(timeout=1.0):
            key.data()

    def publish(self) -> None:
        """Say who runs: control waits for every live worker's word before it stops a fleet, so a
        new worker is named before it can have taken a request, and an old one until it is gone."""
        running = [
            {"name": name, "pid": life.process.pid, "started_at": _wall(life.started_at)}
            for name, life in self._named()
        ]
        document = {"pid": os.getpid(), "children": running}
        told = [(one["name"], one["pid"]) for one in running]
        if told == self._told:
            return
        try:
            with self.reserve.giving():
                write_private(self.processes_file, document)
        except OSError as full:  # no reason to stop what serves; it is tried again every second
            if not self._complained:
                say(f"processes.json cannot be written: {full}")
            self._complained = True
        else:
            self._told, self._complained = told, False

    def lives(self) -> list[Life]:
        """Every process."""
        return [life for _, life in self._named()]

    def lives_of(self, name: str) -> list[Life]:
        """Those of one program, also one that is coming up or leaving."""
        child = self.by_name.get(name)
        serving = [] if child is None else [child.life, child.successor]
        leaving = [life for each, life in self.leaving if each == name]
        return [*(life for life in serving if life is not None), *leaving]

    def _named(self) -> list[tuple[str, Life]]:
        serving = [(name, c.life) for name, c in self.by_name.items() if c.life]
        coming = [(f"{n}-starting", c.successor) for n, c in self.by_name.items() if c.successor]
        return [*serving, *coming, *((f"{name}-leaving", life) for name, life in self.leaving)]

    # ── a round ─────────────────────────────────────────────────────────────────────────────────
    def _reap(self, now: float) -> None:
        for name, life in list(self.leaving):
            if life.process.poll() is not None:
                self.leaving.remove((name, life))
                self.forget(life)
        for child in self.by_name.values():
            if child.life is not None:
                child.life.tell()
                code = child.life.process.poll()
                if code is not None:
                    self._ended(child, child.life, code, now)

    def _ended(self, child: Child, life: Life, code: int, now: float) -> None:
        lived = now - life.started_at
        child.failures = 1 if lived > STEADY_SECONDS else child.failures + 1
        pause = 0.0 if child.failures == 1 else min(10.0, 0.1 * 2**child.failures)
        child.life, child.due_at = None, now + pause
        self.forget(life)
        # Once control has served, the models still do, by the last routing table: then it is
        # tried again and again. A server that never began has nothing to go on with.
        if code == RECORDS_REFUSED and not self.settings.endpoint_file.exists():
            raise RecordsRefused(f"the records in {self.settings.data_dir} cannot be used")
        if code == HOST_REFUSED and not self.settings.endpoint_file.exists():
            raise HostRefused("this host cannot do what the settings ask for")
        name, pid = child.program.name, life.process.pid
        if child.successor is not None:
            say(f"{name} (pid {pid}) ended with {code}; its successor is starting")
            return
        say(f"{name} (pid {pid}) ended with {code}; starting it again")
        if child.program.slot >= 0:
            strike_out(self.census, child.program.slot)

    def _kill_stuck(self, now: float) -> None:
        """Whoever was silent while we listened; held up ourselves, we heard nobody."""
        serving = [(c, c.life) for c in self.by_name.values() if c.program.beats and c.life]
        if now - self._listened_at > HEARTBEAT_SECONDS / 2:
            for _, life in serving:
                life.beaten_at = now
        self._listened_at = now
        for child, life in serving:
            silent = now - life.beaten_at
            if life.heartbeat >= 0 and silent > (HEARTBEAT_SECONDS if life.up else START_SECONDS):
                name = child.program.name
                say(f"{name} (pid {life.process.pid}) is stuck: silent for {silent:.1f} s")
                life.process.send(signal.SIGKILL)
                life.beaten_at = now

    def _start_due(self, now: float) -> None:
        for child in self.by_name.values():
            if child.life is None and child.successor is None and child.due_at <= now:
                try:
                    child.life = self.start(child.program)
                except OSError as full:  # a passing shortage of processes, memory, descriptors
                    say(f"{child.program.name} cannot be started: {full}")
                    child.due_at = now + 1.0

    # ── hearts ──────────────────────────────────────────────────────────────────────────────────
    def _hear(self, life: Life) -> None:
        was_up = life.up
        if not life.heard():
            self._stop_listening(life)  # closed: it is going, `_reap` will see it
        elif life.up and not was_up:
            life.tell()

    def _stop_listening(self, life: Life) -> None:
        if life.heartbeat >= 0:
            self.selector.unregister(life.heartbeat)
            os.close(life.heartbeat)
            life.heartbeat = -1


def _wall(monotonic: float) -> float:
    return time.time() - (time.monotonic() - monotonic)


def is_control(child: Child) -> bool:
    """Whether it is the one that stops the instances."""
    return child.program.name == CONTROL
