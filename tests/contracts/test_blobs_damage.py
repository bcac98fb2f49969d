"""Bits turn, blocks are lost, files are cut short or taken away: nothing else than what was written
is answered, and nothing is swept on a doubt."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from inservice.blobs.base import Attributes, Blobs
from inservice.blobs.disk.store import open_blobs
from inservice.blobs.errors import BlobsRefused
from inservice.errors import InternalFailure
from inservice.s3_errors import NoSuchKey
from tests.depth import seeds

from .blobs_kit import BUCKET, bucket, files, got, keys, put, put_in_parts, put_part

LARGE = bytes(range(256)) * 300
DAMAGED = "damaged"


def grow(directory: Path) -> Iterator[Path]:
    """A store with something of everything: closed, and as it was when it was open."""
    blobs = open_blobs(directory)
    blobs.create_bucket(bucket())
    for number in range(30):
        put(blobs, f"small/{number:02}", bytes([number]) * 100 * number)
    blobs.close()
    blobs = open_blobs(directory)
    for number in range(3):
        stored = put(blobs, f"large/{number}", LARGE[number:])
    blobs.copy(stored, BUCKET, "copy", stored.attributes)
    put_in_parts(blobs, "parted", [LARGE])
    upload = blobs.begin_upload(BUCKET, "under way", Attributes(""), None, "COMPOSITE")
    put_part(blobs, upload, 1, LARGE)
    killed = directory.with_name("killed")
    shutil.copytree(directory, killed)
    blobs.close()
    yield directory
    yield killed


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(grow(tmp_path_factory.mktemp("grown") / "closed"))


def ask(blobs: Blobs) -> Mapping[str, object]:
    """Everything, each by itself."""
    asked: dict[str, Callable[[], object]] = {
        "bucket": lambda: blobs.bucket(BUCKET),
        "list": lambda: keys(blobs),
        "page": lambda: blobs.page(BUCKET, delimiter="/"),
        "uploads": lambda: blobs.uploads(BUCKET),
        "parts": lambda: blobs.parts(blobs.uploads(BUCKET).uploads[0]),
    }
    for kind, count in (("small/{:02}", 30), ("large/{}", 3), ("copy", 1), ("parted", 1)):
        for number in range(count):
            key = kind.format(number)
            asked[f"get {key}"] = lambda key=key: (blobs.stored(BUCKET, key), got(blobs, key))  # type: ignore[misc]
    answers: dict[str, object] = {}
    for what, question in asked.items():
        try:
            answers[what] = question()
        except (InternalFailure, OSError):
            answers[what] = DAMAGED
        except NoSuchKey:
            answers[what] = None
    return answers


def harm(directory: Path, draw: random.Random) -> str:
    """Do something to a file of the records."""
    names = [p.name for p in directory.iterdir() if p.is_file() and p.suffix != ".lock"]
    name = draw.choice([each for each in names if not each.endswith("-shm")])
    content = bytearray((directory / name).read_bytes())
    kind = draw.choice(("bits", "block", "cut", "gone"))
    if kind == "gone":
        (directory / name).unlink()
        return f"{name} {kind}"
    if kind == "cut":
        del content[draw.randrange(len(content) + 1) :]
    for _ in range(draw.randint(1, 4) if content and kind != "cut" else 0):
        place = draw.randrange(len(content))
        if kind == "bits":
            content[place] ^= 1 << draw.randrange(8)
        else:
            content[place : place + 512] = bytes(len(content[place : place + 512]))
    (directory / name).write_bytes(content)
    return f"{name} {kind}"


@pytest.mark.parametrize("seed", seeds(150))
def test_no_damage_is_answered_from(specimens: list[Path], tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    whole = tmp_path / "whole"
    specimen = specimens[seed % len(specimens)]
    shutil.copytree(specimen, whole)
    blobs = open_blobs(whole)
    expected = ask(blobs)
    blobs.close()
    place = tmp_path / "harmed"
    shutil.copytree(specimen, place)
    done = harm(place, draw)
    there = len(files(place))
    try:
        blobs = open_blobs(place)
    except BlobsRefused:
        assert len(files(place)) == there, f"{done}: swept, and refused"
        return
    answers = ask(blobs)
    blobs.close()
    others = {what for what, answer in answers.items() if answer not in (expected[what], DAMAGED)}
    # A bit that turned in a key takes the object away from where it was; a listing comes upon it.
    moved = {what for what in others if answers[what] is None and answers["list"] == DAMAGED}
    assert not others - moved, f"{done}: {sorted(others)}"
