"""Chance, dealt evenly."""

from __future__ import annotations

import random

from inservice.routing.table import EndpointRoute


class Draws:
    """Chance, dealt evenly: of each hundred requests of an endpoint, each hundredth gets one.

    Independent draws let a 10 % canary of the first hundred requests get anything between 4 and 17;
    a shuffled deck of hundredths gives it exactly 10, in an order that nobody can foresee.
    """

    __slots__ = ("_decks",)

    def __init__(self) -> None:
        self._decks: dict[tuple[str, str, str], list[int]] = {}

    def next(self, route: EndpointRoute) -> float:
        """Uniform in [0, 1). Not asked of chance at all where there is nothing to choose."""
        if len(route.fleets) == 1 and len(route.fleets[0].instances) < 2:
            return 0.0
        key = (route.account, route.region, route.name)
        deck = self._decks.get(key)
        if not deck:
            deck = self._decks[key] = list(range(100))
            random.shuffle(deck)
        return (deck.pop() + random.random()) / 100  # noqa: S311 - traffic is no secret
