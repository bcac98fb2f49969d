"""Every row looked at when the store is opened, so that one bad row is one record's trouble.

A row is bad when a seal in it does not hold or its record cannot be decoded. As it was found it is
kept in `set_aside`, and what becomes of its place depends on what it is:

    endpoint                 a stand-in that is Failed and says why (`deployment.set_aside`)
    what was last seen of an endpoint, a line of a list whose record is sound, the key of a
    record that is sound under the name which its line says
                             made anew: nothing is lost
    model, endpoint config   stays: it can be listed and deleted, and reading it is an error
    event, tag, alarm, access key, account, session, user, group, role, policy
                             goes: nothing could be answered from it. What referred to it is left
                             with nobody and nothing, and whoever decides says no

A row that was set aside comes back by itself where it can be read again: a later version of the
code may know how. Everything happens in the transaction that opens the store.
"""

from __future__ import annotations

import base64
import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from inservice.deployment.facts import Facts
from inservice.deployment.set_aside import is_set_aside, stand_in
from inservice.hosting.arn import ResourceArn, ResourceKind, name_key, parse_arn
from inservice.seals import broken_seals, key_text, sealed
from inservice.store.collections.endpoints import deployment_events, endpoints
from inservice.store.collections.set_aside import set_aside
from inservice.store.kit.tables import inspected, metadata

Row = Mapping[Any, Any]

_KEY = ("account", "region", "name_key")


def inspect_rows(connection: Connection, now: float) -> Sequence[str]:
    """Set aside what cannot be read; names of what was, one line for each."""
    with _taking_any_text(connection):
        _bring_back(connection)
        return _look(connection, now)


@contextlib.contextmanager
def _taking_any_text(connection: Connection) -> Iterator[None]:
    """A changed bit makes text that is no UTF-8, at which SQLite's driver stops reading. Here it is
    read all the same, with what cannot be decoded marked."""
    raw: object = connection.connection.dbapi_connection
    if not isinstance(raw, sqlite3.Connection):
        yield
        return
    raw.text_factory = lambda text: text.decode(errors="surrogateescape")
    try:
        yield
    finally:
        raw.text_factory = str


def _look(connection: Connection, now: float) -> Sequence[str]:
    found: list[str | None] = []
    for table in metadata.sorted_tables:
        if inspected(table).skipped:
            continue
        columns = [c for c in table.columns if c.name not in inspected(table).later]
        rows = connection.execute(select(*columns)).mappings().all()
        found += [
            _set_aside(connection, table, row, why, now)
            for row in rows
            if (why := damage(table, row)) is not None and not _mended(connection, table, row)
        ]
    return [name for name in found if name is not None]


def damage(table: Table, row: Row) -> str | None:
    """What is wrong with a row, as a sentence; None for a sound one."""
    if broken := broken_seals(table, row):
        return f"what it holds is not what was written ({', '.join(sorted(broken))})."
    for column, codec in inspected(table).codecs.items():
        try:
            codec.decode(row[column])
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            return f"its {column} cannot be decoded: {error}."
    return None


def _mended(connection: Connection, table: Table, row: Row) -> bool:
    """Make anew what can be told from the rest of the row. Whether that was all that was wrong."""
    codecs = inspected(table).codecs
    broken = broken_seals(table, row)
    if broken and _put_back(connection, table, row):
        return True
    if not broken or not broken <= {"line_seal", "facts_seal"}:
        return False
    try:
        record = codecs["body"].decode(row["body"])
    except (msgspec.MsgspecError, ValueError, TypeError):
        return False
    mended = {
        **{column.name: row[column.name] for column in table.primary_key},
        "name": record.name,
        "arn": record.arn,
        "created_at": record.created_at,
    }
    if (record.account, record.region, name_key(record.name)) != tuple(
        row[column.name] for column in table.primary_key
    ):
        return False
    if table is endpoints:
        mended |= {"modified_at": record.modified_at, "status": record.status.value}
    if "facts_seal" in broken:
        mended |= {"facts": codecs["facts"].encode(Facts())}
    connection.execute(update(table).where(*_is(table, row)).values(sealed(table, mended)))
    return True


def _put_back(connection: Connection, table: Table, row: Row) -> bool:
    """Give a record back the key that its line says, if every seal holds under that. Whether it
    was so: otherwise what serves under the name would be taken for an endpoint that is no more."""
    kind = ResourceKind.ENDPOINT if table is endpoints else inspected(table).stays
    if kind is None:
        return False
    named = parse_arn(_text(row["arn"]))
    if named is None or named.kind is not kind:
        return False
    key = dict(zip(_KEY, (named.account, named.region, name_key(named.name)), strict=True))
    is_there = select(table.c.name).where(*_is(table, key))
    if damage(table, {**row, **key}) is not None or connection.execute(is_there).first():
        return False
    connection.execute(update(table).where(*_is(table, row)).values(key))
    return True


def _set_aside(connection: Connection, table: Table, row: Row, why: str, now: float) -> str | None:
    """Keep the row apart and see to its place. None: it was set aside before."""
    stays = inspected(table).stays
    key = key_text([row[column.name] for column in table.primary_key])
    known = connection.execute(select(set_aside).where(*_kept_as(table, key))).first()
    if known is not None and stays is not None:
        return None
    connection.execute(delete(set_aside).where(*_kept_as(table, key)))
    kept = {"table": table.name, "key": key, "why": why, "at": now, "row": _to_json(row)}
    connection.execute(insert(set_aside).values(sealed(set_aside, kept)))
    if table is endpoints:
        _stand_in(connection, row, why, now)
    elif stays is not None:
        _show(connection, table, stays, row, now)
    else:
        connection.execute(delete(table).where(*_is(table, row)))
    return f"{table.name} {'/'.join(msgspec.json.decode(key))}: {why}"


