"""What Prometheus is told, gathered at the moment it asks; and the token it asks with."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from inservice.controller.alarms import AlarmEvaluator
from inservice.metrics.prometheus import EndpointSeen, FleetLabels, FleetSeen, Scrape, render
from inservice.metrics.recorder import Recorder
from inservice.routing import WHOLE, EndpointKey, EndpointRoute, RoutingTable
from inservice.store.base import Store

InstanceStates = Callable[[], Sequence[tuple[str, str]]]
"""(fleet, state) of every instance."""


class Scraping:
    """Renders the page."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        alarms: AlarmEvaluator,
        table: Callable[[], RoutingTable],
        instances: InstanceStates,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._alarms = alarms
        self._table = table
        self._instances = instances

    def page(self) -> bytes:
        """The page as of now. Reads the store, so not for the event loop."""
        routes = self._table().endpoints
        instances = self._instances()
        scrape = Scrape(
            endpoints=self._endpoints(routes),
            fleets=[seen for route in routes.values() for seen in _fleets(route, instances)],
            alarms=[
                (key.account, key.region, key.name, state.value)
                for key, state in self._alarms.states()
            ],
        )
        return render(self._recorder.totals, scrape)

    def _endpoints(self, routes: Mapping[EndpointKey, EndpointRoute]) -> list[EndpointSeen]:
        with self._store.reading() as reading:
            records = [reading.find_endpoint(key) for key in reading.endpoint_keys()]
        return [
            EndpointSeen(
                *record.key,
                status=record.endpoint.status.value,
                config=record.endpoint.config.name,
                step=_row(routes[record.key].step) if record.key in routes else None,
            )
            for record in records
            if record is not None
        ]


def _row(step: str) -> int | None:
    """The row in "<deployment id>/<row>"."""
    row = step.rpartition("/")[2]
    return int(row) if row.isdecimal() else None


def _fleets(route: EndpointRoute, instances: Sequence[tuple[str, str]]) -> list[FleetSeen]:
    states = Counter(instances)
    return [
        FleetSeen(
            FleetLabels(
                route.account,
                route.region,
                route.name,
                fleet.variant,
                fleet.config_name,
                fleet.fleet,
            ),
            share=fleet.share / WHOLE,
            instances={state: n for (of, state), n in states.items() if of == fleet.fleet},
        )
        for fleet in route.fleets
    ]


def scrape_token(path: Path) -> str:
    """The token in the file, which is made, mode 0600, when there is none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(token := secrets.token_urlsafe(32))
    return token
