"""What Prometheus is told, gathered at the moment it asks; and the token it asks with."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from inservice import disk
from inservice.channel.storage_counts import StorageCounts
from inservice.clock import Clock
from inservice.cloudwatch.alarms.alarm import StateValue
from inservice.deployment.state import fleets_of
from inservice.ids import EndpointKey
from inservice.placement.host import Claim, Host
from inservice.routing.table import WHOLE, EndpointRoute, RoutingTable
from inservice.store.base import Store
from inservice.store.collections.endpoints import EndpointRecord
from inservice.telemetry.base import AlarmKey, EndpointSeen, FleetLabels, FleetSeen, Render, Scrape

log = structlog.get_logger()

PERIOD_SECONDS = 1.0
"""As fresh as anything here can be: gateway workers tell what they counted once a second."""

AlarmStates = Callable[[], Iterable[tuple[AlarmKey, StateValue]]]
"""Every alarm and its state."""

InstanceStates = Callable[[], Sequence[tuple[str, str]]]
"""(fleet, state) of every instance."""


class Scraping:
    """Renders the page."""

    def __init__(
        self,
        store: Store,
        render: Render,
        clock: Clock,
        alarms: AlarmStates,
        table: Callable[[], RoutingTable],
        instances: InstanceStates,
        workers: Callable[[], Collection[int]],
        storage: Callable[[], StorageCounts | None] = lambda: None,
        capacity: Callable[[], tuple[Host, Sequence[Claim]] | None] = lambda: None,
    ) -> None:
        """`workers` tells the process ids of the gateway workers that live, or of more; `storage`
        what the storage process has counted, if there is one; `capacity` what the host has, and who
        holds it."""
        self._store = store
        self._render = render
        self._clock = clock
        self._alarms = alarms
        self._table = table
        self._instances = instances
        self._workers = workers
        self._storage = storage
        self._capacity = capacity
        self._assembled: tuple[float, bytes] | None = None  # when, and what

    def page(self) -> bytes:
        """The page as of now, or of a moment ago: however often it is asked for, and by however
        many, it is assembled once a period. Reads the store, so not for the event loop; and for one
        thread, which keeps from one page to the next what did not change."""
        now = self._clock.now()
        if self._assembled is None or not 0 <= now - self._assembled[0] < PERIOD_SECONDS:
            self._assembled = now, self._assemble(now)
        return self._assembled[1]

    def _assemble(self, now: float) -> bytes:
        routes = self._table().endpoints
        instances = self._instances()
        records = self._records()
        scrape = Scrape(
            endpoints=_endpoints(records, routes),
            fleets=list(_fleets(records, routes, instances)),
            alarms=[
                (key.account, key.region, key.name, state.value) for key, state in self._alarms()
            ],
            workers=frozenset(self._workers()),
            set_aside=self._set_aside(),
            at=now,
            storage=self._storage(),
            capacity=self._capacity(),
        )
        return self._render(scrape)

    def _set_aside(self) -> int:
        with self._store.reading() as reading:
            return len(reading.set_aside.all())

    def _records(self) -> Sequence[EndpointRecord]:
        with self._store.reading() as reading:
            return reading.endpoints.all()


def _endpoints(
    records: Iterable[EndpointRecord], routes: Mapping[EndpointKey, EndpointRoute]
) -> list[EndpointSeen]:
    return [
        EndpointSeen(
            *record.key,
            status=record.endpoint.status.value,
            config=record.endpoint.config.name,
            step=_row(routes[record.key].step) if record.key in routes else None,
        )
        for record in records
    ]


def _row(step: str) -> int | None:
    """The row in "<deployment id>/<row>"."""
    row = step.rpartition("/")[2]
    return int(row) if row.isdecimal() else None


def _fleets(
    records: Iterable[EndpointRecord],
    routes: Mapping[EndpointKey, EndpointRoute],
    instances: Sequence[tuple[str, str]],
) -> Iterator[FleetSeen]:
    """Every fleet that has traffic, instances, or a part in what the deployment leads to."""
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for of, state in instances:
        states[of][state] += 1
    for record in records:
        route = routes.get(record.key)
        current = {fleet.fleet: fleet.share for fleet in route.fleets} if route else {}
        desired = record.deployment.plan[-1].shares
        for name, fleet in fleets_of(record.endpoint, record.deployment).items():
            if name in current or name in desired or name in states:
                yield FleetSeen(
                    FleetLabels(*record.key, fleet.variant.name, fleet.config_name, name),
                    share=current[name] / WHOLE if name in current else None,
                    desired=desired[name] / WHOLE if name in desired else None,
                    instances=states[name],
                )


def scrape_token(path: Path) -> str:
    """The token in the file, which is made, mode 0600, when there is none, or an empty one. On a
    full disk it is not made, and nobody has the token until the next start."""
    with contextlib.suppress(FileNotFoundError):
        if token := path.read_text().strip():
            return token
    token = secrets.token_urlsafe(32)
    try:
        disk.write(path, token.encode())
    except OSError as full:
        log.warning("metrics.token cannot be written", why=str(full))
    return token
