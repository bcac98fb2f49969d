"""Records that have a name: found, made and deleted by it, whatever the case it is given in.

Not-found and already-exists are AWS's ValidationExceptions. What is deleted takes its tags along,
and what was set aside of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Table, bindparam, delete, select
from sqlalchemy.sql.elements import ColumnElement

from inservice.hosting.arn import ResourceArn, already_exists, could_not_find, name_key
from inservice.store.collections.set_aside import forget_set_aside
from inservice.store.collections.tags import forget_tags
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.cache import RecordKey
from inservice.store.kit.codec import Codec
from inservice.store.kit.sealed import sealed_rows

NamedKey = tuple[str, str, str]
"""(account, region, exact name)."""

_Definition = TypeVar("_Definition")


def record_key(table: Table, key: NamedKey) -> RecordKey:
    """How a cache knows the record, whatever the case its name is asked for in."""
    account, region, name = key
    return table.name, account, region, name_key(name)


def is_named(table: Table, key: NamedKey) -> tuple[ColumnElement[bool], ...]:
    """The rows of the record with this name."""
    account, region, name = key
    return (
        table.c.account == account,
        table.c.region == region,
        table.c.name_key == name_key(name),
    )


ITS = {part: f"its_{part}" for part in ("account", "region", "name_key")}


@cache
def is_its_row(table: Table) -> tuple[ColumnElement[bool], ...]:
    """The same, with the name given when the statement is executed: see `its`. For what is done at
    every turn of a deployment, since making a statement costs several times its execution."""
    return tuple(table.c[part] == bindparam(name) for part, name in ITS.items())


def its(key: NamedKey) -> dict[str, str]:
    """The parameters of a statement that asks for `is_its_row`."""
    account, region, name = key
    return dict(zip(ITS.values(), (account, region, name_key(name)), strict=True))


def named_columns(arn: ResourceArn) -> dict[str, Any]:
    """The columns that say which resource a row is of."""
    return {
        "account": arn.account,
        "region": arn.region,
        "name_key": name_key(arn.name),
        "name": arn.name,
        "arn": str(arn),
    }


def definition(
    access: Access, table: Table, codec: Codec[_Definition], arn: ResourceArn
) -> _Definition:
    """The record of a table of definitions. Raises AWS's not-found."""
    key = arn.account, arn.region, arn.name

    def ask() -> _Definition:
        found = sealed_rows(access.sql(), table, ("body_seal",), *is_named(table, key))
        if not found:
            raise could_not_find(arn)
        return codec.decode(str(found[0]["body"]))

    return access.recall(record_key(table, key), ask)


def add_named(
    access: WritableAccess, table: Table, topic: Topic[NamedKey], arn: ResourceArn, **columns: Any
) -> None:
    """Keep a new record. Raises AWS's already-exists.

    There is one writer, so a name that is free when asked for is free when taken.
    """
    key = arn.account, arn.region, arn.name
    taken = access.sql().execute(select(table.c.name).where(*is_named(table, key))).scalar()
    if taken is not None:
        raise already_exists(ResourceArn(arn.kind, arn.account, arn.region, taken))
    access.insert(table, [{**named_columns(arn), **columns}])
    access.forget(record_key(table, key))
    access.changed(topic, key)


def delete_named(
    access: WritableAccess, table: Table, topic: Topic[NamedKey], arn: ResourceArn
) -> None:
    """Forget a record, and what hangs on it. Raises AWS's not-found."""
    key = arn.account, arn.region, arn.name
    there = select(table.c.name, table.c.arn).where(*is_named(table, key))
    exact = access.sql().execute(there).first()
    if exact is None:
        raise could_not_find(arn)
    access.sql().execute(delete(table).where(*is_named(table, key)))
    forget_tags(access, exact.arn)
    forget_set_aside(access, table, record_key(table, key)[1:])
    access.forget(record_key(table, key))
    access.changed(topic, (arn.account, arn.region, exact.name))
