"""Whatever is done to a store of objects, in any order: beside a dictionary that does the same.

Sizes are small here, so that a history of a few steps has data in records and in files, in several
directories, in parts and in slices of parts.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inservice.blobs.base import (
    ANY_STATE,
    Attributes,
    Blobs,
    Conditions,
    PartGiven,
    PartOf,
    Reading,
    StoredObject,
    Upload,
)
from inservice.blobs.disk import arriving
from inservice.blobs.disk import files as files_of_disk
from inservice.blobs.disk.store import open_blobs
from inservice.objects import parts as rules_of_parts
from inservice.s3_errors import S3Error
from tests.depth import examples

from .blobs_kit import BUCKET, bucket, check_records, files, got, keys, md5, put, put_part

KEYS = st.sampled_from(["a", "a/", "a/b", "a//b", "b/c/d", "b/c/e", "..", "é", "😀"])
UPLOADED = st.sampled_from(["a", "b/c/d"])
NUMBERS = st.integers(1, 3)
DATA = st.binary(max_size=24)
WHEN = st.sampled_from([ANY_STATE, Conditions(if_none_match="*"), Conditions(if_match="*")])
IN_RECORD, PART_MIN = 8, 4


@dataclass(frozen=True, eq=False)
class Kept:
    """Bytes that were kept once."""

    content: bytes


Slice = tuple[Kept, int, int]


@dataclass(frozen=True)
class Thing:
    """An object, as it has to be."""

    stored: StoredObject
    slices: tuple[Slice, ...]

    @property
    def content(self) -> bytes:
        return content_of(self.slices)


def content_of(slices: tuple[Slice, ...]) -> bytes:
    return b"".join(kept.content[start : start + length] for kept, start, length in slices)


class Histories(RuleBasedStateMachine):
    """A store and its dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(arriving, "IN_RECORD_BYTES", IN_RECORD)
        self.patch.setattr(rules_of_parts, "PART_BYTES_MIN", PART_MIN)
        self.patch.setattr(files_of_disk, "FILES_IN_A_DIRECTORY", 3)
        self.patch.setattr(files_of_disk, "FORGOTTEN_AT_ONCE", 4)
        self.place = Path(tempfile.mkdtemp(prefix="is-blobs-"))
        self.blobs: Blobs = open_blobs(self.place)
        self.blobs.create_bucket(bucket())
        self.things: dict[str, Thing] = {}
        self.uploads: dict[str, Upload] = {}
        self.parts: dict[str, dict[int, tuple[PartGiven, tuple[Slice, ...]]]] = {}
        self.readings: list[tuple[Reading, bytes]] = []

    def teardown(self) -> None:
        for reading, _ in self.readings:
            reading.close()
        self.blobs.close()
        self.patch.undo()
        check_records(self.place)
        shutil.rmtree(self.place)

    @rule(key=KEYS, data=DATA, when=WHEN)
    def put(self, key: str, data: bytes, when: Conditions) -> None:
        refused = (when.if_match and key not in self.things) or (
            when.if_none_match and key in self.things
        )
        try:
            stored = put(self.blobs, key, data, when=when)
        except S3Error:
            assert refused
        else:
            assert not refused
            self.things[key] = Thing(stored, ((Kept(data), 0, len(data)),))

    @rule(data=DATA)
    def discard(self, data: bytes) -> None:
        incoming = self.blobs.incoming(BUCKET)
        incoming.write(data)
        incoming.discard()

    @rule(several=st.lists(KEYS, max_size=3))
    def delete(self, several: list[str]) -> None:
        self.blobs.delete(BUCKET, several)
        for key in several:
            self.things.pop(key, None)

    @precondition(lambda self: self.things)
    @rule(data=st.data(), key=KEYS)
    def copy(self, data: st.DataObject, key: str) -> None:
        source = self.things[data.draw(st.sampled_from(sorted(self.things)))]
        stored = self.blobs.copy(source.stored, BUCKET, key, source.stored.attributes)
        self.things[key] = replace(source, stored=stored)

    @precondition(lambda self: self.things)
    @rule(data=st.data(), tags=st.dictionaries(st.text(max_size=2), st.text(max_size=2)))
    def tag(self, data: st.DataObject, tags: Mapping[str, str]) -> None:
        key = data.draw(st.sampled_from(sorted(self.things)))
        try:
            self.blobs.set_tags(BUCKET, key, tags)
        except UnicodeEncodeError:
            return
        thing = self.things[key]
        attributes = replace(thing.stored.attributes, tags=tags)
        self.things[key] = replace(thing, stored=replace(thing.stored, attributes=attributes))

    @rule(key=UPLOADED, number=NUMBERS, content=DATA)
    def part(self, key: str, number: int, content: bytes) -> None:
        upload = self._upload(key)
        given = put_part(self.blobs, upload, number, content)
        self.parts[key][number] = given, ((Kept(content), 0, len(content)),)

    @precondition(lambda self: self.things)
    @rule(data=st.data(), key=UPLOADED, number=NUMBERS)
    def copied_part(self, data: st.DataObject, key: str, number: int) -> None:
        thing = self.things[data.draw(st.sampled_from(sorted(self.things)))]
        start = data.draw(st.integers(0, thing.stored.size))
        length = data.draw(st.integers(0, thing.stored.size - start))
        part = PartOf(number, length, md5(thing.content[start : start + length]))
        self.blobs.copy_part(self._upload(key), part, thing.stored, start, length)
        slices = cut(thing.slices, start, length)
        self.parts[key][number] = PartGiven(number, part.etag), slices

    @rule(data=st.data(), key=UPLOADED)
    def complete(self, data: st.DataObject, key: str) -> None:
        upload, there = self._upload(key), self.parts[key]
        named = data.draw(st.just(sorted(there)) | st.lists(NUMBERS, max_size=3))
        given = [there.get(number, (PartGiven(number, ""), ()))[0] for number in named]
        sizes = [len(content_of(there[number][1])) for number in named if number in there]
        fits = (
            len(sizes) == len(named) > 0
            and named == sorted(set(named))
            and min(sizes[:-1], default=PART_MIN) >= PART_MIN
        )
        try:
            stored = self.blobs.complete(upload, given, None)
        except S3Error:
            assert not fits
        else:
            assert fits
            slices = tuple(each for number in named for each in there[number][1])
            self.things[key] = Thing(stored, slices)
            del self.uploads[key], self.parts[key]

    @precondition(lambda self: self.uploads)
    @rule(key=UPLOADED)
    def abort(self, key: str) -> None:
        self.blobs.abort(self._upload(key))
        del self.uploads[key], self.parts[key]

    @precondition(lambda self: self.things)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.things)))
        reading = self.blobs.read(BUCKET, key)
        assert reading.stored == self.things[key].stored
        self.readings.append((reading, self.things[key].content))

    @precondition(lambda self: self.readings)
    @rule(data=st.data(), size=st.integers(1, 9))
    def read_on(self, data: st.DataObject, size: int) -> None:
        reading, content = self.readings.pop()
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, len(content) - start))
        chunks = list(reading.chunks(start, length, size))
        assert b"".join(chunks) == content[start : start + length]
        assert all(0 < len(chunk) <= size for chunk in chunks)
        reading.close()

    @rule(prefix=st.sampled_from(["", "a", "b/"]), delimiter=st.sampled_from(["", "/", "c"]))
    def page(self, prefix: str, delimiter: str) -> None:
        told: list[str] = []
        after, truncated = "", True
        while truncated:
            page = self.blobs.page(BUCKET, prefix, delimiter, after, 2)
            told += sorted([*(each.key for each in page.objects), *page.prefixes], key=str.encode)
            for each in page.objects:
                assert each == replace(self.things[each.key].stored, parts=())
            after, truncated = page.last, page.truncated
        assert told == expected(self.things, prefix, delimiter)

    @rule()
    def open_again(self) -> None:
        for reading, _ in self.readings:
            reading.close()
        self.readings.clear()
        self.blobs.close()
        self.blobs = open_blobs(self.place)

    @invariant()
    def all_is_there_and_nothing_else(self) -> None:
        assert keys(self.blobs) == sorted(self.things, key=str.encode)
        for key, thing in self.things.items():
            assert self.blobs.stored(BUCKET, key) == thing.stored
            assert got(self.blobs, key) == thing.content
        needed = {kept for thing in self.things.values() for kept, _, _ in thing.slices}
        for there in self.parts.values():
            needed |= {kept for _, slices in there.values() for kept, _, _ in slices}
        used = self.blobs.usage()
        assert (used.objects, used.uploads) == (len(self.things), len(self.uploads))
        assert used.bytes == sum(len(kept.content) for kept in needed)
        if not self.readings:
            large = [kept for kept in needed if len(kept.content) > IN_RECORD]
            assert len(files(self.place)) == len(large)

    def _upload(self, key: str) -> Upload:
        """The one of this key that is under way, or a new one."""
        if key not in self.uploads:
            upload = self.blobs.begin_upload(BUCKET, key, Attributes(""), None, "COMPOSITE")
            self.uploads[key], self.parts[key] = upload, {}
        return self.uploads[key]


def cut(slices: tuple[Slice, ...], start: int, length: int) -> tuple[Slice, ...]:
    """Byte by byte."""
    every = [(kept, begin + n) for kept, begin, size in slices for n in range(size)]
    return tuple((kept, place, 1) for kept, place in every[start : start + length])


def expected(there: Mapping[str, object], prefix: str, delimiter: str) -> list[str]:
    told: list[str] = []
    for key in sorted(there, key=str.encode):
        if key.startswith(prefix):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            name = prefix + head + found if found else key
            told += [] if told and told[-1] == name else [name]
    return told


Histories.TestCase.settings = settings(
    max_examples=examples(150), stateful_step_count=50, deadline=None
)
TestHistories = Histories.TestCase
