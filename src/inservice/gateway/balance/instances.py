"""Who is busy, who is full, and who is to be left alone for a while.

Only this worker's own view: each worker learns for itself, within a few requests, what another has
learnt, and nothing has to be agreed on. Three things keep a request away from an instance:

    full          it has as many requests of this worker as it may have: the request waits
    unreachable   a connect failed; it is tried again after a second, which costs no request
    ejected       it answers, but badly, or it has fallen silent; it comes back when /ping answers

An ejection is an opinion, so there is always somebody left: at most half of a fleet is ejected, and
when nobody else is there the ejected are asked all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Final

from inservice.routing.choose import Outstanding
from inservice.routing.table import FleetRoute, InstanceRoute

CONCURRENCY_MAX = 128
"""Requests that one worker has with one instance at once. A Python model works on one to eight at a
time; what is beyond waits in its queue, where it can be neither counted nor moved elsewhere."""

UNREACHABLE_SECONDS: Final = 1.0
"""Control sees at once that an instance has ended, and launches another. Until the table says so,
one request a second looks whether it is back, and has not been sent if it is not."""

FAILURES_MAX: Final = 5
"""Failures in a row after which an instance is ejected: the default of Envoy's outlier detection.
Failures are broken answers, timeouts, and 502 to 504. A 500 is most often the request's own fault
and would be one on every instance."""

SILENT_SECONDS = 2.0
"""Busy and without any answer for so long, an instance is pinged."""

PINGS_MAX: Final = 2
"""Pings unanswered in a row after which a silent instance is ejected."""


class Instances:
    """What this worker knows of the instances it sends to."""

    def __init__(self) -> None:
        self.outstanding = Outstanding()
        """Invocations under way."""
        self.full: set[str] = set()
        self.ejected: dict[str, InstanceRoute] = {}
        self._failures: dict[str, int] = {}
        self._unreachable: dict[str, float] = {}
        self._heard_at: dict[str, float] = {}
        self._pings_failed: dict[str, int] = {}

    def avoided(self, now: float) -> Collection[str]:
        """Ids of instances that are not to be tried at `now`. Mostly empty, and then free."""
        if not (self.full or self.ejected or self._unreachable):
            return ()
        return self.full | self.ejected.keys() | self.unreachable(now)

    def unreachable(self, now: float) -> Set[str]:
        """Ids of instances that nothing could be sent to within the last second."""
        if self._unreachable:
            self._unreachable = {id_: t for id_, t in self._unreachable.items() if t > now}
        return self._unreachable.keys()

    def begun(self, instance_id: str, now: float) -> None:
        """A request is sent to it."""
        count = self.outstanding.begun(instance_id)
        if count == 1:
            self._heard_at[instance_id] = now
        elif count >= CONCURRENCY_MAX:
            self.full.add(instance_id)

    def ended(self, instance_id: str) -> None:
        """That request is over, however it ended."""
        self.outstanding.ended(instance_id)
        if self.full:
            self.full.discard(instance_id)

    def connect_failed(self, instance_id: str, now: float) -> None:
        """Nothing could be sent to it."""
        self._unreachable[instance_id] = now + UNREACHABLE_SECONDS

    def heard(self, instance: InstanceRoute, fleet: FleetRoute, status: int, now: float) -> None:
        """It answered with `status`; 0 if it broke off or took too long."""
        self._heard_at[instance.id] = now
        if status not in (0, 502, 503, 504):
            if self._failures:
                self._failures.pop(instance.id, None)
            return
        failures = self._failures[instance.id] = self._failures.get(instance.id, 0) + 1
        if failures >= FAILURES_MAX:
            self.eject(instance, fleet)

    def eject(self, instance: InstanceRoute, fleet: FleetRoute) -> bool:
        """Leave it alone until it answers a ping, unless too many are left alone already."""
        away = sum(one.id in self.ejected for one in fleet.instances)
        if instance.id in self.ejected or 2 * (away + 1) > len(fleet.instances):
            return False
        self.ejected[instance.id] = instance
        return True

    def readmit(self, instance_id: str) -> None:
        """It has answered a ping."""
        self.ejected.pop(instance_id, None)
        self._failures.pop(instance_id, None)
        self._pings_failed.pop(instance_id, None)

    def silent(self, now: float) -> list[str]:
        """Ids of busy instances that have not answered anything for a while."""
        oldest = now - SILENT_SECONDS
        return [id_ for id_ in self.outstanding if self._heard_at.get(id_, now) < oldest]

    def ping_failed(self, instance: InstanceRoute, fleet: FleetRoute) -> None:
        """A silent instance did not answer a ping either."""
        failed = self._pings_failed[instance.id] = self._pings_failed.get(instance.id, 0) + 1
        if failed >= PINGS_MAX:
            self.eject(instance, fleet)

    def retain(self, ids: Collection[str]) -> None:
        """Forget what is known of instances that are not in the table any more."""
        for known in (self.ejected, self._failures, self._unreachable, self._pings_failed):
            for gone in [id_ for id_ in known if id_ not in ids]:
                del known[gone]
        for gone in [i for i in self._heard_at if i not in ids and not self.outstanding.get(i)]:
            del self._heard_at[gone]
        self.outstanding.retain(ids)
