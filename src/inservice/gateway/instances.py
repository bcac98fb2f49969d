"""Who is busy, and who is to be left alone for a while.

Only this worker's own view: each worker learns for itself, within a few requests, what another has
learnt, and nothing has to be agreed on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

AVOID_SECONDS = 1.0
"""After a failed connect. Control sees a dead instance within its own second or two; until then a
request in a second looks whether it is back, and has not been sent if it is not."""


class Instances:
    """Invocations under way by instance, and the instances that could not be reached."""

    def __init__(self) -> None:
        self.outstanding: dict[str, int] = defaultdict(int)
        self._avoided: dict[str, float] = {}

    def avoided(self, now: float) -> Collection[str]:
        """Ids of instances that need not be tried at `now`. Mostly empty, and then free."""
        if not self._avoided:
            return ()
        self._avoided = {id_: until for id_, until in self._avoided.items() if until > now}
        return self._avoided.keys()

    def unreachable(self, instance_id: str, now: float) -> None:
        """Nothing could be sent to it."""
        self._avoided[instance_id] = now + AVOID_SECONDS

    def begun(self, instance_id: str) -> None:
        """A request is sent to it."""
        self.outstanding[instance_id] += 1

    def ended(self, instance_id: str) -> None:
        """That request is over, however it ended."""
        left = self.outstanding[instance_id] - 1
        if left:
            self.outstanding[instance_id] = left
        else:
            del self.outstanding[instance_id]
