"""Endpoints: each with the deployment that moves or keeps it, what was last seen, and its events.

One to one and saved in the same breath, they share a row; events have rows of their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    RowMapping,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)

from inservice.deployment.events import Event
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment
from inservice.hosting.arn import ResourceArn, ResourceKind, could_not_find, name_key
from inservice.hosting.endpoint import Endpoint, check_move
from inservice.ids import EndpointKey
from inservice.seals import seal_column, sealed
from inservice.store.collections.set_aside import forget_set_aside
from inservice.store.collections.tags import forget_tags
from inservice.store.errors import StaleDecision
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.cache import Packing, RecordKey
from inservice.store.kit.codec import Codec
from inservice.store.kit.pages import page_of
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Inspected, NameText, named_key, table
from inservice.store.listing import ListQuery, Page
from inservice.store.named import (
    add_named,
    is_its_row,
    is_named,
    its,
    named_columns,
    record_key,
)

ENDPOINTS: Topic[EndpointKey] = Topic("endpoints")

EVENTS_KEPT = 1_000
"""Per endpoint. A linear deployment of a hundred steps writes a few hundred events."""

_ENDPOINT = Codec(Endpoint)
_DEPLOYMENT = Codec(Deployment)
_FACTS = Codec(Facts)
_EVENT = Codec(Event)

endpoints = table(
    "endpoints",
    *named_key(),
    Column("name", NameText, nullable=False),
    Column("arn", NameText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("modified_at", Double, nullable=False),
    Column("status", NameText, nullable=False),
    Column("generation", NameText, nullable=False),  # another one for each endpoint ever made
    Column("version", BigInteger, nullable=False),  # one more for each save: the fence
    Column("body", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("facts", Text, nullable=False),  # as last seen
    seal_column("line_seal", "name", "arn", "created_at", "modified_at", "status"),
    seal_column("body_seal", "generation", "version", "body", "deployment"),
    seal_column("facts_seal", "facts"),
    Index("endpoints_by_age", "account", "region", "created_at", "name_key"),
    inspected=Inspected({"body": _ENDPOINT, "deployment": _DEPLOYMENT, "facts": _FACTS}),
)

deployment_events = table(
    "deployment_events",
    *named_key(),
    Column(
        "number", BigInteger, primary_key=True, autoincrement=False
    ),  # 1, 2, 3 … within the endpoint
    Column("body", Text, nullable=False),
    seal_column("seal", "body"),
    ForeignKeyConstraint(
        ["account", "region", "name_key"],
        ["endpoints.account", "endpoints.region", "endpoints.name_key"],
        name="deployment_events_of_endpoint",
        ondelete="CASCADE",
    ),
    inspected=Inspected({"body": _EVENT}),
)


_NEWEST = (
    *is_its_row(endpoints),
    endpoints.c.generation == bindparam("its_generation"),
    endpoints.c.version == bindparam("its_version"),
)
_UPDATE = update(endpoints).where(*_NEWEST)
_DELETE = delete(endpoints).where(*_NEWEST)

_LAST_NUMBER = select(func.coalesce(func.max(deployment_events.c.number), 0)).where(
    *is_its_row(deployment_events)
)
_DROP_EVENTS = delete(deployment_events).where(
    *is_its_row(deployment_events), deployment_events.c.number <= bindparam("dropped")
)


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """An endpoint, the deployment that moves or keeps it, and what was last seen of it.

    `version` goes up by one with each save. A save names the record that it was decided from and
    is refused with StaleDecision unless that is still the newest: the fence.
    """

    endpoint: Endpoint
    deployment: Deployment
    facts: Facts
    version: int

    @property
    def key(self) -> EndpointKey:
        """(account, region, exact name)."""
        return self.endpoint.key


class EndpointsReading(Protocol):
    """What can be asked. Lookups by name disregard case, since names are unique without it."""

    def get(self, account: str, region: str, name: str) -> EndpointRecord:
        """The endpoint. Raises AWS's not-found."""
        ...

    def find(self, key: EndpointKey) -> EndpointRecord | None:
        """The same for one who can do without: None if there is none."""
        ...

    def names(self) -> Sequence[EndpointKey]:
        """The keys of every endpoint of every account and region."""
        ...

    def all(self) -> Sequence[EndpointRecord]:
        """The records of all of them."""
        ...

    def page(self, query: ListQuery) -> Page:
        """One page of the list of endpoints."""
        ...

    def events(
        self, key: EndpointKey, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, Event]]:
        """Events of an endpoint with a number above `after`, oldest first, each with its number.

        The numbers of one endpoint count from 1; only the newest EVENTS_KEPT are kept.
        """
        ...


