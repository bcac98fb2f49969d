"""A run directory that a server gives itself has room for the sockets of every runtime."""

from __future__ import annotations

from pathlib import Path

from inservice.config import Settings
from inservice.runtimes.oci.records import Places as OciPlaces
from inservice.runtimes.process.records import Places as ProcessPlaces


def test_however_long_the_path_of_a_data_directory_is() -> None:
    inside = 0
    for length in range(1, 300):
        settings = Settings(Path("/" + "d" * length))
        ProcessPlaces(settings.run_dir)
        OciPlaces(settings.run_dir, settings.containers_dir)
        inside += settings.run_dir.is_relative_to(settings.data_dir)
    assert 20 < inside < 107, "paths of both kinds were tried"
