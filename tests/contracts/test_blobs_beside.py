"""Objects read beside the process that has them open: whole, or not there, and never changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inservice.blobs.base import Attributes, Blobs, Bucket, Conditions, PartGiven, PartOf, Reading
from inservice.blobs.disk.beside import BlobsBeside
from inservice.blobs.disk.store import DiskBlobs, open_blobs
from inservice.blobs.errors import ObjectDamaged
from inservice.errors import ServiceUnavailable
from inservice.s3_errors import NoSuchBucket, NoSuchKey

MIB = 1024 * 1024


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[DiskBlobs]:
    opened = open_blobs(tmp_path / "storage")
    opened.create_bucket(Bucket("models", "111122223333", "us-east-1", 1.0, {"policy": b"{}"}))
    yield opened
    opened.close()


@pytest.fixture
def beside(blobs: DiskBlobs, tmp_path: Path) -> BlobsBeside:
    return BlobsBeside(tmp_path / "storage")


def put(blobs: Blobs, key: str, data: bytes) -> None:
    incoming = blobs.incoming("models")
    incoming.write(data)
    blobs.keep("models", key, incoming, Attributes(hashlib.md5(data).hexdigest()))


def content(reading: Reading) -> bytes:
    try:
        return b"".join(reading.chunks(0, reading.stored.size))
    finally:
        reading.close()


def test_it_sees_what_was_kept_as_soon_as_it_was(blobs: DiskBlobs, beside: BlobsBeside) -> None:
    for size in (0, 10, 3 * MIB):
        data = os.urandom(size)
        put(blobs, f"k{size}", data)
        assert beside.stored("models", f"k{size}") == blobs.stored("models", f"k{size}")
        assert content(beside.read("models", f"k{size}")) == data
    assert beside.bucket("models") == blobs.bucket("models")
    assert beside.page("models", "k", after="k0") == blobs.page("models", "k", after="k0")
    assert beside.usage() == blobs.usage()
    with pytest.raises(NoSuchKey):
        beside.read("models", "other")
    with pytest.raises(NoSuchBucket):
        beside.read("other", "k0")


def test_it_reads_on_when_the_process_of_the_storage_is_gone(
    blobs: DiskBlobs, beside: BlobsBeside
) -> None:
    put(blobs, "k", b"x" * MIB)
    blobs.close()
    assert content(beside.read("models", "k")) == b"x" * MIB


KILLED = """
import os, sys
from pathlib import Path
from inservice.blobs.base import Attributes, Bucket
from inservice.blobs.disk.store import open_blobs

blobs = open_blobs(Path(sys.argv[1]))
blobs.create_bucket(Bucket("models", "111122223333", "us-east-1", 1.0))
incoming = blobs.incoming("models")
incoming.write(b"x" * 100_000)
blobs.keep("models", "k", incoming, Attributes("e"))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("shared_memory", [True, False])
def test_it_reads_what_a_killed_process_had_kept(tmp_path: Path, shared_memory: bool) -> None:
    """All of it is in the log, which nobody has gone through yet; after a loss of power without
    what SQLite had in memory of it."""
    place = tmp_path / "storage"
    subprocess.run([sys.executable, "-c", KILLED, str(place)], check=False)
    if not shared_memory:
        (place / "objects.db-shm").unlink()
    assert content(BlobsBeside(place).read("models", "k")) == b"x" * 100_000
    again = open_blobs(place)
    assert content(again.read("models", "k")) == b"x" * 100_000
    again.close()


def test_what_is_being_read_outlives_its_name(blobs: DiskBlobs, beside: BlobsBeside) -> None:
    data = os.urandom(3 * MIB)
    put(blobs, "k", data)
    reading = beside.read("models", "k")
    blobs.delete("models", ["k"])
    assert reading.path() is not None
    assert not reading.path().exists()  # type: ignore[union-attr]
    assert content(reading) == data