class EndpointsWriting(EndpointsReading, Protocol):
    """What can be written."""

    def add(self, decision: Decision) -> None:
        """Keep a new endpoint with its first deployment. Raises AWS's already-exists."""
        ...

    def save(self, record: EndpointRecord, decision: Decision, facts: Facts | None = None) -> None:
        """Keep what was decided from `record`, its events included, or remove it if it is gone.
        `facts` is what it was decided from, if anybody looked.

        Raises StaleDecision, and IllegalMove for a status that the last one does not lead to.
        """
        ...

    def save_facts(self, record: EndpointRecord, facts: Facts) -> None:
        """Keep what was seen, for DescribeEndpoint. No decision, so no version, no fence, and
        nothing for the feed to tell.

        Nothing happens if this incarnation of the endpoint is gone.
        """
        ...

    def add_event(self, record: EndpointRecord, event: Event) -> None:
        """Tell what happened to an endpoint beside its decisions.

        Nothing happens if this incarnation of the endpoint is gone.
        """
        ...


class EndpointRows:
    """`EndpointsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def get(self, account: str, region: str, name: str) -> EndpointRecord:
        """See `EndpointsReading`."""
        record = self.find((account, region, name))
        if record is None:
            raise could_not_find(ResourceArn(ResourceKind.ENDPOINT, account, region, name))
        return record

    def find(self, key: EndpointKey) -> EndpointRecord | None:
        """See `EndpointsReading`."""
        return self._access.recall(record_key(endpoints, key), lambda: self._ask(key))

    def names(self) -> Sequence[EndpointKey]:
        """See `EndpointsReading`."""
        columns = endpoints.c
        rows = self._access.sql().execute(select(columns.account, columns.region, columns.name))
        return [(account, region, name) for account, region, name in rows]

    def all(self) -> Sequence[EndpointRecord]:
        """See `EndpointsReading`."""
        keys = [record_key(endpoints, key) for key in self.names()]
        return self._access.recall_each(keys, self._ask_for_all)

    def page(self, query: ListQuery) -> Page:
        """See `EndpointsReading`."""
        return page_of(self._access.sql(), endpoints, query)

    def events(
        self, key: EndpointKey, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, Event]]:
        """See `EndpointsReading`."""
        of = deployment_events
        later = (*is_named(of, key), of.c.number > after)
        order = (of.c.number,)
        rows = sealed_rows(self._access.sql(), of, ("seal",), *later, order_by=order, limit=limit)
        return [(row["number"], _EVENT.decode(row["body"])) for row in rows]

    def _ask(self, key: EndpointKey) -> EndpointRecord | None:
        seals = "body_seal", "facts_seal"
        found = sealed_rows(self._access.sql(), endpoints, seals, *is_named(endpoints, key))
        if not found:
            return None
        (row,) = found
        return _record(row)

    def _ask_for_all(self) -> Mapping[RecordKey, EndpointRecord]:
        seals = "body_seal", "facts_seal"
        found = map(_record, sealed_rows(self._access.sql(), endpoints, seals))
        return {record_key(endpoints, record.key): record for record in found}


def _record(row: RowMapping | Mapping[str, Any]) -> EndpointRecord:
    return EndpointRecord(
        endpoint=_ENDPOINT.decode(row["body"]),
        deployment=_DEPLOYMENT.decode(row["deployment"]),
        facts=_FACTS.decode(row["facts"]),
        version=row["version"],
    )


def _pack(record: EndpointRecord) -> bytes:
    """As its columns are, a line each: JSON has no line breaks."""
    columns = (
        _ENDPOINT.encode(record.endpoint),
        _DEPLOYMENT.encode(record.deployment),
        _FACTS.encode(record.facts),
        str(record.version),
    )
    return zlib.compress("\n".join(columns).encode(), level=1)


def _unpack(packed: bytes) -> EndpointRecord:
    body, deployment, facts, version = zlib.decompress(packed).decode().split("\n")
    row = {"body": body, "deployment": deployment, "facts": facts, "version": int(version)}
    return _record(row)


ENDPOINT_PACKING = Packing(_pack, _unpack)


class WritableEndpointRows(EndpointRows):
    """`EndpointsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def add(self, decision: Decision) -> None:
        """See `EndpointsWriting`."""
        endpoint = decision.endpoint
        check_move(None, endpoint.status)
        add_named(
            self._writing,
            endpoints,
            ENDPOINTS,
            _arn(endpoint),
            created_at=endpoint.created_at,
            generation=endpoint.generation,
            version=1,
            facts=_FACTS.encode(Facts()),
            **_columns(decision),
        )
        self._append(endpoint, decision.events)

    def save(self, record: EndpointRecord, decision: Decision, facts: Facts | None = None) -> None:
        """See `EndpointsWriting`."""
        before, access = record.endpoint, self._writing
        check_move(before.status, None if decision.gone else decision.endpoint.status)
        newest = {
            **its(record.key),
            "its_generation": before.generation,
            "its_version": record.version,
        }
        if decision.gone:
            changed = access.sql().execute(_DELETE, newest).rowcount
        else:
            columns = {
                **named_columns(_arn(before)),
                "arn": before.arn,
                "created_at": before.created_at,
                "generation": before.generation,
                "version": record.version + 1,
                **_columns(decision),
                **({} if facts is None else {"facts": _FACTS.encode(facts)}),
            }
            values = {**sealed(endpoints, columns), **newest}
            changed = access.sql().execute(_UPDATE, values).rowcount
        if not changed:
            raise StaleDecision(before.arn)
        key = record_key(endpoints, record.key)
        access.forget(key)
        if decision.gone:
            forget_tags(access, before.arn)
            forget_set_aside(access, endpoints, key[1:])
        else:
            self._append(decision.endpoint, decision.events)
            if facts is not None:  # all of the row is known
                known = EndpointRecord(
                    decision.endpoint, decision.deployment, facts, record.version + 1
                )
                access.know(key, known)
        access.changed(ENDPOINTS, record.key)

    def save_facts(self, record: EndpointRecord, facts: Facts) -> None:
        """See `EndpointsWriting`."""
        columns = {**_key_columns(record.key), "facts": _FACTS.encode(facts)}
        change = update(endpoints).where(*_is_this(record)).values(sealed(endpoints, columns))
        self._writing.sql().execute(change)
        self._writing.forget(record_key(endpoints, record.key))

    def add_event(self, record: EndpointRecord, event: Event) -> None:
        """See `EndpointsWriting`."""
        there = select(endpoints.c.version).where(*_is_this(record))
        if self._writing.sql().execute(there).first() is not None:
            self._append(record.endpoint, (event,))

    def _append(self, endpoint: Endpoint, events: Sequence[Event]) -> None:
        """Add the events to those of the endpoint, and drop the oldest beyond EVENTS_KEPT."""
        if not events:
            return
        of, sql = deployment_events, self._writing.sql()
        key = endpoint.account, endpoint.region, endpoint.name
        last = sql.execute(_LAST_NUMBER, its(key)).scalar_one()
        rows = [
            {**_key_columns(key), "number": number, "body": _EVENT.encode(event)}
            for number, event in enumerate(events, start=last + 1)
        ]
        self._writing.insert(of, rows)
        dropped = last + len(rows) - EVENTS_KEPT
        if dropped > 0:
            sql.execute(_DROP_EVENTS, {**its(key), "dropped": dropped})


def _is_this(record: EndpointRecord) -> tuple[Any, ...]:
    """The row of this incarnation of the endpoint."""
    generation = endpoints.c.generation == record.endpoint.generation
    return (*is_named(endpoints, record.key), generation)


def _arn(endpoint: Endpoint) -> ResourceArn:
    return ResourceArn(ResourceKind.ENDPOINT, endpoint.account, endpoint.region, endpoint.name)


def _key_columns(key: EndpointKey) -> dict[str, Any]:
    account, region, name = key
    return {"account": account, "region": region, "name_key": name_key(name)}


def _columns(decision: Decision) -> dict[str, Any]:
    return {
        "modified_at": decision.endpoint.modified_at,
        "status": decision.endpoint.status.value,
        "body": _ENDPOINT.encode(decision.endpoint),
        "deployment": _DEPLOYMENT.encode(decision.deployment),
    }
