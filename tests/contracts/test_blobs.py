"""What every store of objects holds to: buckets, objects, uploads, as `blobs.base` says."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.blobs.base import Attributes, Blobs, Checksum, Conditions, PartGiven, PartOf
from inservice.blobs.disk import buckets
from inservice.blobs.disk.store import open_blobs
from inservice.checksums import ALGORITHMS
from inservice.objects import digests
from inservice.objects.parts import PART_BYTES_MIN
from inservice.s3_errors import (
    BadDigest,
    BucketAlreadyExists,
    BucketNotEmpty,
    EntityTooSmall,
    InvalidArgument,
    InvalidBucketName,
    InvalidPart,
    InvalidRange,
    KeyTooLongError,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    QuotaExceeded,
    TooManyBuckets,
)
from inservice.testing.blobs import MemoryBlobs

from .blobs_kit import (
    ACCOUNT,
    BUCKET,
    OTHER,
    Clock,
    attributes,
    bucket,
    crc32,
    files,
    got,
    keys,
    md5,
    put,
    put_in_parts,
    put_part,
)

SMALL, LARGE = b"small", bytes(range(256)) * 1200
PIECE = bytes(PART_BYTES_MIN)
MANY_BYTES = 1024 * 1024


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every store is held to it; the disk alone to what is said of files and of how they lie."""
    if "blobs" in metafunc.fixturenames:
        asked = inspect.signature(metafunc.function).parameters.keys()
        of_disk = {"tmp_path", "monkeypatch"} & asked or "_is_a_file_" in metafunc.function.__name__
        stores = ["disk"] if of_disk else ["disk", "memory"]
        metafunc.parametrize("blobs", stores, indirect=True)


@pytest.fixture
def blobs(tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Blobs]:
    opened: Blobs = MemoryBlobs(clock)
    if request.param == "disk":
        opened = open_blobs(tmp_path / "objects", now=clock)
    opened.create_bucket(bucket())
    yield opened
    opened.close()


# Buckets


def test_a_bucket_is_made_once_and_is_one_accounts(blobs: Blobs) -> None:
    made = replace(bucket("another"), settings={"policy": b"{}"})
    assert blobs.create_bucket(made)
    assert not blobs.create_bucket(bucket("another"))
    assert blobs.bucket("another") == made
    with pytest.raises(BucketAlreadyExists):
        blobs.create_bucket(bucket("another", OTHER))
    with pytest.raises(InvalidBucketName):
        blobs.create_bucket(bucket("../x"))
    assert [each.name for each in blobs.buckets(ACCOUNT)] == [BUCKET, "another"]
    assert blobs.buckets(OTHER) == []


def test_buckets_are_listed_by_prefix_and_in_order(blobs: Blobs) -> None:
    for name in ("b.1", "b-2", "b10", "c00"):
        blobs.create_bucket(bucket(name))
    assert [each.name for each in blobs.buckets(ACCOUNT, "b")] == ["b-2", "b.1", "b10"]
    assert [each.name for each in blobs.buckets(ACCOUNT, "b", "b-2")] == ["b.1", "b10"]
    assert [each.name for each in blobs.buckets(ACCOUNT, "", "b10")] == ["c00"]


