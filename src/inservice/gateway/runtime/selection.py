"""Which instance gets a request: whoever holds its session, whoever was named, whoever is free.

The order of what is looked at is the order of this module: the session that the client goes on
with, which is on one instance and no other; then the variant that it names, or its share of the
traffic, and in the fleet that this comes to, an instance by the fleet's strategy. Who is at their
best is asked first, then who was ejected, for that is an opinion; if all of them are full the
request waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inservice.clock import Clock
from inservice.errors import ServiceUnavailable, ValidationError
from inservice.gateway.balance.draws import Draws
from inservice.gateway.balance.instances import Instances
from inservice.gateway.runtime.sessions import (
    NEW_SESSION,
    Session,
    Sessions,
    new_session_header,
    read_header,
)
from inservice.routing.choose import Choice, choose
from inservice.routing.table import EndpointRoute

SESSION: Final = b"x-amzn-sagemaker-session-id"
CLOSED_SESSION: Final = b"x-amzn-sagemaker-closed-session-id"
_VARIANT: Final = b"x-amzn-sagemaker-target-variant"

Fields = Mapping[bytes, bytes]
"""Headers by name."""


class Selection:
    """Chooses for all requests of one worker."""

    __slots__ = ("_draws", "_instances", "_sessions")

    def __init__(self, instances: Instances, sessions: Sessions) -> None:
        self._draws = Draws()
        self._instances = instances
        self._sessions = sessions

    def choose(
        self, route: EndpointRoute, asked: Fields, tried: tuple[str, ...], now: float, clock: Clock
    ) -> Choice | None:
        """A fleet and one of its instances; None while all that could answer are full.

        `asked` are the headers of the request, `tried` the ids of instances that could not be
        reached, `now` is in watched time, `clock` tells whether a session is over. Raises
        ServiceUnavailable if there is nobody, ValidationError for a session or a variant that is
        not there.
        """
        session = asked.get(SESSION)
        if session is not None and session != NEW_SESSION:
            return self._holder(route, asked, session, tried, clock.wall())
        variant = _variant(route, asked) if _VARIANT in asked else None
        instances = self._instances
        avoid = instances.avoided(now)
        choice = choose(
            route,
            self._draws.next(route),
            target_variant=variant,
            outstanding=instances.outstanding,
            avoid={*avoid, *tried} if tried else avoid,
        )
        return choice or self._choose_anyway(route, variant, tried, now)

    def _choose_anyway(
        self, route: EndpointRoute, variant: str | None, tried: tuple[str, ...], now: float
    ) -> Choice | None:
        """Nobody is at their best: one that was ejected, else None if somebody is only full."""
        out = {*tried, *self._instances.unreachable(now)}
        draw, outstanding = self._draws.next(route), self._instances.outstanding
        for avoid in ({*out, *self._instances.full}, out):
            choice = choose(
                route, draw, target_variant=variant, outstanding=outstanding, avoid=avoid
            )
            if choice is not None:
                break
        if choice is None:
            raise ServiceUnavailable("No instance of the endpoint is ready to take the request.")
        return None if choice[1].id in self._instances.full else choice

    # ── sessions ───────────────────────────────────────────────────────────────────────────────

    def _holder(
        self,
        route: EndpointRoute,
        asked: Fields,
        session: bytes,
        tried: tuple[str, ...],
        wall: float,
    ) -> Choice:
        """The instance that holds the session, and no other. Raises ValidationError."""
        variant = _variant(route, asked) if _VARIANT in asked else None
        key = (route.account, route.region, route.name)
        holder = self._sessions.find(key, session, wall).instance_id
        for fleet in route.fleets:
            for instance in fleet.instances:
                if instance.id == holder and holder not in tried:
                    if variant is not None and fleet.variant != variant:
                        words = f"Session {session.decode()} is not of variant {variant}."
                        raise ValidationError(words)
                    return fleet, instance
        self._sessions.close(key, session)
        raise ValidationError(f"Session {session.decode()} is over: its instance is gone.")

    def session_lines(
        self, route: EndpointRoute, instance_id: str, asked: Fields, said: Fields, wall: float
    ) -> bytes:
        """Remember what the model has said of sessions; header lines that tell the client.

        It may open one where a new one was asked for, and end the one that it was asked in.
        """
        key = (route.account, route.region, route.name)
        session = asked.get(SESSION)
        lines = b""
        opened = said.get(SESSION)
        if opened is not None and session == NEW_SESSION:
            new = read_header(opened, wall)
            if new is not None:
                id_, expires_at = new
                if self._sessions.open(key, id_, Session(instance_id, expires_at)):
                    lines = new_session_header(id_, expires_at)
        closed = said.get(CLOSED_SESSION)
        if closed is not None and closed == session:
            self._sessions.close(key, closed)
            lines += b"X-Amzn-SageMaker-Closed-Session-Id: %b\r\n" % closed
        return lines


def _variant(route: EndpointRoute, asked: Fields) -> str:
    """The variant that was asked for. Raises ValidationError."""
    variant = asked[_VARIANT].decode()
    if all(fleet.variant != variant for fleet in route.fleets):
        raise ValidationError(f"Variant {variant} of endpoint {route.name} not found.")
    return variant
