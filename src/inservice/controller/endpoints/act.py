"""Do: the three commands of a decision, each safe to run twice and safe to lose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

import structlog

from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import Launches
from inservice.controller.kit.tables import Tables
from inservice.deployment.actions import Launch, Retire, Route
from inservice.deployment.state import Decision, Phase, fleets_of
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.fleet import Fleet
from inservice.ids import EndpointKey, generation_of, instance_id
from inservice.routing.table import EndpointRoute, FleetRoute, InstanceRoute
from inservice.runtimes.base import InstanceState

log = structlog.get_logger()


@dataclass
class Actor:
    """Acts for the reconciler. Nothing here waits: what takes time gets a task of its own."""

    instances: Instances
    launches: Launches
    tables: Tables
    grace_seconds: float  # between SIGTERM and SIGKILL of an instance
    crash_point: Callable[[str], None]
    _retiring: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def act(self, decision: Decision) -> None:
        """Carry out what was decided and has been remembered."""
        fleets = fleets_of(decision.endpoint, decision.deployment)
        if decision.route is not None:
            self.crash_point("before-route")
            self._route(decision.endpoint, fleets, decision.route)
            self.crash_point("after-route")
        for action in decision.actions:
            match action:
                case Launch(fleet, ordinals) if fleet in fleets:
                    self.crash_point("before-launch")
                    self.launches.begin(
                        decision.endpoint,
                        fleets[fleet],
                        ordinals,
                        patient=decision.deployment.phase is Phase.ROLLING_BACK,
                    )
                    self.crash_point("after-launch")
                case Retire(fleet, ordinals):
                    self.crash_point("before-retire")
                    self.launches.give_up(fleet)
                    for ordinal in ordinals:
                        self._retire(instance_id(fleet, ordinal))
                    self.crash_point("after-retire")

    def _route(self, endpoint: Endpoint, fleets: dict[str, Fleet], route: Route) -> None:
        """Put the endpoint into the table with the instances that are ready now."""
        key = endpoint.key
        if not route.shares:
            self.tables.publish(key, None)
            return
        listed = tuple(
            FleetRoute(
                fleet=name,
                variant=fleets[name].variant.name,
                config_name=fleets[name].config_name,
                share=share,
                strategy=fleets[name].variant.routing_strategy.value,
                instances=self._ready(name, route.ordinals.get(name, ())),
            )
            for name, share in route.shares.items()
        )
        account, region, name = key
        self.tables.publish(key, EndpointRoute(account, region, name, listed, route.step))

    def _ready(self, fleet: str, ordinals: tuple[int, ...]) -> tuple[InstanceRoute, ...]:
        wanted = frozenset(ordinals)
        ready = [
            watched
            for watched in self.instances.of_fleet(fleet)
            if watched.sight.state is InstanceState.READY
            and not watched.retiring
            and watched.ordinal in wanted
        ]
        ready.sort(key=attrgetter("ordinal"))
        return tuple(watched.listed for watched in ready)

    def _retire(self, instance_id: str, grace_seconds: float | None = None) -> None:
        if instance_id in self._retiring:
            return
        grace = self.grace_seconds if grace_seconds is None else grace_seconds
        task = asyncio.create_task(self.instances.retire(instance_id, grace))
        self._retiring[instance_id] = task
        task.add_done_callback(lambda done: self._retired(instance_id, done))

    def _retired(self, instance_id: str, done: asyncio.Task[None]) -> None:
        self._retiring.pop(instance_id, None)
        if not done.cancelled() and (failure := done.exception()):
            log.error("instance not retired", instance=instance_id, exc_info=failure)

    def forget(self, key: EndpointKey) -> None:
        """An endpoint is no more: out of the table."""
        self.tables.publish(key, None)

    def retire_strays(self, generations: frozenset[str]) -> None:
        """Stop what belongs to no endpoint: left by a deletion that a crash cut short."""
        for fleet in sorted(self.instances.fleets()):
            if generation_of(fleet) not in generations:
                for watched in self.instances.of_fleet(fleet):
                    log.warning("stray instance", instance=watched.handle.instance_id)
                    self._retire(watched.handle.instance_id)

    async def stop_everything(self, grace_seconds: float) -> None:
        """The server goes down: every instance is stopped, and its endpoint stays on record."""
        await self.launches.close()
        for watched in self.instances.all():
            self._retire(watched.handle.instance_id, grace_seconds)
        await asyncio.gather(*list(self._retiring.values()), return_exceptions=True)