def test_of_an_object_in_parts_one_that_is_gone_is_missing(
    blobs: DiskBlobs, beside: BlobsBeside
) -> None:
    upload = blobs.begin_upload("models", "k", Attributes(""), None, "COMPOSITE")
    for number in (1, 2):
        incoming = blobs.incoming("models")
        incoming.write(os.urandom(5 * MIB))
        blobs.keep_part(upload, PartOf(number, 5 * MIB, f"{number:032x}"), incoming)
    blobs.complete(upload, [PartGiven(n, f"{n:032x}") for n in (1, 2)], None)
    whole = content(beside.read("models", "k"))
    assert len(whole) == 10 * MIB
    reading = beside.read("models", "k")
    chunks = reading.chunks(0, 10 * MIB)
    assert next(chunks)
    blobs.delete("models", ["k"])
    with pytest.raises(FileNotFoundError):
        list(chunks)
    reading.close()


def test_it_changes_nothing(blobs: DiskBlobs, beside: BlobsBeside, tmp_path: Path) -> None:
    put(blobs, "k", b"1")
    stored = blobs.stored("models", "k")
    files = sorted((tmp_path / "storage/data").rglob("*"))
    for change in (
        lambda: beside.incoming("models"),
        lambda: beside.delete("models", ["k"]),
        lambda: beside.copy(stored, "models", "c", stored.attributes, Conditions()),
        lambda: beside.set_tags("models", "k", {}),
        lambda: beside.create_bucket(Bucket("c2c", "111122223333", "us-east-1", 1.0)),
        lambda: beside.delete_bucket("models"),
        lambda: beside.set_bucket("models", "policy", None),
        lambda: beside.begin_upload("models", "k", Attributes(""), None, "COMPOSITE"),
    ):
        with pytest.raises(ServiceUnavailable):
            change()
    assert (blobs.stored("models", "k"), sorted((tmp_path / "storage/data").rglob("*"))) == (
        stored,
        files,
    )


def test_a_file_that_is_lost_is_damage(
    blobs: DiskBlobs, beside: BlobsBeside, tmp_path: Path
) -> None:
    put(blobs, "k", b"x" * MIB)
    path = beside.read("models", "k").path()
    assert path is not None
    path.unlink()
    with pytest.raises(ObjectDamaged):
        beside.read("models", "k")


@pytest.mark.parametrize("content_of_it", [b"", b"no database" * 1000])
def test_records_that_are_none_are_not_read(tmp_path: Path, content_of_it: bytes) -> None:
    (tmp_path / "objects.db").write_bytes(content_of_it)
    with pytest.raises(ServiceUnavailable, match="records of the storage"):
        BlobsBeside(tmp_path).bucket("models")
    with pytest.raises(NoSuchBucket):
        BlobsBeside(tmp_path / "nothing was ever kept here").bucket("models")


WRITER = """
import hashlib, os, sys
from pathlib import Path
from inservice.blobs.base import Attributes
from inservice.blobs.disk.store import open_blobs

blobs = open_blobs(Path(sys.argv[1]))
print("open", flush=True)
for turn in range(400):
    data = os.urandom(200_000 + turn)
    incoming = blobs.incoming("models")
    incoming.write(data)
    blobs.keep("models", "k", incoming, Attributes(hashlib.md5(data).hexdigest()))
    if turn % 3 == 0:
        blobs.delete("models", ["k"])
blobs.close()
"""


def test_beside_another_process_that_replaces_and_deletes(tmp_path: Path) -> None:
    """Whatever is read is one object, whole: never a mixture, and never damage."""
    place = tmp_path / "storage"
    made = open_blobs(place)
    made.create_bucket(Bucket("models", "111122223333", "us-east-1", 1.0))
    made.close()
    beside, seen, missing = BlobsBeside(place), set[str](), 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        while writer.poll() is None:
            try:
                reading = beside.read("models", "k")
            except NoSuchKey:
                missing += 1
                continue
            digest = hashlib.md5(content(reading)).hexdigest()
            assert digest == reading.stored.attributes.etag
            seen.add(digest)
    assert writer.returncode == 0
    assert len(seen) > 1
