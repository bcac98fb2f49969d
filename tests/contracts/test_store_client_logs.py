"""What a store keeps of the logs that clients write, over SQLite and PostgreSQL."""

from __future__ import annotations

import os
from dataclasses import replace

from inservice.store.base import Store
from inservice.store.collections.client_logs import (
    BatchPlace,
    GroupKey,
    LogGroupRecord,
    LogStreamRecord,
    StreamKey,
)
from inservice.store.collections.dashboards import Dashboard
from tests.contracts.store_records import ACCOUNT, REGION
from tests.contracts.test_store import server, store, url  # noqa: F401 - fixtures

GROUP = GroupKey(ACCOUNT, REGION, "g")
STREAM = StreamKey(ACCOUNT, REGION, "g", "s")
DAY = 86_400_000


def test_records_are_read_back_by_name(store: Store) -> None:  # noqa: F811
    group = LogGroupRecord("g", 5, retention_days=7, tags={"k": "v"})
    stream = LogStreamRecord("s", 6, first_ms=1, last_ms=2, ingested_ms=3, bytes=4)
    with store.transaction() as tx:
        tx.client_logs.save_group(GROUP, LogGroupRecord("g", 1))
        tx.client_logs.save_group(GROUP, group)
        tx.client_logs.save_group(GROUP._replace(name="G"), replace(group, name="G"))
        tx.client_logs.save_group(GROUP._replace(region="other"), replace(group, created_ms=9))
        tx.client_logs.save_stream(STREAM, stream)
    with store.reading() as records:
        assert records.client_logs.group(GROUP) == group
        assert [one.name for one in records.client_logs.groups(ACCOUNT, REGION)] == ["G", "g"]
        assert records.client_logs.stream(STREAM) == stream
        assert list(records.client_logs.streams(GROUP)) == [stream]
        assert records.client_logs.group(GROUP._replace(name="none")) is None
        assert records.client_logs.stream(STREAM._replace(name="none")) is None


def test_what_all_batches_take_is_known_without_reading_them(store: Store) -> None:  # noqa: F811
    def held() -> int:
        with store.reading() as records:
            return records.client_logs.bytes_held()

    before = held()
    with store.transaction() as tx:
        for number in range(20):
            tx.client_logs.add_batch(STREAM, number, number, os.urandom(100_000))
        assert tx.client_logs.bytes_held() - before >= 1_900_000, "its own writes count"
    assert 1_900_000 <= held() - before <= 2_500_000


def test_batches_are_found_by_time_page_by_page(store: Store) -> None:  # noqa: F811
    frames = [(10, 20), (0, 100), (10, 11), (30, 40)]
    with store.transaction() as tx:
        for number, (first, last) in enumerate(frames, 1):
            tx.client_logs.add_batch(STREAM, first, last, b"%d" % number)
        tx.client_logs.add_batch(STREAM._replace(name="other"), 0, 0, b"x")
    every = [
        BatchPlace(2, 0, 100),
        BatchPlace(1, 10, 20),
        BatchPlace(3, 10, 11),
        BatchPlace(4, 30, 40),
    ]
    with store.reading() as records:
        logs = records.client_logs

        def found(
            start: int, end: int, after: tuple[int, int] = (-1, -1), limit: int = 9
        ) -> list[BatchPlace]:
            return list(logs.batches(STREAM, start, end, after=after, limit=limit))

        assert found(0, 1 << 62) == every
        assert found(0, 1 << 62, limit=2) == every[:2]
        assert found(0, 1 << 62, after=(10, 1)) == every[2:]
        assert found(21, 30) == every[:1]
        assert found(20, 31) == [every[0], every[1], every[3]]
        assert found(101, 1 << 62) == []
        assert [logs.batch(STREAM, number) for number in (1, 4, 5)] == [b"1", b"4", b""]


def test_what_is_forgotten_takes_its_events_along(store: Store) -> None:  # noqa: F811
    others = STREAM._replace(name="t"), STREAM._replace(group="h")
    with store.transaction() as tx:
        for key in (STREAM, *others):
            tx.client_logs.save_group(key.of_group, LogGroupRecord(key.group, 0))
            tx.client_logs.save_stream(key, LogStreamRecord(key.name, 0))
            tx.client_logs.add_batch(key, 0, 1, b"x")
    with store.transaction() as tx:
        tx.client_logs.forget_stream(STREAM)
    with store.reading() as records:
        assert [one.name for one in records.client_logs.streams(GROUP)] == ["t"]
        assert records.client_logs.batch(STREAM, 1) == b""
        assert records.client_logs.batch(others[0], 1) == b"x"
    with store.transaction() as tx:
        tx.client_logs.forget_group(GROUP)
    with store.reading() as records:
        assert [one.name for one in records.client_logs.groups(ACCOUNT, REGION)] == ["h"]
        assert records.client_logs.batch(others[0], 1) == b""
        assert records.client_logs.batch(others[1], 1) == b"x"


def test_only_what_is_wholly_past_its_retention_expires(store: Store) -> None:  # noqa: F811
    kept = STREAM._replace(group="for ever")
    with store.transaction() as tx:
        tx.client_logs.save_group(GROUP, LogGroupRecord("g", 0, retention_days=1))
        tx.client_logs.save_group(kept.of_group, LogGroupRecord("for ever", 0))
        for key in (STREAM, kept):
            tx.client_logs.add_batch(key, 0, DAY - 1, b"old")
            tx.client_logs.add_batch(key, 0, DAY, b"both")
    with store.transaction() as tx:
        tx.client_logs.expire(2 * DAY)
    with store.reading() as records:
        assert [records.client_logs.batch(STREAM, n) for n in (1, 2)] == [b"", b"both"]
        assert [records.client_logs.batch(kept, n) for n in (1, 2)] == [b"old", b"both"]


def test_dashboards(store: Store) -> None:  # noqa: F811
    with store.transaction() as tx:
        for name in ("b", "a", "b"):
            tx.dashboards.save(ACCOUNT, "aws", Dashboard(name, 1.5, "{}"))
        tx.dashboards.save(ACCOUNT, "aws-cn", Dashboard("c", 1.5, "{}"))
        tx.dashboards.delete(ACCOUNT, "aws", "never")
    with store.reading() as records:
        found = records.dashboards.all(ACCOUNT, "aws")
        assert list(found) == [Dashboard("a", 1.5, "{}"), Dashboard("b", 1.5, "{}")]
        assert records.dashboards.find(ACCOUNT, "aws", "c") is None
    with store.transaction() as tx:
        tx.dashboards.delete(ACCOUNT, "aws", "a")
        assert tx.dashboards.find(ACCOUNT, "aws", "a") is None
