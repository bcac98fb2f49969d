"""Whoever has the routing table: the end of the channel to control, or a test."""

from __future__ import annotations

from typing import Protocol

from inservice.routing.table import RoutingTable


class Routed(Protocol):
    """The table changes as a whole: who asks twice may get two."""

    table: RoutingTable
