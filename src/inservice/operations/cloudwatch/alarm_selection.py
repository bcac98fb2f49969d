"""Finding alarms among thousands: what a caller asks for is read, and little else.

The database answers by name, prefix and state from its indexes. What only the document tells, such
as an action, is looked at in Python, batch by batch, until the page is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec

from inservice.cloudwatch.alarms.record import AlarmRecord
from inservice.operations.registry import Call
from inservice.store.base import Reading
from inservice.store.collections.alarms import AlarmQuery

BATCH = 200
"""Alarms of one reading, beyond the first that is as long as the page: half a megabyte."""

COMPOSITES = '"AlarmRule"'
"""What the documents of composite alarms mention, and no others as a member."""


def find(records: Reading, call: Call, name: str) -> AlarmRecord | None:
    """The alarm of that name, or None."""
    kept = records.alarms.find(call.account, call.region, name)
    return None if kept is None else AlarmRecord.from_kept(kept)


def select_alarms(
    records: Reading,
    query: AlarmQuery,
    wanted: Callable[[AlarmRecord], bool] = lambda _: True,
) -> list[AlarmRecord]:
    """The first `query.limit` alarms of a query that are wanted, by name."""
    found: list[AlarmRecord] = []
    for record in _all(records, query):
        if wanted(record):
            found.append(record)
            if len(found) == query.limit:
                break
    return found


def spelled(text: str) -> str:
    """A text as it stands inside a document, without quotation marks: for `mentioning`."""
    return msgspec.json.encode(text).decode()[1:-1]


def _all(records: Reading, query: AlarmQuery) -> Iterator[AlarmRecord]:
    size = query.limit or BATCH
    while True:
        batch = records.alarms.select(replace(query, limit=size))
        yield from map(AlarmRecord.from_kept, batch.values())
        if len(batch) < size:
            return
        query, size = replace(query, after=list(batch)[-1]), BATCH
