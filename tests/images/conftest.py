"""Environments of whole frameworks are built once, and kept from run to run."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from inservice.images.environments.built import BuiltEnvironments
from inservice.images.environments.places import Places


@pytest.fixture(scope="session")
def environments_dir() -> Path:
    """Where they are: IMAGES_DIR, else the user's cache directory."""
    chosen = os.environ.get("IMAGES_DIR")
    made = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("inservice-tests"))
    made.mkdir(parents=True, exist_ok=True)
    Places(made).make()
    return made


@pytest.fixture
def environments(environments_dir: Path) -> BuiltEnvironments:
    """Who builds them, as control has it."""
    return BuiltEnvironments(environments_dir)


def share_environments(data_dir: Path, environments_dir: Path) -> None:
    """Have a server that is about to be started find what other tests have had built."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "environments").symlink_to(environments_dir, target_is_directory=True)
