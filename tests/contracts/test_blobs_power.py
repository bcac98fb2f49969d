"""The power is cut, at each sync and after each call: what was acknowledged is there, and whole."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from inservice.blobs.base import Attributes
from inservice.blobs.disk import arriving, files
from inservice.blobs.disk.store import open_blobs
from tests.depth import seeds

from .blobs_kit import BUCKET, bucket, check_records, got, keys, put, put_part
from .platter import Platter

STEPS = 40
KEYS = 4
IN_RECORD = 8


@pytest.mark.parametrize("seed", seeds(12))
def test_a_cut_leaves_the_old_object_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(arriving, "IN_RECORD_BYTES", IN_RECORD)
    monkeypatch.setattr(files, "FILES_IN_A_DIRECTORY", 3)
    monkeypatch.setattr(files, "FORGOTTEN_AT_ONCE", 4)
    draw = random.Random(seed)
    platter = Platter(tmp_path / "objects")
    platter.watch(monkeypatch)
    blobs = open_blobs(platter.directory)
    blobs.create_bucket(bucket())
    acknowledged: dict[str, bytes] = {}
    under_way: dict[str, bytes | None] = {}
    cuts = 0

    def cut() -> None:
        nonlocal cuts
        cuts += 1
        check(platter, tmp_path / f"cut-{cuts}", acknowledged, under_way)

    def sometimes() -> None:
        if draw.random() < 0.3:
            platter.moments.remove(sometimes)  # what is opened to be looked at syncs as well
            cut()
            platter.moments.append(sometimes)

    platter.moments.append(sometimes)
    for _ in range(STEPS):
        key, data = str(draw.randrange(KEYS)), draw.randbytes(draw.randrange(3 * IN_RECORD))
        match draw.choice(("put", "put", "parts", "copy", "delete", "discard")):
            case "put":
                under_way[key] = data
                put(blobs, key, data)
                acknowledged[key] = data
            case "parts":
                upload = blobs.begin_upload(BUCKET, key, Attributes(""), None, "COMPOSITE")
                put_part(blobs, upload, 1, data)
                given = put_part(blobs, upload, 1, data[::-1])
                under_way[key] = data[::-1]
                blobs.complete(upload, [given], None)
                acknowledged[key] = data[::-1]
            case "copy" if acknowledged:
                source = draw.choice(sorted(acknowledged))
                stored = blobs.stored(BUCKET, source)
                under_way[key] = acknowledged[source]
                blobs.copy(stored, BUCKET, key, stored.attributes)
                acknowledged[key] = acknowledged[source]
            case "delete":
                under_way[key] = None
                blobs.delete(BUCKET, [key])
                acknowledged.pop(key, None)
            case _:
                incoming = blobs.incoming(BUCKET)
                incoming.write(data)
                incoming.discard()
        under_way.clear()
        if draw.random() < 0.2:
            sometimes()
    platter.moments.clear()
    cut()
    blobs.close()
    cut()
    assert cuts > STEPS // 8, "it was hardly cut at all: nothing is shown"


def check(
    platter: Platter,
    place: Path,
    acknowledged: dict[str, bytes],
    under_way: dict[str, bytes | None],
) -> None:
    """Open what is left, and look."""
    platter.left(place)
    blobs = open_blobs(place)
    now = {key: got(blobs, key) for key in keys(blobs)}
    blobs.close()
    check_records(place)
    for key in {*now, *acknowledged, *under_way}:
        may_be = {acknowledged.get(key), under_way.get(key, acknowledged.get(key))}
        assert now.get(key) in may_be, f"{key}: lost, or a mixture"
    shutil.rmtree(place)
