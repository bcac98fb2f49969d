"""Histories among faults: no rule is broken, and each follows from its seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.depth import seeds
from tests.simulation.history import run
from tests.simulation.noticing import HISTORIES

PARTS = 6
"""Enough that the workers of pytest-xdist share them evenly."""


@pytest.mark.parametrize("part", seeds(PARTS))
def test_no_history_breaks_a_rule(part: int) -> None:
    size = HISTORIES // PARTS
    for seed in range(part * size, (part + 1) * size):
        try:
            run(seed)
        except Exception as broken:
            broken.add_note(f"python -m tests.simulation --seed {seed}")
            raise


def test_a_history_follows_from_its_seed() -> None:
    """In any process: not from addresses, nor from how texts are hashed there."""
    root = Path(__file__).parents[2]
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "4711"],
            env={**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for hashing in ("1", "2")
    ]
    assert len(told[0].splitlines()) > 20
    assert told[0] == told[1]
