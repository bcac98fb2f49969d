"""The questions of `store.base`, answered with SQL over one connection.

Everything is SQLAlchemy Core that SQLite and PostgreSQL both understand. `database.py` says which
connection, when a transaction ends, and what may be answered without asking at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping, Table, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from inservice.deployment.events import Event
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment
from inservice.hosting.arn import (
    ResourceArn,
    ResourceKind,
    already_exists,
    could_not_find,
    name_key,
)
from inservice.hosting.endpoint import Endpoint, check_move
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.model import Model
from inservice.identity.principal import AccessKey, Principal
from inservice.ids import EndpointKey
from inservice.seals import key_text, sealed
from inservice.store import tables
from inservice.store.base import (
    EVENTS_KEPT,
    AlarmName,
    AlarmQuery,
    Commit,
    EndpointRecord,
    ListQuery,
    Page,
    SetAside,
    StaleDecision,
)
from inservice.store.client_log_rows import ClientLogRows, WritableClientLogRows
from inservice.store.listing import page_of
from inservice.store.records import Codec
from inservice.store.sealed_rows import sealed_rows
from inservice.store.secrets import SecretBox

_MODELS = Codec(Model)
_ENDPOINT_CONFIGS = Codec(EndpointConfig)
_ENDPOINTS = Codec(Endpoint)
_DEPLOYMENTS = Codec(Deployment)
_FACTS = Codec(Facts)
_EVENTS = Codec(Event)

_Definition = TypeVar("_Definition", Model, EndpointConfig)


class Rows:
    """Reads over one connection, in whatever transaction it is in.

    `sql` gives the connection when it is first needed, and the same one from then on.
    """

    def __init__(self, sql: Callable[[], Connection], secrets: SecretBox) -> None:
        self._sql = sql
        self._secrets = secrets

    def model(self, account: str, region: str, name: str) -> Model:
        arn = ResourceArn(ResourceKind.MODEL, account, region, name)
        return _MODELS.decode(self._body(tables.models, arn))

    def models(self, query: ListQuery) -> Page:
        return page_of(self._sql(), tables.models, query)

    def endpoint_config(self, account: str, region: str, name: str) -> EndpointConfig:
        arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, account, region, name)
        return _ENDPOINT_CONFIGS.decode(self._body(tables.endpoint_configs, arn))

    def endpoint_configs(self, query: ListQuery) -> Page:
        return page_of(self._sql(), tables.endpoint_configs, query)

    def endpoint(self, account: str, region: str, name: str) -> EndpointRecord:
        record = self.find_endpoint((account, region, name))
        if record is None:
            raise could_not_find(ResourceArn(ResourceKind.ENDPOINT, account, region, name))
        return record

    def endpoints(self, query: ListQuery) -> Page:
        return page_of(self._sql(), tables.endpoints, query)

    def find_endpoint(self, key: EndpointKey) -> EndpointRecord | None:
        table = tables.endpoints
        found = self._sealed(table, ("body_seal", "facts_seal"), *_is(table, key))
        if not found:
            return None
        (row,) = found
        return EndpointRecord(
            endpoint=_ENDPOINTS.decode(row["body"]),
            deployment=_DEPLOYMENTS.decode(row["deployment"]),
            facts=_FACTS.decode(row["facts"]),
            version=row["version"],
        )

    def endpoint_keys(self) -> Sequence[EndpointKey]:
        columns = tables.endpoints.c
        rows = self._sql().execute(select(columns.account, columns.region, columns.name))
        return [(account, region, name) for account, region, name in rows]

    def deployment_events(
        self, key: EndpointKey, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, Event]]:
        table = tables.deployment_events
        later = (*_is(table, key), table.c.number > after)
        rows = self._sealed(table, ("seal",), *later, order_by=(table.c.number,), limit=limit)
        return [(row["number"], _EVENTS.decode(row["body"])) for row in rows]

    def tags(self, arn: ResourceArn) -> Mapping[str, str]:
        table = tables.tags
        rows = self._sealed(table, ("seal",), table.c.arn == str(arn), order_by=(table.c.key,))
        return {row["key"]: row["value"] for row in rows}

    def alarm_states(self, account: str, region: str, names: Sequence[str]) -> Mapping[str, str]:
        of_them = tables.alarms.c.name.in_(names)
        rows = self._sealed(tables.alarms, ("seal",), *_owned(account, region), of_them)
        return {row["name"]: row["state"] for row in rows}

    def alarm_owners(self) -> Sequence[tuple[str, str]]:
        columns = tables.alarms.c
        rows = self._sql().execute(select(columns.account, columns.region).distinct())
        return [(account, region) for account, region in rows]

    def alarm(self, account: str, region: str, name: str) -> Mapping[str, Any] | None:
        is_it = tables.alarms.c.name == name
        found = self._sealed(tables.alarms, ("seal",), *_owned(account, region), is_it)
        return msgspec.json.decode(found[0]["body"]) if found else None

    def alarms(self, query: AlarmQuery) -> Mapping[str, Mapping[str, Any]]:
        columns = tables.alarms.c
        wanted = [*_owned(query.account, query.region)]
        if query.names is not None:
            wanted.append(columns.name.in_(query.names))
        if query.prefix:
            wanted.append(columns.name >= query.prefix)
            if (beyond := _beyond(query.prefix)) is not None:
                wanted.append(columns.name < beyond)
        if query.after is not None:
            wanted.append(columns.name > query.after)
        if query.state is not None:
            wanted.append(columns.state == query.state)
        if query.mentioning is not None:
            wanted.append(columns.body.contains(query.mentioning, autoescape=True))
        order, limit = (columns.name,), query.limit
        rows = self._sealed(tables.alarms, ("seal",), *wanted, order_by=order, limit=limit)
        return {row["name"]: msgspec.json.decode(row["body"]) for row in rows}

    def alarm_count(self, account: str, region: str) -> int:
        count = select(func.count()).select_from(tables.alarms).where(*_owned(account, region))
        return int(self._sql().execute(count).scalar_one())

    def access_keys(self) -> Sequence[AccessKey]:
        return [
            AccessKey(
                id=row["id"],
                secret=self._secrets.open(row["secret"], row["id"]),
                principal=Principal(row["account"], row["principal"]),
                session_token=row["session_token"]
                and self._secrets.open(row["session_token"], row["id"]),
                expires_at=row["expires_at"],
            )
            for row in self._sealed(tables.access_keys, ("seal",))
        ]

    def set_aside(self) -> Sequence[SetAside]:
        rows = self._sealed(tables.set_aside, ("seal",), order_by=(tables.set_aside.c.at,))
        return [
            SetAside(row["table"], "/".join(msgspec.json.decode(row["key"])), row["why"], row["at"])
            for row in rows
        ]

    @property
    def client_logs(self) -> ClientLogRows:
        return ClientLogRows(self._sql)

    def _body(self, table: Table, arn: ResourceArn) -> str:
        found = self._sealed(
            table, ("body_seal",), *_is(table, (arn.account, arn.region, arn.name))
        )
        if not found:
            raise could_not_find(arn)
        return str(found[0]["body"])

    def _sealed(
        self,
        table: Table,
        seals: tuple[str, ...],
        *where: ColumnElement[bool],
        order_by: Sequence[ColumnElement[Any]] = (),
        limit: int | None = None,
    ) -> Sequence[RowMapping]:
        return sealed_rows(self._sql(), table, seals, *where, order_by=order_by, limit=limit)


class WritableRows(Rows):
    """Reads and writes over the writer's connection, inside its transaction.

    `forgotten` are the records that a cache must not know any more once this is committed, by table
    and key; `commit` is what listeners are told then.
    """

    def __init__(self, sql: Callable[[], Connection], secrets: SecretBox) -> None:
        super().__init__(sql, secrets)
        self.forgotten: set[RecordKey] = set()
        self._announced: set[EndpointKey] = set()
        self._access_keys_changed = False
        self._images: set[str] = set()
        self._alarms: set[AlarmName] = set()

    @property
    def commit(self) -> Commit:
        """What this transaction touched so far."""
        return Commit(
            endpoints=frozenset(self._announced),
            access_keys=self._access_keys_changed,
            images=frozenset(self._images),
            alarms=frozenset(self._alarms),
        )

    def add_model(self, model: Model) -> None:
        arn = ResourceArn(ResourceKind.MODEL, model.account, model.region, model.name)
        self._add_named(tables.models, arn, created_at=model.created_at, body=_MODELS.encode(model))
        self._images.update(container.image for container in model.containers)

    def delete_model(self, account: str, region: str, name: str) -> None:
        self._delete_named(tables.models, ResourceArn(ResourceKind.MODEL, account, region, name))

    def add_endpoint_config(self, config: EndpointConfig) -> None:
        arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, config.account, config.region, config.name)
        body = _ENDPOINT_CONFIGS.encode(config)
        self._add_named(tables.endpoint_configs, arn, created_at=config.created_at, body=body)

    def delete_endpoint_config(self, account: str, region: str, name: str) -> None:
        arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, account, region, name)
        self._delete_named(tables.endpoint_configs, arn)

    def add_endpoint(self, decision: Decision) -> None:
        endpoint = decision.endpoint
        check_move(None, endpoint.status)
        arn = ResourceArn(ResourceKind.ENDPOINT, endpoint.account, endpoint.region, endpoint.name)
        self._add_named(
            tables.endpoints,
            arn,
            created_at=endpoint.created_at,
            generation=endpoint.generation,
            version=1,
            facts=_FACTS.encode(Facts()),
            **_endpoint_columns(decision),
        )
        self._append(decision.endpoint, decision.events)
        self._announced.add((endpoint.account, endpoint.region, endpoint.name))

    def save_endpoint(
        self, record: EndpointRecord, decision: Decision, *, announce: bool = True
    ) -> None:
        table = tables.endpoints
        check_move(record.endpoint.status, None if decision.gone else decision.endpoint.status)
        newest = (
            *_is(table, record.key),
            table.c.generation == record.endpoint.generation,
            table.c.version == record.version,
        )
        if decision.gone:
            changed = self._sql().execute(delete(table).where(*newest)).rowcount
        else:
            columns = {
                **_named(record.endpoint),
                "created_at": record.endpoint.created_at,
                "generation": record.endpoint.generation,
                "version": record.version + 1,
                **_endpoint_columns(decision),
            }
            change = update(table).where(*newest).values(sealed(table, columns))
            changed = self._sql().execute(change).rowcount
        if not changed:
            raise StaleDecision(record.endpoint.arn)
        self._forget(table, record.key)
        if decision.gone:
            self._delete_tags(record.endpoint.arn)
            self._delete_set_aside(table, record.key)
        else:
            self._append(decision.endpoint, decision.events)
        if announce:
            self._announced.add(record.key)

    def save_facts(self, record: EndpointRecord, facts: Facts) -> None:
        table = tables.endpoints
        self._sql().execute(
            update(table)
            .where(*_is(table, record.key), table.c.generation == record.endpoint.generation)
            .values(sealed(table, {**_key(record), "facts": _FACTS.encode(facts)}))
        )
        self._forget(table, record.key)

    def set_tags(self, arn: ResourceArn, tags: Mapping[str, str]) -> None:
        self._delete_tags(str(arn))
        self._insert(
            tables.tags,
            ({"arn": str(arn), "key": key, "value": value} for key, value in tags.items()),
        )

    def save_alarm(
        self,
        account: str,
        region: str,
        name: str,
        *,
        state: str,
        document: Mapping[str, Any],
        announce: bool = True,
    ) -> None:
        self._delete_alarm(account, region, name)
        key = {"account": account, "region": region, "name": name}
        body = msgspec.json.encode(document).decode()
        self._insert(tables.alarms, [{**key, "state": state, "body": body}])
        if announce:
            self._alarms.add((account, region, name))

    def delete_alarm(self, account: str, region: str, name: str) -> None:
        self._delete_alarm(account, region, name)
        self._alarms.add((account, region, name))

    def _delete_alarm(self, account: str, region: str, name: str) -> None:
        is_it = (*_owned(account, region), tables.alarms.c.name == name)
        self._sql().execute(delete(tables.alarms).where(*is_it))

    def add_access_key(self, key: AccessKey) -> None:
        self.delete_access_key(key.id)
        row = {
            "id": key.id,
            "account": key.principal.account,
            "principal": key.principal.arn,
            "secret": self._secrets.seal(key.secret, key.id),
            "session_token": key.session_token and self._secrets.seal(key.session_token, key.id),
            "expires_at": key.expires_at,
        }
        self._insert(tables.access_keys, [row])

    def delete_access_key(self, key_id: str) -> None:
        table = tables.access_keys
        self._sql().execute(delete(table).where(table.c.id == key_id))
        self._access_keys_changed = True

    @property
    def client_logs(self) -> WritableClientLogRows:
        return WritableClientLogRows(self._sql)

    def _add_named(self, table: Table, arn: ResourceArn, **columns: Any) -> None:
        """There is one writer, so a name that is free when asked for is free when taken."""
        key = arn.account, arn.region, arn.name
        taken = self._sql().execute(select(table.c.name).where(*_is(table, key))).scalar()
        if taken is not None:
            raise already_exists(ResourceArn(arn.kind, arn.account, arn.region, taken))
        self._insert(table, [{**_named(arn), **columns}])
        self._forget(table, key)

    def _delete_named(self, table: Table, arn: ResourceArn) -> None:
        key = arn.account, arn.region, arn.name
        exact = self._sql().execute(select(table.c.arn).where(*_is(table, key))).scalar()
        if exact is None:
            raise could_not_find(arn)
        self._sql().execute(delete(table).where(*_is(table, key)))
        self._delete_tags(exact)
        self._delete_set_aside(table, key)
        self._forget(table, key)

    def add_event(self, record: EndpointRecord, event: Event) -> None:
        there = select(tables.endpoints.c.version).where(
            *_is(tables.endpoints, record.key),
            tables.endpoints.c.generation == record.endpoint.generation,
        )
        if self._sql().execute(there).first() is not None:
            self._append(record.endpoint, (event,))

    def _append(self, endpoint: Endpoint, events: Sequence[Event]) -> None:
        """Add the events to those of the endpoint, and drop the oldest beyond EVENTS_KEPT."""
        if not events:
            return
        table = tables.deployment_events
        key = endpoint.account, endpoint.region, endpoint.name
        last = (
            self._sql()
            .execute(select(func.coalesce(func.max(table.c.number), 0)).where(*_is(table, key)))
            .scalar_one()
        )
        identity = {"account": key[0], "region": key[1], "name_key": name_key(key[2])}
        rows = [
            {**identity, "number": number, "body": _EVENTS.encode(event)}
            for number, event in enumerate(events, start=last + 1)
        ]
        self._insert(table, rows)
        oldest_kept = last + len(rows) - EVENTS_KEPT
        self._sql().execute(delete(table).where(*_is(table, key), table.c.number <= oldest_kept))

    def _insert(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        if several := [sealed(table, row) for row in rows]:
            self._sql().execute(insert(table), several)

    def _delete_tags(self, arn: str) -> None:
        self._sql().execute(delete(tables.tags).where(tables.tags.c.arn == arn))

    def _delete_set_aside(self, table: Table, key: EndpointKey) -> None:
        """What was set aside of a record goes with it."""
        columns = tables.set_aside.c
        of_it = columns.table == table.name, columns.key == key_text(record_key("", key)[1:])
        self._sql().execute(delete(tables.set_aside).where(*of_it))

    def _forget(self, table: Table, key: EndpointKey) -> None:
        self.forgotten.add(record_key(table.name, key))


RecordKey = tuple[str, str, str, str]
"""(table, account, region, name key): how a cache knows a record."""


def record_key(table: str, key: EndpointKey) -> RecordKey:
    """The key of a record whatever the case its name is asked for in."""
    account, region, name = key
    return table, account, region, name_key(name)


def _is(table: Table, key: EndpointKey) -> tuple[ColumnElement[bool], ...]:
    account, region, name = key
    return (
        table.c.account == account,
        table.c.region == region,
        table.c.name_key == name_key(name),
    )


def _named(resource: ResourceArn | Endpoint) -> dict[str, Any]:
    """The columns that say which resource a row is of."""
    return {
        "account": resource.account,
        "region": resource.region,
        "name_key": name_key(resource.name),
        "name": resource.name,
        "arn": resource.arn if isinstance(resource, Endpoint) else str(resource),
    }


def _key(record: EndpointRecord) -> dict[str, Any]:
    account, region, name = record.key
    return {"account": account, "region": region, "name_key": name_key(name)}


def _owned(account: str, region: str) -> tuple[ColumnElement[bool], ...]:
    columns = tables.alarms.c
    return columns.account == account, columns.region == region


def _beyond(prefix: str) -> str | None:
    """The first text, by code points, that is after all with this prefix; None if there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    # What follows U+D7FF in UTF-8 is U+E000: between them are surrogates, which are no text.
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)


def _endpoint_columns(decision: Decision) -> dict[str, Any]:
    return {
        "modified_at": decision.endpoint.modified_at,
        "status": decision.endpoint.status.value,
        "body": _ENDPOINTS.encode(decision.endpoint),
        "deployment": _DEPLOYMENTS.encode(decision.deployment),
    }
