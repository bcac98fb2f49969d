"""Who listens to invocations. A tap hears of each what happens to it, and changes nothing.

A `Tap` is asked once for each try of a request, with the fleet that was chosen, for a `Hearing`;
that one is told the rest. Whether it is made anew or shared by all requests of a fleet is the tap's
own affair: what counts needs no object for each request, what keeps bodies does.

Classes and not protocols, as planes are: see `front`.
"""

from __future__ import annotations

from inservice.routing.table import EndpointRoute, FleetRoute


class Hearing:
    """What is heard of one invocation. `begun` is followed by exactly one of `unsent`, `answered`
    and `abandoned`; the others may come in between."""

    def begun(self, instances: int) -> None:
        """A request is being sent to one of `instances`."""

    def unsent(self) -> None:
        """Nothing of that request could be sent; it will be begun again elsewhere, or refused."""

    def first_part(self, seconds: float) -> None:
        """The first part of a streamed answer came, so long after the request was sent."""

    def broken_off(self) -> None:
        """A streamed answer has begun and will not be whole."""

    def answered(self, status: int, model_seconds: float, overhead_seconds: float) -> None:
        """The model answered with `status`; 0 if it did not, or not in HTTP."""

    def abandoned(self) -> None:
        """The client left before the answer; how the model fared is not known."""


class Tap:
    """Hears of every invocation."""

    def hear(self, route: EndpointRoute, fleet: FleetRoute) -> Hearing:
        """Who is told of a request to this fleet."""
        raise AssertionError(f"nobody hears of {fleet.fleet} of {route.name}")

    def refused(self, route: EndpointRoute, fleet: FleetRoute) -> None:
        """A request that would have been this fleet's was turned away by the gateway."""
