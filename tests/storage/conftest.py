"""What the tests of S3's operations are run over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inservice.blobs.base import Blobs
from inservice.blobs.disk.store import open_blobs
from tests.storage import asking


# The contract of stores says the same of both in fewer words.
@pytest.fixture(params=["memory", pytest.param("disk", marks=pytest.mark.long)])
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Objects in memory, and on a disk: operations answer alike over both."""
    opened: list[Blobs] = []

    def on_disk(now: Callable[[], float]) -> Blobs:
        opened.append(open_blobs(tmp_path / f"objects-{len(opened)}", now=now))
        return opened[-1]

    if request.param == "disk":
        monkeypatch.setattr(asking, "made", on_disk)
    yield request.param
    for each in opened:
        each.close()
