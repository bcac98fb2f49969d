"""The output of containers on its way into the log, without an engine: what an engine writes is
written here, and control is killed wherever a test says."""

from __future__ import annotations

import itertools
import random
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.runtimes.oci import logs
from inservice.runtimes.oci.logs import FileOutput, frames
from inservice.runtimes.oci.records import Places, Record
from tests.contracts.test_oci_words import RECORD

STAMP = b"2026-11-28T18:27:01.426467079+00:00"


class Killed(BaseException):
    """Control was."""


class Bench:
    """A container whose output Podman writes, and one control after the other that reads it."""

    def __init__(self, root: Path) -> None:
        self.places = Places(root, root / "state")
        self.places.containers.mkdir()
        self.record: Record = replace(RECORD, log_path=str(root / "log"))
        self.source = self.places.output(self.record.instance_id)
        self.output: FileOutput | None = None

    def write(self, text: bytes, tag: bytes = b"F", stream: bytes = b"stdout") -> None:
        with self.source.open("ab") as file:
            file.write(b" ".join((STAMP, stream, tag, text)) + b"\n")

    def take(self) -> None:
        if self.output is None:
            self.output = FileOutput(self.places, self.record)
        while self.output.take():
            pass

    def die(self) -> None:
        """Nothing is finished; the kernel closes what was open."""
        if self.output is not None:
            self.output.close()
        self.output = None

    def lines(self) -> list[str]:
        path = Path(self.record.log_path)
        files = [path.with_name("log.1"), path]
        text = "".join(file.read_text() for file in files if file.exists())
        return [line.partition(" ")[2] for line in text.splitlines()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """In a directory of its own: a run directory's path has to be short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="is-") as root:
        bench = Bench(Path(root))
        yield bench
        bench.die()


@pytest.mark.parametrize("seed", range(20))
def test_wherever_control_is_killed_no_line_is_lost_or_doubled(
    bench: Bench, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between what it writes and what it notes of that, which is where it could be doubled."""
    chance = random.Random(seed)
    monkeypatch.setattr(logs, "_CHUNK_BYTES", chance.choice([7, 64, 300, 65536]))
    wanted: list[str] = []
    note = logs._Kept.note

    def dying(kept: logs._Kept, **so_far: int) -> None:
        if chance.random() < 0.2:
            raise Killed
        note(kept, **so_far)  # type: ignore[arg-type]

    monkeypatch.setattr(logs._Kept, "note", dying)
    for number in range(120):
        text = f"line {number} " + "x" * chance.choice([0, 3, 40])
        if chance.random() < 0.3:
            bench.write(text[:4].encode(), b"P")
            if chance.random() < 0.5:
                taken(bench)
            bench.write(text[4:].encode())
        else:
            bench.write(text.encode(), stream=chance.choice([b"stdout", b"stderr"]))
        wanted.append(text)
        if chance.random() < 0.4:
            taken(bench)
        if chance.random() < 0.15:
            bench.die()
    monkeypatch.setattr(logs._Kept, "note", note)
    bench.die()
    bench.take()
    assert bench.lines() == wanted


def taken(bench: Bench) -> None:
    try:
        bench.take()
    except Killed:
        bench.die()


def test_a_file_that_podman_begins_anew_is_read_to_its_end_first(bench: Bench) -> None:
    bench.write(b"one")
    bench.take()
    bench.write(b"two")
    fresh = bench.source.with_name(f"{bench.source.name}.new")
    fresh.write_bytes(b" ".join((STAMP, b"stdout", b"F", b"three")) + b"\n")
    fresh.replace(bench.source)
    bench.take()
    bench.die()
    bench.write(b"four")
    bench.take()
    assert bench.lines() == ["one", "two", "three", "four"]


def test_what_was_begun_anew_while_no_control_ran_is_owned_up_to(bench: Bench) -> None:
    bench.write(b"one")
    bench.take()
    bench.die()
    bench.source.rename(bench.source.with_name("old"))  # so that its inode is not given again
    bench.write(b"two")
    bench.take()
    assert bench.lines()[0] == "one"
    assert bench.lines()[1].startswith("[inservice] dropped")
    assert bench.lines()[2] == "two"


def test_the_log_of_another_incarnation_is_not_gone_back_over(bench: Bench) -> None:
    bench.write(b"of the first")
    bench.take()
    bench.die()
    bench.source.unlink()
    bench.record = replace(bench.record, cookie="d" * 16)
    bench.write(b"of the second")
    bench.take()
    assert bench.lines() == ["of the first", "of the second"]


def test_lines_that_are_not_podmans_are_kept_as_they_are(bench: Bench) -> None:
    with bench.source.open("ab") as file:
        file.write(b"what\n\n" + STAMP + b" stdout F\n")
    bench.write("é".encode() + b"\xff")
    bench.take()
    assert bench.record.log_path
    log = Path(bench.record.log_path).read_bytes().split(b"\n")
    assert [line.partition(b" ")[2] for line in log[:-1]] == [b"what", b"", b"", b"\xc3\xa9\xff"]


@pytest.mark.parametrize("size", [1, 3, 8, 11, 1000])
def test_docker_s_frames_come_in_any_pieces(size: int) -> None:
    texts = [b"2026-11-28T18:27:03.947278370Z one\n", b"", b"x" * 300, b"two\n"]
    sent = b"".join(struct.pack(">B3xI", 1, len(text)) + text for text in texts)
    chunks = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert list(itertools.chain.from_iterable(frames(chunks))) == texts
