"""The host pings its instances, and tells who follows what changes.

An instance that starts is looked at every few milliseconds, because each of them is time to
InService; one that is well every 5 s, as on AWS; one that was well and is not, every second. Only
the host does it, for its own: control and the gateways are told when something changes, so an idle
instance costs them nothing, and its host a few hundred microseconds a minute.

What is kept of an instance is its Pulse. A follower that is slow, or stopped, is owed the newest
pulse of each instance and no history, so what is owed is bounded by the instances there are.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from inservice.runtimes.base import Probe
from inservice.runtimes.pinging import (
    FIRST_LOOK_SECONDS,
    ILL_LOOK_SECONDS,
    PROBES_KEPT,
    STARTING_LOOK_GROWTH,
    STARTING_LOOK_SECONDS_MAX,
    STEADY_LOOK_SECONDS,
)
from inservice.runtimes.process import records
from inservice.runtimes.process.ping import Answer, Ping
from inservice.runtimes.process.protocol import News, Pulse
from inservice.runtimes.process.records import Places, Ready, Record
from inservice.runtimes.process.watch import Timer, Watch

SLOT_SECONDS = 0.5
"""Steady pings that are due within the same half second are sent together: the host wakes up twice
a second for any number of them, and never has more than a tenth of them to do at once."""

TOLD_SECONDS = 1.0
"""How often it is said of an instance that starts that its pings come to the same as before."""

BEAT_SECONDS = 5.0
"""How often a follower hears that the fork server still turns."""

_CROWDED_SECONDS = 0.05
"""Until a follower whose buffer is full is tried again."""


@dataclass(slots=True, eq=False)
class _Patient:
    """An instance that is pinged."""

    record: Record
    ready: Ready | None
    well: bool
    pause: float = FIRST_LOOK_SECONDS  # before the next ping, while it starts
    probes: deque[Probe] = field(default_factory=lambda: deque(maxlen=PROBES_KEPT))
    ping: Ping | None = None  # under way
    timer: Timer | None = None  # to the next
    asked: list[Callable[[Pulse], None]] = field(default_factory=list)
    told: tuple[bool, str] | None = None  # well, and what the last probe came to
    told_at: float = 0.0  # monotonic seconds

    def pulse(self) -> Pulse:
        return Pulse(
            instance_id=self.record.instance_id,
            cookie=self.record.cookie,
            well=self.well,
            ready=self.ready,
            probes=tuple(self.probes),
        )


class Pulses:
    """Every instance that runs, and how it was seen last."""

    def __init__(self, watch: Watch, places: Places) -> None:
        self._watch = watch
        self._places = places
        self._patients: dict[str, _Patient] = {}
        self._followers: set[_Follower] = set()
        self._beating = False
        self.sent = 0
        """Pings so far."""

    def begin(self, record: Record, *, adopted: bool) -> None:
        """Ping an instance from now on. One that another fork server had found well is taken to be
        so until its turn comes: those turns are spread over the period, not due all at once."""
        ready = records.read(self._places.ready(record.instance_id), Ready) if adopted else None
        patient = _Patient(record, ready, well=ready is not None)
        self._patients[record.instance_id] = patient
        spread = int(record.cookie, 16) % 1_000 / 1_000 * STEADY_LOOK_SECONDS
        self._later(patient, spread if ready is not None else FIRST_LOOK_SECONDS)
        self._tell(patient)

    def end(self, record: Record) -> None:
        """It has ended."""
        patient = self._patients.pop(record.instance_id)
        if patient.timer is not None:
            patient.timer.cancel()
        if patient.ping is not None:
            patient.ping.cancel()
        self._answer(patient)

    def look(self, record: Record, told: Callable[[Pulse], None]) -> None:
        """Ping it now, or hear what the ping under way brings."""
        patient = self._patients[record.instance_id]
        patient.asked.append(told)
        if patient.ping is None:
            if patient.timer is not None:
                patient.timer.cancel()
            self._ping(patient)

    def follow(self, client: socket.socket, opening: bytes) -> None:
        """Tell a client, after `opening`, how all instances are, and then what changes."""
        everything = _line(patient.pulse() for patient in self._patients.values())
        follower = _Follower(self._watch, client, opening + everything, self._followers.discard)
        self._followers.add(follower)
        follower.owe(())
        if not self._beating:
            self._beating = True
            self._watch.after(BEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        for follower in tuple(self._followers):
            follower.owe(())
        self._beating = bool(self._followers)
        if self._beating:
            self._watch.after(BEAT_SECONDS, self._beat)

    # ── pinging ──────────────────────────────────────────────────────────────────────────────
    def _later(self, patient: _Patient, seconds: float) -> None:
        patient.timer = self._watch.after(seconds, lambda: self._ping(patient))

    def _ping(self, patient: _Patient) -> None:
        self.sent += 1
        path = patient.record.address.removeprefix("unix:")
        patient.ping = Ping(self._watch, path, lambda answer: self._hear(patient, answer))

    def _hear(self, patient: _Patient, answer: Answer) -> None:
        patient.ping = None
        probe, probes = answer.probe, patient.probes
        probes.extend(probes.pop().before(probe) if probes else (probe,))
        patient.well = probe.outcome == "200"
        if patient.well and patient.ready is None:
            patient.ready = self._first_ready(patient.record, answer.phases)
        self._later(patient, self._pause(patient))
        now = time.monotonic()
        same = patient.told == (patient.well, probe.outcome)
        if not same or (not patient.well and now - patient.told_at >= TOLD_SECONDS):
            self._tell(patient)
        self._answer(patient)

    def _pause(self, patient: _Patient) -> float:
        if patient.well:
            return STEADY_LOOK_SECONDS - time.monotonic() % SLOT_SECONDS
        if patient.ready is not None:
            return ILL_LOOK_SECONDS
        patient.pause = min(patient.pause * STARTING_LOOK_GROWTH, STARTING_LOOK_SECONDS_MAX)
        return patient.pause

    def _first_ready(self, record: Record, phases: dict[str, float]) -> Ready:
        at = time.time()
        known = {"fork": record.fork_seconds, **phases}
        rest = at - record.started_at - sum(phases.values())
        ready = Ready(at=at, phases={**known, "ping": max(0.0, rest)})
        with contextlib.suppress(OSError):  # a full disk: then only we know
            records.write(self._places.ready(record.instance_id), ready)
        return ready

    def _tell(self, patient: _Patient) -> None:
        outcome = patient.probes[-1].outcome if patient.probes else ""
        patient.told, patient.told_at = (patient.well, outcome), time.monotonic()
        for follower in tuple(self._followers):
            follower.owe((patient.pulse(),))

    def _answer(self, patient: _Patient) -> None:
        asked, patient.asked = patient.asked, []
        for told in asked:
            told(patient.pulse())


class _Follower:
    """A client, and what it is owed."""

    __slots__ = ("_client", "_gone", "_owed", "_retry", "_unsent", "_watch")

    def __init__(
        self,
        watch: Watch,
        client: socket.socket,
        opening: bytes,
        gone: Callable[[_Follower], None],
    ) -> None:
        self._watch = watch
        self._client = client
        self._gone = gone
        self._unsent = opening
        self._owed: dict[str, Pulse] = {}
        self._retry: Timer | None = None
        watch.readable(client.fileno(), self._leave)  # it says nothing more: this is its end

    def owe(self, pulses: Iterable[Pulse]) -> None:
        """Say this soon; nothing at all is said, too."""
        owed = {pulse.instance_id: pulse for pulse in pulses}
        if not owed and not self._owed and not self._unsent:
            self._unsent = _line(())
        self._owed.update(owed)
        if self._retry is None:
            self._send()

    def _send(self) -> None:
        self._retry = None
        try:
            while self._unsent or self._owed:
                if not self._unsent:
                    self._unsent = _line(self._owed.values())
                    self._owed.clear()
                self._unsent = self._unsent[self._client.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            self._retry = self._watch.after(_CROWDED_SECONDS, self._send)
        except OSError:
            self._leave()

    def _leave(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._watch.forget(self._client.fileno())
        self._client.close()
        self._gone(self)


def _line(pulses: Iterable[Pulse]) -> bytes:
    return msgspec.json.encode(News(tuple(pulses))) + b"\n"
