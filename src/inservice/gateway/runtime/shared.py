"""What all invocations of one worker share."""

from __future__ import annotations

from inservice.clock import Clock
from inservice.gateway.answers import RequestIds
from inservice.gateway.balance.instances import Instances
from inservice.gateway.balance.waiting import Waiting
from inservice.gateway.routed import Routed
from inservice.gateway.runtime.allowed import Allowed
from inservice.gateway.runtime.denials import Refused
from inservice.gateway.runtime.selection import Selection
from inservice.gateway.runtime.sessions import Sessions
from inservice.gateway.runtime.taps.counting import Counting
from inservice.gateway.runtime.taps.tap import Tap
from inservice.transport.client import Client


class Gateway:
    """The routes, the ways to the instances, what is known of them, and who listens."""

    def __init__(
        self,
        routes: Routed,
        client: Client,
        clock: Clock,
        sessions: Sessions,
        request_ids: RequestIds,
        *,
        tap: Tap | None = None,
        instances: Instances | None = None,
    ) -> None:
        self.routes = routes
        self.client = client
        self.clock = clock
        self.sessions = sessions
        self.request_ids = request_ids
        self.tap = Counting() if tap is None else tap
        self.instances = Instances() if instances is None else instances
        self.waiting = Waiting()
        self.allowed = Allowed()
        self.refused = Refused()
        self.selection = Selection(self.instances, sessions)
