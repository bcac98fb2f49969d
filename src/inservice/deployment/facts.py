"""What was seen this turn: levels, never edges, and never what was ordered.

A wake-up carries no news. Whoever observes looks at everything again and writes down what is; the
engine decides from that alone, so a lost, late or doubled notification changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gone:
    """An instance that exited and was not retired. The runtime still has its record."""

    reason: str  # for a FailureReason: AWS's sentence, exit code or signal, last lines, hint
    started_at: float  # Handle.started_at: tells one death from the next of the same ordinal
    how: str = "its process was found gone"  # in a clause, for a history
    served_seconds: float = 0.0  # from its first 200 of /ping to its end
    lived_seconds: float = 0.0  # from its launch to its end


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """How the instances of one fleet are seen, by ordinal.

    An ordinal is in at most one of `ready`, `starting`, `unhealthy`, `gone` and `draining`; one
    that is in none of them is absent: never launched, or retired and forgotten.
    """

    ready: frozenset[int] = frozenset()  # alive, the last /ping answered 200
    starting: Mapping[int, float] = field(default_factory=dict)
    """Alive but never ready: seconds since launch; 0.0 while its artifact is being fetched."""
    unhealthy: Mapping[int, float] = field(default_factory=dict)
    """Alive and was ready: seconds since /ping began to fail."""
    gone: Mapping[int, Gone] = field(default_factory=dict)
    draining: frozenset[int] = frozenset()  # a Retire is under way: finishing what it has
    routed: frozenset[int] = frozenset()
    """Listed in a table that some gateway worker may still choose from."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """What else is known of an instance that is starting (its last line, or what its launch is at
    or waits for) or unhealthy (probes, last lines)."""
    phase: str | None = None
    """What a launch has been at for long, such as building an environment. It is the same for as
    long as that lasts, where `notes` tell how far it is."""
    late: Mapping[int, str] = field(default_factory=dict)
    """Of an instance that has been starting for longer than its variant allows: the FailureReason
    that it makes."""
    failure: str | None = None
    """Why no instance of this fleet can ever start (image, artifact), for a FailureReason. Never
    for what one instance did."""

    @property
    def present(self) -> frozenset[int]:
        """Every ordinal of which anything is left."""
        if not (self.starting or self.unhealthy or self.gone or self.draining):
            return self.ready
        return self.ready.union(self.starting, self.unhealthy, self.gone, self.draining)


UNSEEN = FleetFacts()
"""A fleet of which nothing exists."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one turn of one endpoint is decided from, beside what was remembered."""

    fleets: Mapping[str, FleetFacts] = field(default_factory=dict)
    """By fleet id: every fleet of this endpoint's generation that anything is left of."""
    shares: Mapping[str, int] | None = None
    """What ALL live gateway workers have acknowledged for this endpoint: basis points by fleet id,
    as in `Route.shares`. Empty: the endpoint is in no worker's table. None: they do not agree yet.
    """
    tripped: Mapping[str, str] = field(default_factory=dict)
    """Alarms of `Deployment.alarms` that cannot be said to be quiet: name → what is wrong with it,
    "is in ALARM" or "no longer exists". INSUFFICIENT_DATA does not trip."""

    watcher: str = ""
    """Who looked: another one for every start of control. Time counts between two looks of one
    watcher only, whose clock does not step; see `advance`."""

    def of(self, fleet: str) -> FleetFacts:
        """What is seen of a fleet, possibly nothing."""
        return self.fleets.get(fleet, UNSEEN)
