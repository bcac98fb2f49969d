"""Buckets are remembered, and what is remembered is what was last written."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.blobs.base import Bucket
from inservice.blobs.disk import remembered
from inservice.blobs.disk.buckets import DiskBuckets
from inservice.blobs.disk.store import DiskBlobs, open_blobs
from inservice.errors import ServiceUnavailable
from inservice.s3_errors import NoSuchBucket

from .blobs_kit import BUCKET, bucket


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[DiskBlobs]:
    opened = open_blobs(tmp_path / "objects")
    opened.create_bucket(bucket())
    yield opened
    opened.close()


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are looked up in the records from now on."""
    names: list[str] = []
    original = DiskBuckets.bucket

    def looked(self: DiskBuckets, name: str) -> Bucket:
        names.append(name)
        return original(self, name)

    monkeypatch.setattr(DiskBuckets, "bucket", looked)
    return names


def test_a_bucket_is_looked_up_once(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    names = reads(monkeypatch)
    for _ in range(3):
        assert blobs.bucket(BUCKET) == bucket()
        blobs.incoming(BUCKET).discard()
    assert names == [BUCKET]


def test_a_change_is_seen_as_soon_as_it_is_acknowledged(blobs: DiskBlobs) -> None:
    blobs.bucket(BUCKET)
    blobs.set_bucket(BUCKET, "policy", b"{}")
    assert blobs.bucket(BUCKET).settings == {"policy": b"{}"}
    blobs.set_bucket(BUCKET, "policy", None)
    assert blobs.bucket(BUCKET).settings == {}
    blobs.delete_bucket(BUCKET)
    for ask in (blobs.bucket, blobs.incoming):
        with pytest.raises(NoSuchBucket):
            ask(BUCKET)
    blobs.create_bucket(replace(bucket(), region="eu-west-1"))
    assert blobs.bucket(BUCKET).region == "eu-west-1"


def test_what_was_read_before_a_change_is_not_remembered_after_it(
    blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads is held between the records and the memory, and the change passes there."""
    original, has_read, may_go = DiskBuckets.bucket, threading.Event(), threading.Event()

    def slow(self: DiskBuckets, name: str) -> Bucket:
        found = original(self, name)
        has_read.set()
        assert may_go.wait(30)
        return found

    with monkeypatch.context() as held:
        held.setattr(DiskBuckets, "bucket", slow)
        reader = threading.Thread(target=blobs.bucket, args=(BUCKET,))
        reader.start()
        assert has_read.wait(30)
        blobs.set_bucket(BUCKET, "policy", b"{}")
        may_go.set()
        reader.join()
    assert blobs.bucket(BUCKET).settings == {"policy": b"{}"}


def test_no_more_are_remembered_than_there_is_room_for(
    blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "BUCKETS_MAX", 2)
    others = [f"{BUCKET}-{number}" for number in range(3)]
    for name in others:
        blobs.create_bucket(replace(bucket(), name=name))
        blobs.bucket(name)
    names = reads(monkeypatch)
    for name in reversed(others):
        assert blobs.bucket(name).name == name
    assert names == others[:1]


def test_what_is_closed_remembers_nothing(blobs: DiskBlobs) -> None:
    blobs.bucket(BUCKET)
    blobs.close()
    with pytest.raises(ServiceUnavailable):
        blobs.bucket(BUCKET)
