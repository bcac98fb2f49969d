"""What happened, counted so that nothing is lost or counted twice.

Adding is a few increments and list appends: 0.4 µs a request. Once a second the sums become rows
with a sequence number, which are sent until control says that it has stored them; control drops a
number that it has seen. So counts are exact through restarts of control; only a worker that is
killed outright takes its last second with it.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque

from inservice.channel.counts import NO_VALUES, InvocationRow, Values
from inservice.channel.messages import Counts, encode
from inservice.cloudwatch.metrics.sketches import bin_of
from inservice.gateway.runtime.taps.tap import Hearing, Tap
from inservice.routing.table import EndpointRoute, FleetRoute

UNSENT_MAX = 900
"""Messages kept for control while it is away: a quarter of an hour. From then on the sums go on
growing in place, so the counts stay exact and only their times become coarse."""

_BINS = [bin_of(number) for number in range(4096)]
"""The bin of each small number: latencies of up to 4 ms are looked up (0.05 µs), not computed
(0.25 µs)."""


TallyKey = tuple[str, str, str, str, str, str, str]
"""(account, region, endpoint, variant, fleet, config, step)."""


class Tally(Hearing):
    """The sums of one fleet at one deployment step since the last row."""

    __slots__ = (
        "abandonments",
        "client_errors",
        "concurrent",
        "concurrent_max",
        "first_chunks",
        "gateway_errors",
        "invocations",
        "key",
        "latencies",
        "mid_stream_errors",
        "model_errors",
        "overheads",
        "per_instance",
        "retried",
        "server_errors",
    )

    def __init__(self, key: TallyKey) -> None:
        self.key = key
        self.concurrent = 0
        self.reset()

    def reset(self) -> None:
        """Begin the next row; what is under way stays under way."""
        self.invocations = 0  # below zero: the row takes back what earlier ones have told
        self.client_errors = 0
        self.server_errors = 0
        self.model_errors = 0
        self.gateway_errors = 0
        self.retried = 0
        self.mid_stream_errors = 0
        self.abandonments = 0
        self.per_instance = 0.0
        self.concurrent_max = self.concurrent
        self.latencies: list[float] = []  # seconds
        self.overheads: list[float] = []
        self.first_chunks: list[float] = []

    def begun(self, instances: int) -> None:
        """A request is being sent to one of `instances`."""
        self.invocations += 1
        self.per_instance += 1 / instances
        self.concurrent += 1
        if self.concurrent > self.concurrent_max:
            self.concurrent_max = self.concurrent

    def unsent(self) -> None:
        """Nothing of that request could be sent; it will be begun again elsewhere, or refused."""
        if self.invocations > 0:
            self.per_instance -= self.per_instance / self.invocations
        self.invocations -= 1
        self.concurrent -= 1
        self.retried += 1

    def first_part(self, seconds: float) -> None:
        """A stream has begun, so late."""
        self.first_chunks.append(seconds)

    def broken_off(self) -> None:
        """A stream has begun and broken."""
        self.mid_stream_errors += 1

    def answered(self, status: int, model_seconds: float, overhead_seconds: float) -> None:
        """The model answered with `status`; 0 if it did not, or not in HTTP."""
        self.concurrent -= 1
        self.latencies.append(model_seconds)
        self.overheads.append(overhead_seconds)
        if not 200 <= status < 300:
            self.model_errors += 1
            if 400 <= status < 500:
                self.client_errors += 1
            elif status >= 500:
                self.server_errors += 1

    def abandoned(self) -> None:
        """The client left before the answer; how the model fared is not known."""
        self.concurrent -= 1
        self.abandonments += 1

    @property
    def empty(self) -> bool:
        """Nothing to tell."""
        return not (
            self.invocations
            or self.retried
            or self.gateway_errors
            or self.latencies
            or self.concurrent
            or self.abandonments
        )

    def row(self, at: float) -> InvocationRow:
        """What was counted up to `at`."""
        account, region, endpoint, variant, fleet, config, step = self.key
        return InvocationRow(
            account=account,
            region=region,
            endpoint=endpoint,
            variant=variant,
            fleet=fleet,
            config=config,
            step=step,
            at=at,
            invocations=max(0, self.invocations),
            taken_back=max(0, -self.invocations),
            client_errors=self.client_errors,
            server_errors=self.server_errors,
            model_errors=self.model_errors,
            gateway_errors=self.gateway_errors,
            retried=self.retried,
            mid_stream_errors=self.mid_stream_errors,
            abandoned=self.abandonments,
            per_instance=self.per_instance,
            concurrent_max=self.concurrent_max,
            model_latency=_values(self.latencies),
            overhead_latency=_values(self.overheads),
            first_chunk_latency=_values(self.first_chunks),
        )


class Counting(Tap):
    """All tallies of a worker, and what control has not yet confirmed."""

    def __init__(self) -> None:
        self._tallies: dict[TallyKey, Tally] = {}
        self._unsent: deque[tuple[int, bytes]] = deque()
        # A worker's numbers must exceed those of an earlier worker that had its pid.
        self._seq = time.time_ns() // 1_000_000

    def refused(self, route: EndpointRoute, fleet: FleetRoute) -> None:
        """Counted as the gateway's error."""
        self.hear(route, fleet).gateway_errors += 1

    def hear(self, route: EndpointRoute, fleet: FleetRoute) -> Tally:
        """The tally of a fleet, at the deployment step that the route belongs to."""
        key = (
            route.account,
            route.region,
            route.name,
            fleet.variant,
            fleet.fleet,
            fleet.config_name,
            route.step,
        )
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(key)
        return tally

    def flush(self, at: float) -> bytes | None:
        """Close the current rows. The message to send now, or None if there is nothing to say."""
        if len(self._unsent) >= UNSENT_MAX:
            return None
        rows = [tally.row(at) for tally in self._tallies.values() if not tally.empty]
        for key, tally in list(self._tallies.items()):
            if tally.empty:
                del self._tallies[key]
            else:
                tally.reset()
        if not rows:
            return None
        self._seq += 1
        message = encode(Counts(self._seq, rows))
        self._unsent.append((self._seq, message))
        return message

    def unconfirmed(self) -> list[bytes]:
        """Every message that control has not confirmed, oldest first: for a new connection."""
        return [message for _, message in self._unsent]

    def confirm(self, seq: int) -> None:
        """Control has stored everything up to `seq`."""
        while self._unsent and self._unsent[0][0] <= seq:
            self._unsent.popleft()


def _values(seconds: list[float]) -> Values:
    """What came together within a second, as microseconds in bins."""
    if not seconds:
        return NO_VALUES
    micros = [math.ceil(value * 1e6) for value in seconds]
    bins = Counter(_BINS[value] if value < 4096 else bin_of(value) for value in micros)
    flat = [part for pair in bins.items() for part in pair]
    return (len(micros), float(sum(micros)), float(min(micros)), float(max(micros)), flat)
