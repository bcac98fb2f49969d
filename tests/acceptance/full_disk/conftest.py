"""One small volume for each module, with a server on it that each test finds in good order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.full_disk.rig import crowded, volume_with_a_server
from tests.acceptance.server import Server
from tests.volumes import Volume


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
def disk(place: Path) -> Iterator[tuple[Volume, Server]]:
    with volume_with_a_server(place) as made:
        yield made


@pytest.fixture
def volume(disk: tuple[Volume, Server]) -> Volume:
    return disk[0]


@pytest.fixture
def server(disk: tuple[Volume, Server], place: Path) -> Iterator[Server]:
    with crowded(*disk, place) as server:
        yield server


@pytest.fixture(params=["bytes", "inodes"])
def fill(request: pytest.FixtureRequest, volume: Volume) -> Callable[[], None]:
    """What fills the volume, of either kind."""
    return volume.fill if request.param == "bytes" else volume.fill_inodes
