"""What control and the gateway workers say to each other, as JSON: tables, changes and counts.

Both ends import this module, so the two cannot drift apart. A table is one line of JSON, which is
also the content of `routes.json`; a change is one too, from one version to the next, and a line of
`routes.journal`. Access keys are in them, so the files are 0600.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from inservice.ids import EndpointKey
from inservice.routing import WHOLE, EndpointRoute, KeyRoute, RoutingTable

Values = tuple[float, float, float, float, list[int]]
"""(count, sum, smallest, largest, bins) of many values; bins are an alternating flat list of bin
number and count, in the bins of `cloudwatch.metrics.sketches`; `cloudwatch.metrics.aggregates`
stores the same."""

NO_VALUES: Values = (0, 0.0, 0.0, 0.0, [])


@dataclass(frozen=True, slots=True)
class InvocationRow:
    """What one worker counted for one fleet at one deployment step within about a second."""

    account: str
    region: str
    endpoint: str
    variant: str
    fleet: str
    config: str
    step: str
    at: float
    """Epoch seconds at which this stretch of counting ended."""
    invocations: int = 0
    """Requests that were sent to the variant, whatever became of them."""
    taken_back: int = 0
    """Requests that an earlier row of this fleet and step counted, and that could not be sent."""
    client_errors: int = 0
    """The model answered 4xx."""
    server_errors: int = 0
    """The model answered 5xx."""
    model_errors: int = 0
    """The model did not answer 2xx: the two above, timeouts, broken and malformed answers."""
    gateway_errors: int = 0
    """Requests for this variant that the gateway answered with an error of its own: no instance
    ready, too many waiting, an answer too large."""
    retried: int = 0
    """Times a request was moved to another instance because nothing of it had been sent."""
    mid_stream_errors: int = 0
    """Streams that broke after their first byte."""
    abandoned: int = 0
    """Requests whose client left before the answer."""
    per_instance: float = 0.0
    """Sum of 1/n over the invocations, n being the instances that took traffic at the time."""
    concurrent_max: int = 0
    """The most invocations under way at once, in this worker."""
    model_latency: Values = NO_VALUES
    """Microseconds from sending to the model to its whole answer."""
    overhead_latency: Values = NO_VALUES
    """Microseconds of the rest: from the request's last byte to its answer, less the model's."""
    first_chunk_latency: Values = NO_VALUES
    """Microseconds from sending to the model to the first byte of a stream."""


@dataclass(frozen=True, slots=True)
class _Document:
    """A RoutingTable without the keys that JSON cannot have."""

    version: int
    endpoints: tuple[EndpointRoute, ...]
    keys: tuple[KeyRoute, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One step from a table to the next: one endpoint's part of it, or the access keys."""

    after: int
    """The version that this is a change of, and of no other."""
    version: int
    endpoint: EndpointKey | None = None
    route: EndpointRoute | None = None
    """What is said of the endpoint from now on; None: nothing."""
    keys: tuple[KeyRoute, ...] | None = None


LINE_BYTES_MAX = 256 * 1024 * 1024
"""The longest message: a table of a hundred thousand instances is 20 MB."""

_DECODER = msgspec.json.Decoder(_Document)
_CHANGES = msgspec.json.Decoder(Change)


def encode_table(table: RoutingTable) -> bytes:
    """The table as one line of JSON."""
    document = _Document(table.version, tuple(table.endpoints.values()), tuple(table.keys.values()))
    return msgspec.json.encode(document)


def decode_table(encoded: bytes) -> RoutingTable:
    """What `encode_table` was given. Raises ValueError for anything that is not a whole, sound
    table (msgspec's errors are ValueErrors)."""
    try:
        document = _DECODER.decode(encoded)
    except RecursionError:
        raise ValueError("it is nested deeper than any table") from None
    for endpoint in document.endpoints:
        _check(endpoint)
    return RoutingTable(
        document.version,
        {(route.account, route.region, route.name): route for route in document.endpoints},
        {key.id: key for key in document.keys},
    )


def encode_change(change: Change) -> bytes:
    """A change as one line of JSON, newline included."""
    return msgspec.json.encode(change) + b"\n"


def decode_change(encoded: bytes) -> Change:
    """What `encode_change` was given. Raises ValueError for anything that is not sound."""
    try:
        change = _CHANGES.decode(encoded)
    except RecursionError:
        raise ValueError("it is nested deeper than any change") from None
    if change.route is not None:
        _check(change.route)
        if change.endpoint != (change.route.account, change.route.region, change.route.name):
            raise ValueError(f"the route of {change.endpoint} is another endpoint's")
    return change


def changed_by_all(table: RoutingTable, changes: Sequence[Change]) -> RoutingTable:
    """The table after changes that each lead on from the one before."""
    if not changes:
        return table
    endpoints, keys = dict(table.endpoints), table.keys
    for change in changes:
        if change.keys is not None:
            keys = {key.id: key for key in change.keys}
        if change.endpoint is None:
            continue
        if change.route is not None:
            endpoints[change.endpoint] = change.route
        else:
            endpoints.pop(change.endpoint, None)
    return RoutingTable(changes[-1].version, endpoints, keys)


def _check(endpoint: EndpointRoute) -> None:
    shares = [fleet.share for fleet in endpoint.fleets]
    if sum(shares) != WHOLE or min(shares) < 0:
        raise ValueError(f"the shares of endpoint {endpoint.name} do not add up: {shares}")


def encode_counts(seq: int, rows: Iterable[InvocationRow]) -> bytes:
    """A worker's message with what it counted, newline included."""
    return msgspec.json.encode({"metrics": {"seq": seq, "rows": list(rows)}}) + b"\n"


def rows_of(decoded: Sequence[Any]) -> list[InvocationRow]:
    """The rows of a message that was decoded as plain JSON. Raises msgspec.ValidationError."""
    return msgspec.convert(decoded, list[InvocationRow])