def test_an_account_has_ten_thousand_buckets_at_most(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert buckets.BUCKETS_MAX == 10_000
    monkeypatch.setattr(buckets, "BUCKETS_MAX", 2)
    blobs.create_bucket(bucket("second"))
    with pytest.raises(TooManyBuckets):
        blobs.create_bucket(bucket("third"))
    assert blobs.create_bucket(bucket("third", OTHER))


def test_settings_are_kept_as_they_came(blobs: Blobs) -> None:
    blobs.set_bucket(BUCKET, "policy", b"\x00{}\xff")
    blobs.set_bucket(BUCKET, "cors", b"<CORS/>")
    assert blobs.bucket(BUCKET).settings == {"policy": b"\x00{}\xff", "cors": b"<CORS/>"}
    blobs.set_bucket(BUCKET, "policy", None)
    blobs.set_bucket(BUCKET, "tagging", None)
    assert blobs.bucket(BUCKET).settings == {"cors": b"<CORS/>"}


def test_only_an_empty_bucket_is_deleted_and_its_uploads_with_it(
    blobs: Blobs, tmp_path: Path
) -> None:
    put(blobs, "k", SMALL)
    upload = blobs.begin_upload(BUCKET, "u", Attributes(""), None, "COMPOSITE")
    put_part(blobs, upload, 1, LARGE)
    with pytest.raises(BucketNotEmpty):
        blobs.delete_bucket(BUCKET)
    blobs.delete(BUCKET, ["k"])
    blobs.delete_bucket(BUCKET)
    assert blobs.usage() == type(blobs.usage())(0, 0, 0, 0)
    assert files(tmp_path / "objects") == []
    blobs.create_bucket(bucket())
    with pytest.raises(NoSuchUpload):
        blobs.upload(BUCKET, "u", upload.id)
    with pytest.raises(NoSuchUpload):
        put_part(blobs, upload, 2, SMALL)


def test_nothing_is_done_in_a_bucket_that_is_not_there(blobs: Blobs) -> None:
    stored = put(blobs, "k", SMALL)
    incoming = blobs.incoming(BUCKET)
    for asked in (
        lambda: blobs.bucket("nobodys"),
        lambda: blobs.delete_bucket("nobodys"),
        lambda: blobs.set_bucket("nobodys", "cors", b""),
        lambda: blobs.incoming("nobodys"),
        lambda: blobs.keep("nobodys", "k", incoming, Attributes("")),
        lambda: blobs.stored("nobodys", "k"),
        lambda: blobs.read("nobodys", "k"),
        lambda: blobs.delete("nobodys", ["k"]),
        lambda: blobs.copy(stored, "nobodys", "k", stored.attributes),
        lambda: blobs.set_tags("nobodys", "k", {}),
        lambda: blobs.page("nobodys"),
        lambda: blobs.begin_upload("nobodys", "k", Attributes(""), None, "COMPOSITE"),
        lambda: blobs.upload("nobodys", "k", "id"),
        lambda: blobs.uploads("nobodys"),
    ):
        with pytest.raises(NoSuchBucket) as refused:
            asked()
        assert refused.value.members == {"BucketName": "nobodys"}


# Objects


@pytest.mark.parametrize("data", [b"", SMALL, LARGE, bytes(64 * 1024), bytes(64 * 1024 + 1)])
def test_an_object_is_what_was_put(blobs: Blobs, clock: Clock, data: bytes) -> None:
    clock.now = 1_700_000_000.1234
    stored = put(blobs, "k", data)
    assert stored == blobs.stored(BUCKET, "k")
    assert (stored.size, stored.modified_at) == (len(data), 1_700_000_000.123)
    assert stored.attributes == attributes(data)
    assert got(blobs, "k") == data
    reading = blobs.read(BUCKET, "k")
    assert reading.stored == stored
    for start, length in ((0, 1), (3, 5), (len(data) - 1, 1), (len(data), 5), (0, 10**12)):
        if start >= 0:
            read = b"".join(reading.chunks(start, length, 7))
            assert read == data[start : start + length]
    reading.close()
    reading.close()


STRANGE = [
    *("a", "a/", "a/b", "a//b", "a/b/c", "/", "//", "..", "../x", "../../../etc/passwd", ".", "./"),
    *("\0", "a\0b", "\n", " ", "a b", "%2e%2e", "ä", "a\u0308", "😀" * 256, "x" * 1024, "CON"),
    *("a\\b", "-rf", "\u202e", "￿", "data/0/1", "objects.db", "'; DROP TABLE objects; --"),
]


def test_any_text_is_a_key_and_no_path(blobs: Blobs, tmp_path: Path) -> None:
    for key in STRANGE:
        put(blobs, key, key.encode() * 100)
    assert keys(blobs) == sorted(STRANGE, key=str.encode)
    for key in STRANGE:
        assert got(blobs, key) == key.encode() * 100
    assert {path.name for path in tmp_path.iterdir()} == {"objects"}
    blobs.delete(BUCKET, STRANGE)
    assert keys(blobs) == []


def test_no_key_is_empty_or_longer_than_s3s(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(KeyTooLongError):
        put(blobs, "ä" * 512 + "a", LARGE)
    with pytest.raises(InvalidArgument):
        put(blobs, "", LARGE)
    assert files(tmp_path / "objects") == []


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_what_is_read_stays_what_it_was(blobs: Blobs, tmp_path: Path, data: bytes) -> None:
    put(blobs, "k", data)
    reading = blobs.read(BUCKET, "k")
    again = blobs.read(BUCKET, "k")
    put(blobs, "k", b"another")
    blobs.delete(BUCKET, ["k"])
    assert b"".join(reading.chunks(0, len(data))) == data
    reading.close()
    assert b"".join(again.chunks(1, 3)) == data[1:4]
    again.close()
    assert files(tmp_path / "objects") == []
    with pytest.raises(NoSuchKey):
        blobs.read(BUCKET, "k")


def test_a_large_object_is_a_file_that_may_be_read_in_place(blobs: Blobs) -> None:
    put(blobs, "large", LARGE)
    put(blobs, "small", SMALL)
    large, small = blobs.read(BUCKET, "large"), blobs.read(BUCKET, "small")
    path = large.path()
    assert path is not None
    assert path.read_bytes() == LARGE
    assert path.stat().st_mode & 0o777 == 0o444
    blobs.delete(BUCKET, ["large"])
    assert path.read_bytes() == LARGE
    large.close()
    assert not path.exists()
    assert small.path() is None
    small.close()


def test_what_is_discarded_was_never_there(blobs: Blobs, tmp_path: Path) -> None:
    for data in (SMALL, LARGE):
        incoming = blobs.incoming(BUCKET)
        incoming.write(data)
        incoming.discard()
        incoming.discard()
        with pytest.raises(ValueError, match="kept or discarded"):
            incoming.write(b"more")
        with pytest.raises(ValueError, match="kept or discarded"):
            blobs.keep(BUCKET, "k", incoming, Attributes(""))
    kept = blobs.incoming(BUCKET)
    kept.write(LARGE)
    blobs.keep(BUCKET, "k", kept, attributes(LARGE))
    kept.discard()
    assert got(blobs, "k") == LARGE
    assert len(files(tmp_path / "objects")) == 1


def test_conditions_are_judged_where_the_object_is_written(blobs: Blobs) -> None:
    when = Conditions
    stored = put(blobs, "k", SMALL, when=when(if_none_match="*"))
    with pytest.raises(PreconditionFailed):
        put(blobs, "k", LARGE, when=when(if_none_match="*"))
    with pytest.raises(PreconditionFailed):
        put(blobs, "k", LARGE, when=when(if_match=md5(LARGE)))
    with pytest.raises(NoSuchKey):
        put(blobs, "other", LARGE, when=when(if_match=md5(LARGE)))
    with pytest.raises(PreconditionFailed):
        blobs.delete(BUCKET, ["k", "other"], when(if_match='"x"'))
    with pytest.raises(PreconditionFailed):
        blobs.copy(stored, BUCKET, "k", stored.attributes, when(if_none_match="*"))
    assert (keys(blobs), got(blobs, "k")) == (["k"], SMALL)
    put(blobs, "k", LARGE, when=when(if_match=f'"{md5(SMALL)}"'))
    blobs.delete(BUCKET, ["k"], when(if_match=md5(LARGE)))
    assert keys(blobs) == []
    blobs.delete(BUCKET, ["k", "never"])


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_a_copy_is_the_same_data(blobs: Blobs, tmp_path: Path, data: bytes) -> None:
    stored = put(blobs, "k", data)
    other = replace(stored.attributes, metadata={"a": "b"})
    copy = blobs.copy(stored, BUCKET, "copy", other)
    assert (copy.size, copy.attributes) == (len(data), other)
    assert blobs.usage().bytes == len(data)
    blobs.copy(stored, BUCKET, "k", other)  # onto itself
    blobs.delete(BUCKET, ["k"])
    assert got(blobs, "copy") == data
    assert blobs.usage().bytes == len(data)
    with pytest.raises(NoSuchKey):
        blobs.copy(stored, BUCKET, "copy", other)
    blobs.delete(BUCKET, ["copy"])
    assert blobs.usage().bytes == 0
    assert files(tmp_path / "objects") == []


def test_what_was_replaced_is_not_copied(blobs: Blobs) -> None:
    stored = put(blobs, "k", SMALL)
    put(blobs, "k", b"other")
    with pytest.raises(NoSuchKey):
        blobs.copy(stored, BUCKET, "copy", stored.attributes)
    assert keys(blobs) == ["k"]


def test_tags_change_nothing_else(blobs: Blobs, clock: Clock) -> None:
    stored = put(blobs, "k", SMALL)
    clock.now += 100
    blobs.set_tags(BUCKET, "k", {"a": "b", "": ""})
    tagged = replace(stored.attributes, tags={"a": "b", "": ""})
    assert blobs.stored(BUCKET, "k") == replace(stored, attributes=tagged)
    blobs.set_tags(BUCKET, "k", {})
    assert blobs.stored(BUCKET, "k") == stored
    with pytest.raises(NoSuchKey):
        blobs.set_tags(BUCKET, "other", {})


def test_a_page_tells_keys_and_common_prefixes(blobs: Blobs) -> None:
    for key in ("a", "b/1", "b/2", "b/c/3", "d"):
        put(blobs, key, SMALL)
    page = blobs.page(BUCKET, delimiter="/")
    assert ([each.key for each in page.objects], page.prefixes) == (["a", "d"], ("b/",))
    assert (page.truncated, page.last) == (False, "d")
    page = blobs.page(BUCKET, "b/", "/", most=2)
    assert ([each.key for each in page.objects], page.truncated) == (["b/1", "b/2"], True)
    assert page.objects[0] == blobs.stored(BUCKET, "b/1")
    page = blobs.page(BUCKET, "b/", "/", page.last)
    assert (page.objects, page.prefixes, page.truncated) == ((), ("b/c/",), False)
    assert blobs.page(BUCKET, "zzz").last == ""


def test_buckets_do_not_see_each_others_keys(blobs: Blobs) -> None:
    blobs.create_bucket(bucket("second", OTHER))
    for name in (BUCKET, "second"):
        put(blobs, f"of-{name}", name.encode(), into=name)
    assert keys(blobs) == [f"of-{BUCKET}"]
    assert keys(blobs, of="second") == ["of-second"]
    with pytest.raises(NoSuchKey):
        blobs.stored(BUCKET, "of-second")


def test_usage_counts_what_there_is(blobs: Blobs) -> None:
    put(blobs, "a", SMALL)
    put(blobs, "b", LARGE)
    put(blobs, "b", SMALL)
    upload = blobs.begin_upload(BUCKET, "u", Attributes(""), None, "COMPOSITE")
    put_part(blobs, upload, 1, LARGE)
    used = blobs.usage()
    assert (used.buckets, used.objects, used.uploads) == (1, 2, 1)
    assert used.bytes == 2 * len(SMALL) + len(LARGE)


def test_a_quota_is_not_exceeded(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path / "objects", quota=MANY_BYTES)
    blobs.create_bucket(bucket())
    put(blobs, "half", bytes(MANY_BYTES // 2))
    first, second = blobs.incoming(BUCKET), blobs.incoming(BUCKET)
    first.write(bytes(MANY_BYTES // 4))
    second.write(bytes(MANY_BYTES // 4))
    with pytest.raises(QuotaExceeded):
        put(blobs, "one", b"x")
    blobs.keep(BUCKET, "first", first, Attributes("e"))
    with pytest.raises(QuotaExceeded):
        second.write(b"x")  # and now it is discarded
    put(blobs, "quarter", bytes(MANY_BYTES // 4))
    with pytest.raises(QuotaExceeded):
        put(blobs, "one", b"x")
    blobs.delete(BUCKET, ["half"])
    put(blobs, "one", b"x")
    assert keys(blobs) == ["first", "one", "quarter"]
    blobs.close()


# Uploads


def test_parts_become_an_object(blobs: Blobs, clock: Clock) -> None:
    clock.now = 1000.0
    begun = replace(attributes(b""), etag="", metadata={"a": "b"}, checksum=None)
    upload = blobs.begin_upload(BUCKET, "k", begun, "CRC32", "FULL_OBJECT")
    assert blobs.upload(BUCKET, "k", upload.id) == upload
    clock.now = 2000.0
    pieces = [bytes([number]) * PART_BYTES_MIN for number in (1, 2)] + [SMALL]
    given = [put_part(blobs, upload, number, piece) for number, piece in enumerate(pieces, 3)]
    put_part(blobs, upload, 9, LARGE)  # and never named
    there, more = blobs.parts(upload, after=3, most=2)
    assert ([part.number for part, _ in there], [at for _, at in there]) == ([4, 5], [2000.0] * 2)
    assert more
    whole = b"".join(pieces)
    stored = blobs.complete(upload, given, crc32(whole))
    assert stored == blobs.stored(BUCKET, "k")
    assert stored.attributes.etag == digests.multipart_etag([md5(piece) for piece in pieces])
    assert stored.attributes.checksum == crc32(whole)
    assert stored.attributes.metadata == {"a": "b"}
    assert (stored.size, stored.modified_at) == (len(whole), 1000.0)
    assert [(part.number, part.size) for part in stored.parts] == [
        (number, len(piece)) for number, piece in enumerate(pieces, 3)
    ]
    reading = blobs.read(BUCKET, "k")
    assert reading.path() is None
    edge = PART_BYTES_MIN - 2
    assert b"".join(reading.chunks(edge, 4, 3)) == whole[edge : edge + 4]
    blobs.delete(BUCKET, ["k"])
    assert b"".join(reading.chunks(0, len(whole))) == whole
    reading.close()
    assert blobs.usage().bytes == 0
    assert blobs.page(BUCKET).objects == ()


def test_completing_again_answers_the_same(blobs: Blobs) -> None:
    upload = blobs.begin_upload(BUCKET, "k", Attributes(""), "CRC32", "FULL_OBJECT")
    given = [put_part(blobs, upload, 1, SMALL)]
    stored = blobs.complete(upload, given, None)
    put(blobs, "k", b"newer")
    again = blobs.upload(BUCKET, "k", upload.id)
    assert again == upload
    assert blobs.complete(again, given, None) == stored
    assert got(blobs, "k") == b"newer"
    for wrong in (
        lambda: blobs.complete(upload, [PartGiven(1, "another")], None),
        lambda: put_part(blobs, upload, 1, SMALL),
        lambda: blobs.parts(upload),
        lambda: blobs.abort(upload),
        lambda: blobs.upload(BUCKET, "another", upload.id),
        lambda: blobs.upload(BUCKET, "k", "never"),
    ):
        with pytest.raises(NoSuchUpload):
            wrong()


@pytest.mark.parametrize("kind", ["SHA256", "CRC32"])
def test_a_composite_checksum_is_of_the_parts_own(blobs: Blobs, kind: str) -> None:
    upload = blobs.begin_upload(BUCKET, "k", Attributes(""), kind, "COMPOSITE")
    values = []
    for number in (1, 2):
        value = base64.b64encode(bytes([number]) * ALGORITHMS[kind].size).decode()
        values.append(value)
        incoming = blobs.incoming(BUCKET)
        incoming.write(PIECE)
        part = PartOf(number, len(PIECE), md5(PIECE), Checksum(kind, value))
        blobs.keep_part(upload, part, incoming)
    given = [PartGiven(number, md5(PIECE)) for number in (1, 2)]
    with pytest.raises(BadDigest, match=kind.lower()):
        blobs.complete(upload, given, Checksum(kind, values[0]))
    expected = digests.composite(kind, values)
    stored = blobs.complete(upload, given, Checksum(kind, expected.partition("-")[0]))
    assert stored.attributes.checksum == Checksum(kind, expected, composite=True)


def test_a_completion_that_is_refused_changes_nothing(blobs: Blobs) -> None:
    upload = blobs.begin_upload(BUCKET, "k", Attributes(""), None, "COMPOSITE")
    one, two = put_part(blobs, upload, 1, SMALL), put_part(blobs, upload, 2, LARGE)
    put(blobs, "k", b"there")
    with pytest.raises(EntityTooSmall):
        blobs.complete(upload, [one, two], None)
    with pytest.raises(InvalidPart):
        blobs.complete(upload, [replace(one, etag="x")], None)
    with pytest.raises(PreconditionFailed):
        blobs.complete(upload, [two], None, Conditions(if_none_match="*"))
    assert len(blobs.parts(upload)[0]) == 2
    assert got(blobs, "k") == b"there"
    assert got(blobs, blobs.complete(upload, [two], None).key) == LARGE


def test_a_part_is_replaced_by_its_number(blobs: Blobs, tmp_path: Path) -> None:
    upload = blobs.begin_upload(BUCKET, "k", Attributes(""), None, "COMPOSITE")
    put_part(blobs, upload, 1, LARGE)
    given = put_part(blobs, upload, 1, LARGE[::-1])
    assert len(files(tmp_path / "objects")) == 1
    blobs.complete(upload, [given], None)
    assert got(blobs, "k") == LARGE[::-1]
    for number in (0, 10_001):
        with pytest.raises(InvalidArgument):
            put_part(blobs, upload, number, SMALL)


def test_parts_are_copied_out_of_objects_of_any_kind(blobs: Blobs) -> None:
    small, large = put(blobs, "small", SMALL), put(blobs, "large", LARGE)
    pieces = [PIECE, bytes([7]) * PART_BYTES_MIN, SMALL]
    parted = put_in_parts(blobs, "parted", pieces)
    upload = blobs.begin_upload(BUCKET, "k", Attributes(""), None, "COMPOSITE")
    before = blobs.usage().bytes
    copies = [(parted, 3, PART_BYTES_MIN), (parted, 0, parted.size), (large, 7, 100_000)]
    whole = b""
    given = []
    for number, (source, start, length) in enumerate(copies, 1):
        part = PartOf(number, length, f"{number:032x}")
        if length >= PART_BYTES_MIN or number == len(copies):
            blobs.copy_part(upload, part, source, start, length)
            given.append(PartGiven(number, part.etag))
            whole += got(blobs, source.key)[start : start + length]
    assert blobs.usage().bytes == before
    blobs.complete(upload, given, None)
    blobs.delete(BUCKET, ["small", "large", "parted"])
    assert got(blobs, "k") == whole
    blobs.delete(BUCKET, ["k"])
    assert blobs.usage().bytes == 0
    other = blobs.begin_upload(BUCKET, "k", Attributes(""), None, "COMPOSITE")
    with pytest.raises(NoSuchKey):
        blobs.copy_part(other, PartOf(1, 1, ""), small, 0, 1)
    with pytest.raises(InvalidRange):
        blobs.copy_part(other, PartOf(1, 1, ""), small, 1, len(SMALL))


def test_a_copy_of_an_object_in_parts_is_as_cheap(blobs: Blobs) -> None:
    stored = put_in_parts(blobs, "k", [PIECE, SMALL])
    kept = blobs.copy(stored, BUCKET, "same", stored.attributes)
    plain = blobs.copy(stored, BUCKET, "plain", replace(stored.attributes, etag="0" * 32))
    assert (kept.parts, plain.parts) == (stored.parts, ())
    assert blobs.usage().bytes == stored.size
    blobs.delete(BUCKET, ["k", "same"])
    assert got(blobs, "plain") == PIECE + SMALL
    blobs.delete(BUCKET, ["plain"])
    assert blobs.usage().bytes == 0


def test_what_was_aborted_is_gone(blobs: Blobs, tmp_path: Path) -> None:
    upload = blobs.begin_upload(BUCKET, "k", Attributes(""), None, "COMPOSITE")
    put_part(blobs, upload, 1, LARGE)
    blobs.abort(upload)
    assert files(tmp_path / "objects") == []
    for wrong in (
        lambda: blobs.abort(upload),
        lambda: blobs.upload(BUCKET, "k", upload.id),
        lambda: put_part(blobs, upload, 1, LARGE),
        lambda: blobs.copy_part(upload, PartOf(1, 1, ""), put(blobs, "o", SMALL), 0, 1),
        lambda: blobs.complete(upload, [PartGiven(1, md5(LARGE))], None),
    ):
        with pytest.raises(NoSuchUpload):
            wrong()
    assert files(tmp_path / "objects") == []
    assert blobs.usage().uploads == 0


def test_uploads_are_listed_by_key_and_age(blobs: Blobs, clock: Clock) -> None:
    begun = []
    for key in ("b/1", "a", "b/2", "a", "c"):
        clock.now += 1
        begun.append(blobs.begin_upload(BUCKET, key, Attributes(""), None, "COMPOSITE"))
    b1, a1, b2, a2, c = begun
    assert blobs.uploads(BUCKET).uploads == (a1, a2, b1, b2, c)
    page = blobs.uploads(BUCKET, most=1)
    assert (page.uploads, page.truncated) == ((a1,), True)
    assert (page.last_key, page.last_id) == ("a", a1.id)
    page = blobs.uploads(BUCKET, delimiter="/", after=(page.last_key, page.last_id), most=2)
    assert (page.uploads, page.prefixes, page.truncated) == ((a2,), ("b/",), True)
    assert (page.last_key, page.last_id) == ("b/", "")
    page = blobs.uploads(BUCKET, delimiter="/", after=(page.last_key, page.last_id))
    assert (page.uploads, page.prefixes, page.truncated) == ((c,), (), False)
    assert blobs.uploads(BUCKET, after=("a", "")).uploads == (b1, b2, c)
    assert blobs.uploads(BUCKET, "b/", after=("a", a2.id)).uploads == (b1, b2)


def test_forgotten_uploads_expire(blobs: Blobs, clock: Clock, tmp_path: Path) -> None:
    clock.now = 1000.0
    old = [blobs.begin_upload(BUCKET, f"{n}", Attributes(""), None, "COMPOSITE") for n in range(45)]
    put_part(blobs, old[0], 1, LARGE)
    blobs.complete(old[1], [put_part(blobs, old[1], 1, SMALL)], None)
    clock.now = 2000.0
    young = blobs.begin_upload(BUCKET, "k", Attributes(""), None, "COMPOSITE")
    assert blobs.expire_uploads(1000.0) == 0
    assert blobs.expire_uploads(1500.0) == 44
    assert blobs.uploads(BUCKET).uploads == (young,)
    assert files(tmp_path / "objects") == []
    with pytest.raises(NoSuchUpload):
        blobs.upload(BUCKET, "1", old[1].id)
    assert got(blobs, "1") == SMALL
