"""`--by-module` runs the very tests that would be run without it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ALL_LONG = """
import pytest
pytestmark = pytest.mark.long
@pytest.fixture(scope="session")
def shared():
    yield
def test_a(shared): pass
"""
MIXED = """
import pytest
@pytest.mark.long
def test_long(): pass
def test_short(): pass
def test_shorter(): pass
"""


@pytest.mark.parametrize(
    ("asked", "passed"), [(["-m", "long"], 2), (["-m", "not long"], 5), (["-k", "shorter"], 2)]
)
def test_marks_and_names_are_asked_of_tests(tmp_path: Path, asked: list[str], passed: int) -> None:
    """A module of which nothing is left is between two others, in a directory of its own."""
    for place, text in (
        ("a", MIXED),
        ("b", ALL_LONG),
        ("c", MIXED.replace("@pytest.mark.long", "")),
    ):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"test_{place}.py").write_text(
            text.replace("test_long", f"test_{place}x")
        )
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long\n")
    command = [sys.executable, "-m", "pytest", "-n", "1", "--by-module", "--maxschedchunk", "1"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *asked, str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = dict(re.findall(r"(\d+) (passed|failed|errors?)", done.stdout))
    assert {word: int(count) for count, word in counts.items()} == {"passed": passed}, done.stdout
