"""The routing table as bytes: whole, or as the delta from one version to the next.

A table is one line of JSON, which is also the content of `routes.json`; a delta is one too, and a
line of `routes.journal`. A delta says all that is known of one endpoint from now on, or which keys,
permanent and temporary, there are from now on or no more, what some principals hold, or which tags
some endpoints have. So any row of deltas comes to the same as the table that they lead to, and
each is as long as what it changes. Access keys are in both, so the files are 0600.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from inservice.ids import EndpointKey
from inservice.routing.table import WHOLE, EndpointRoute, KeyRoute, RoutingTable, SessionRoute

VERSION_MAX = 2**53
"""Versions are milliseconds since the epoch, or the last one plus one: none comes near it."""

Version = Annotated[int, msgspec.Meta(ge=-1, le=VERSION_MAX)]
"""Of a table; -1 of one that says nothing yet."""


class _Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """A RoutingTable without the keys that JSON cannot have."""

    version: Version
    endpoints: tuple[EndpointRoute, ...]
    keys: tuple[KeyRoute, ...]
    authorities: dict[str, str] = {}
    tags: dict[str, dict[str, str]] = {}
    sessions: tuple[SessionRoute, ...] = ()


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step from a table to the next: one endpoint's part of it, or who may do what."""

    after: Version
    """The version that this leads on from, and from no other."""
    version: Version
    endpoint: EndpointKey | None = None
    route: EndpointRoute | None = None
    """What is said of the endpoint from now on; None: nothing."""
    keys: tuple[KeyRoute, ...] | None = None
    """Every permanent access key there is from now on. It stands in journals of older versions:
    what is published now says it by `key_changes`."""
    authorities: dict[str, str | None] = {}
    """What these principals hold from now on, by ARN; None: nothing."""
    tags: dict[str, dict[str, str]] = {}
    """Which tags these endpoints have from now on, by ARN."""
    sessions: dict[str, SessionRoute | None] = {}
    """What these temporary keys are from now on, by id; None: nothing."""
    key_changes: dict[str, KeyRoute | None] = {}
    """What these permanent keys are from now on, by id; None: nothing."""


_DECODER = msgspec.json.Decoder(_Document)
_DELTAS = msgspec.json.Decoder(Delta)


def encode_table(table: RoutingTable) -> bytes:
    """The table as one line of JSON."""
    document = _Document(
        table.version,
        tuple(table.endpoints.values()),
        tuple(table.keys.values()),
        dict(table.authorities),
        {arn: dict(tags) for arn, tags in table.tags.items()},
        tuple(table.sessions.values()),
    )
    return msgspec.json.encode(document)


def decode_table(encoded: bytes | msgspec.Raw) -> RoutingTable:
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
        document.authorities,
        document.tags,
        {key.id: key for key in document.sessions},
    )


def encode_delta(delta: Delta) -> bytes:
    """A delta as one line of JSON, newline included."""
    return msgspec.json.encode(delta) + b"\n"


def decode_delta(encoded: bytes | msgspec.Raw) -> Delta:
    """What `encode_delta` was given. Raises ValueError for anything that is not sound."""
    try:
        delta = _DELTAS.decode(encoded)
    except RecursionError:
        raise ValueError("it is nested deeper than any delta") from None
    if delta.version <= delta.after:
        raise ValueError(f"it leads from version {delta.after} back to {delta.version}")
    if delta.route is not None:
        _check(delta.route)
        if delta.endpoint != (delta.route.account, delta.route.region, delta.route.name):
            raise ValueError(f"the route of {delta.endpoint} is another endpoint's")
    return delta


def table_after(table: RoutingTable, deltas: Sequence[Delta]) -> RoutingTable:
    """The table that deltas lead to, each of which leads on from the one before."""
    if not deltas:
        return table
    endpoints, keys = dict(table.endpoints), table.keys
    authorities, tags, sessions = table.authorities, table.tags, table.sessions
    for delta in deltas:
        if delta.authorities:
            held = {**authorities, **delta.authorities}
            authorities = {arn: text for arn, text in held.items() if text is not None}
        if delta.tags:
            tags = {arn: labels for arn, labels in {**tags, **delta.tags}.items() if labels}
        if delta.sessions:
            known = {**sessions, **delta.sessions}
            sessions = {key_id: key for key_id, key in known.items() if key is not None}
        if delta.keys is not None:
            keys = {key.id: key for key in delta.keys}
        if delta.key_changes:
            changed = {**keys, **delta.key_changes}
            keys = {key_id: key for key_id, key in changed.items() if key is not None}
        if delta.endpoint is None:
            continue
        if delta.route is not None:
            endpoints[delta.endpoint] = delta.route
        else:
            endpoints.pop(delta.endpoint, None)
    return RoutingTable(deltas[-1].version, endpoints, keys, authorities, tags, sessions)


def _check(endpoint: EndpointRoute) -> None:
    shares = [fleet.share for fleet in endpoint.fleets]
    if sum(shares) != WHOLE or min(shares) < 0:
        raise ValueError(f"the shares of endpoint {endpoint.name} do not add up: {shares}")
