"""The lease: who decides over the records, until when, and under which number.

One process at a time writes to a store. It has the lease from the moment at which it opened the
store until it closes it or ends, however it ends:

    on one host      the lock of a file beside the database, which the kernel drops with the process
    on PostgreSQL    an advisory lock of the writer's session, which the server drops with that

Neither lock can keep somebody from writing who does not know yet that it is gone: a session that
was cut while its process stood still, a lock file that somebody swept away. So each lease has a
number, the *epoch*, one higher than the one before. It is in the records themselves, in the row
that each transaction changes anyway (`identity`), and a transaction commits only if the epoch there
is still that of its lease. Whoever comes second has raised it before doing anything else; so of two
who both believe that they decide, one is right, and the other hears StaleLease with its next save,
and keeps nothing of it.

A lease that is lost stays lost: what its holder has in memory is from before somebody else decided.
It ends, and whoever starts it again begins from the records.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, select, update

from inservice.mark import Progress
from inservice.seals import broken_seals, seal_column, sealed
from inservice.store.errors import StaleLease, StoreDamaged
from inservice.store.kit.tables import Inspected, NameText, table

identity = table(
    "identity",
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("store", NameText, nullable=False),  # no two databases have the same
    Column("commits", BigInteger, nullable=False),  # since it was made: see `mark`
    Column("definitions", NameText, nullable=False),  # a digest of those of the tables
    Column("epoch", BigInteger, nullable=False, server_default="0"),  # of the newest lease
    Column("holder", Text, nullable=False, server_default=""),  # of that lease, for people
    seal_column("seal", "store", "commits", "definitions", "epoch", "holder"),
    inspected=Inspected(skipped=True),
)

_before_leases = Table(
    "identity",
    MetaData(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("store", NameText, nullable=False),
    Column("commits", BigInteger, nullable=False),
    Column("definitions", NameText, nullable=False),
    seal_column("seal", "store", "commits", "definitions"),
)
"""The row as migration 0003 made it: it is looked at before anything is migrated."""


_UPDATE = update(identity)  # with each transaction: made once, it costs a third
_LOOK = {of: select(of) for of in (identity, _before_leases)}
_LOCK = {of: wanted.with_for_update() for of, wanted in _LOOK.items()}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to decide over the records of one database."""

    store: str  # which database
    epoch: int
    holder: str  # whose it is, for people


class Holding:
    """A lease as its holder has it. Used by any thread."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._lost = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises StaleLease if it is known to be lost."""
        if self._lost.is_set():
            raise StaleLease

    def lose(self) -> None:
        """Somebody else has a newer one. Those who asked are told, once."""
        with self._lock:
            first, listeners = not self._lost.is_set(), list(self._listeners)
            self._lost.set()
        if first:
            for listener in listeners:
                listener()

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, in whatever thread finds out, when the lease is lost; at once if
        it is. It must be quick and must not raise."""
        with self._lock:
            self._listeners.append(listener)
            lost = self._lost.is_set()
        if lost:
            listener()


def take_lease(connection: Connection) -> Lease:
    """Take the lease, within the transaction that opens the store."""
    row = _row(connection)
    lease = Lease(
        row["store"], row["epoch"] + 1, f"process {os.getpid()} on {socket.gethostname()}"
    )
    _write(connection, row, epoch=lease.epoch, holder=lease.holder)
    return lease


def check_lease(connection: Connection, lease: Lease) -> None:
    """Raises StaleLease if the newest lease is another. Only looks, so any connection will do."""
    _held(connection, lease, locked=False)


def count_commit(connection: Connection, lease: Lease) -> Progress:
    """Count the transaction that is under way, within it. What the mark must say after it. Raises
    StaleLease."""
    row = _held(connection, lease)
    _write(connection, row, commits=row["commits"] + 1)
    return Progress(row["store"], row["commits"] + 1)


def progress(connection: Connection, *, has_leases: bool) -> Progress:
    """How far the database is; of one that was made before there were leases, too."""
    row = _row(connection, identity if has_leases else _before_leases, locked=False)
    return Progress(row["store"], row["commits"])


def holder_of(connection: Connection) -> str:
    """Who took the newest lease, for people; empty if that is not known."""
    row = connection.execute(select(identity)).mappings().one_or_none()
    return "" if row is None or broken_seals(identity, row) else str(row["holder"])


def _held(connection: Connection, lease: Lease, *, locked: bool = True) -> Mapping[Any, Any]:
    row = _row(connection, locked=locked)
    if (row["store"], row["epoch"]) != (lease.store, lease.epoch):
        raise StaleLease
    return row


def _row(connection: Connection, of: Table = identity, *, locked: bool = True) -> Mapping[Any, Any]:
    """The row; `locked` until the transaction ends, as on SQLite everything is in a writer's."""
    row = connection.execute((_LOCK if locked else _LOOK)[of]).mappings().one_or_none()
    if row is None or broken_seals(of, row):
        raise StoreDamaged(
            "The database does not say any more which one it is: its row of identity is damaged. "
            'Nothing was changed. "inservice recover" says what can be done.'
        )
    return row


def _write(connection: Connection, row: Mapping[Any, Any], **changes: Any) -> None:
    plain = {name: value for name, value in row.items() if name != "seal"}
    values = sealed(identity, {**plain, **changes})
    connection.execute(_UPDATE, values)
