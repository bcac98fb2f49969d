"""What the rows of a collection work with: a connection, the secrets, and what is remembered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Insert, Table, insert

from inservice.seals import sealed
from inservice.store.feed import Topic
from inservice.store.kit.cache import Cache, RecordKey
from inservice.store.kit.secrets import SecretBox

_Record = TypeVar("_Record")
_Name = TypeVar("_Name", bound=Hashable)


class Access:
    """Of a reading: `sql` gives the connection when it is first needed, and the same one from then
    on. A decoded record that the cache knows is not asked for at all."""

    def __init__(
        self, sql: Callable[[], Connection], secrets: SecretBox, cache: Cache | None
    ) -> None:
        self.sql = sql
        self.secrets = secrets
        self._cache = cache
        self._stamp = cache.stamp if cache is not None else 0

    def recall(self, key: RecordKey, ask: Callable[[], _Record]) -> _Record:
        """The record that is known by `key`, or else what `ask` finds. It must not be changed."""
        if self._cache is None:
            return ask()
        record: _Record | None = self._cache.get(key)
        if record is None:
            record = ask()
            self._cache.keep(key, record, self._stamp)
        return record

    def recall_each(
        self, keys: Sequence[RecordKey], ask: Callable[[], Mapping[RecordKey, _Record]]
    ) -> Sequence[_Record]:
        """The records that are known by these keys, and where one is not, what `ask` finds. It is
        asked once for all of them: one question for each is what a server that starts with hundreds
        of records would spend most of its time on."""
        if self._cache is None:
            found = ask()
        else:
            found = {key: record for key in keys if (record := self._cache.get(key)) is not None}
            if len(found) < len(keys):
                found = {**ask(), **found}
                for key, record in found.items():
                    self._cache.keep(key, record, self._stamp)
        return [found[key] for key in keys if key in found]


class WritableAccess(Access):
    """Of a transaction, over the writer's connection. It reads its own writes, so nothing comes
    from the cache; it gathers what the cache will know and the feed will tell."""

    def __init__(self, sql: Callable[[], Connection], secrets: SecretBox) -> None:
        super().__init__(sql, secrets, None)
        self.settled: dict[RecordKey, Any] = {}
        """What the cache is to know of records once this is committed; None: nothing."""
        self._changes: defaultdict[Topic[Any], set[Any]] = defaultdict(set)

    @property
    def changes(self) -> Mapping[Topic[Any], frozenset[Any]]:
        """What this transaction touched so far."""
        return {topic: frozenset(names) for topic, names in self._changes.items()}

    def changed(self, topic: Topic[_Name], name: _Name) -> None:
        """Have the feed tell of this record once it is committed."""
        self._changes[topic].add(name)

    def forget(self, key: RecordKey) -> None:
        """Have the cache know this record no more once it is committed."""
        self.settled[key] = None

    def know(self, key: RecordKey, record: object) -> None:
        """Have the cache know once it is committed that this is the record now: exactly what a
        reading would find."""
        self.settled[key] = record

    def insert(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, sealed."""
        if several := [sealed(table, row) for row in rows]:
            self.sql().execute(_inserting(table), several)


@cache
def _inserting(table: Table) -> Insert:
    """Made once: that costs more than executing it."""
    return insert(table)