def _show(connection: Connection, table: Table, kind: ResourceKind, row: Row, now: float) -> None:
    """Have the record of a line that is damaged too be listed under its key."""
    if "line_seal" not in broken_seals(table, row):
        return
    key = {column.name: row[column.name] for column in table.primary_key}
    line = {
        **key,
        "name": row["name_key"],
        "arn": str(ResourceArn(kind, row["account"], row["region"], row["name_key"])),
        "created_at": _seconds(row["created_at"], now),
    }
    connection.execute(update(table).where(*_is(table, row)).values(sealed(table, line)))


def _stand_in(connection: Connection, row: Row, why: str, now: float) -> None:
    """Put an endpoint that is Failed in the place of one that cannot be read."""
    table, events, codecs = endpoints, deployment_events, inspected(endpoints).codecs
    given = str(row["name"])
    name = given if name_key(given) == row["name_key"] else row["name_key"]
    decision = stand_in(
        account=row["account"],
        region=row["region"],
        name=name,
        generation=_generation(row),
        created_at=_seconds(row["created_at"], now),
        why=why,
        now=now,
    )
    endpoint, key = decision.endpoint, {c.name: row[c.name] for c in table.primary_key}
    columns = {
        **key,
        "name": endpoint.name,
        "arn": endpoint.arn,
        "created_at": endpoint.created_at,
        "modified_at": now,
        "status": endpoint.status.value,
        "generation": endpoint.generation,
        "version": 1,
        "body": codecs["body"].encode(endpoint),
        "deployment": codecs["deployment"].encode(decision.deployment),
        "facts": codecs["facts"].encode(Facts()),
    }
    connection.execute(update(table).where(*_is(table, row)).values(sealed(table, columns)))
    of_it = [events.c[column] == value for column, value in key.items()]
    last = connection.execute(select(func.max(events.c.number)).where(*of_it)).scalar() or 0
    body = inspected(events).codecs["body"].encode(decision.events[0])
    connection.execute(
        insert(events).values(sealed(events, {**key, "number": last + 1, "body": body}))
    )


def _generation(row: Row) -> str:
    """Which incarnation of the endpoint the instances that run belong to. The row says it three
    times, and what is damaged may be one of them: the word of most, or else of the column."""
    said = [_text(row["generation"])]
    for column, pattern in (("body", r'"generation":"([^"]+)"'), ("deployment", r'"id":"([^"-]+)')):
        if found := re.search(pattern, _text(row[column])):
            said.append(found[1])
    return Counter(said).most_common(1)[0][0]


def _text(value: object) -> str:
    """Whatever stands in a column of text, as text that is."""
    octets = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
    return octets.decode(errors="replace")


def _bring_back(connection: Connection) -> None:
    """Put endpoints that can be read again in the place of their stand-ins, if those still stand.

    Of models and configs the row never went away: what is kept of them is only the note.
    """
    for kept in connection.execute(select(set_aside)).mappings().all():
        table = metadata.tables.get(kept["table"])
        if table is None or (table is not endpoints and inspected(table).stays is None):
            continue
        names = [column.name for column in table.primary_key]
        key = dict(zip(names, msgspec.json.decode(kept["key"]), strict=True))
        there = connection.execute(select(table).where(*_is(table, key))).mappings().first()
        if table is not endpoints:
            settled = there is None or damage(table, there) is None
        else:
            row = _from_json(kept["row"])
            stands = there is not None and _stands_in(there)
            if stands and damage(table, row) is None:
                connection.execute(update(table).where(*_is(table, key)).values(row))
            settled = not stands or damage(table, row) is None
        if settled:
            of_it = _kept_as(table, kept["key"])
            connection.execute(delete(set_aside).where(*of_it))


def _stands_in(row: Row) -> bool:
    try:
        return is_set_aside(inspected(endpoints).codecs["deployment"].decode(row["deployment"]))
    except (msgspec.MsgspecError, ValueError, TypeError):
        return False


def _seconds(value: object, otherwise: float) -> float:
    return value if isinstance(value, float) and 0 <= value < 1e11 else otherwise


def _is(table: Table, row: Row) -> list[Any]:
    return [column == row[column.name] for column in table.primary_key]


def _kept_as(table: Table, key: str) -> tuple[Any, ...]:
    return set_aside.c.table == table.name, set_aside.c.key == key


def _to_json(row: Row) -> str:
    """Bytes as base64 under a name of their own, so that the row can be made of it again."""
    plain: dict[str, Any] = {}
    for name, value in row.items():
        octets = _octets(value)
        if octets is None:
            plain[name] = value
        else:
            plain[f"{name}:base64"] = base64.b64encode(octets).decode()
    return msgspec.json.encode(plain).decode()


def _octets(value: object) -> bytes | None:
    """What can only be written down as bytes; None for what JSON can say."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode(errors="surrogateescape")
        return None
    return value if isinstance(value, bytes) else None


def _from_json(text: str) -> dict[str, Any]:
    return {
        name.removesuffix(":base64"): base64.b64decode(value) if name.endswith(":base64") else value
        for name, value in msgspec.json.decode(text).items()
    }
