"""Histories among faults, and proof that the rules see what they should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.history import run
from tests.simulation.mutants import MUTANTS, Mutant, planted
from tests.simulation.rules import Violation

HISTORIES = 42
PARTS = 6
"""Enough that the workers of pytest-xdist share them evenly."""

SEEDS_OF_A_MUTANT = 60
"""How many are tried when the seed that noticed a bug the last time does not any more, because
something before it takes another course."""


@pytest.mark.parametrize("part", range(PARTS))
def test_no_history_breaks_a_rule(part: int) -> None:
    size = HISTORIES // PARTS
    for seed in range(part * size, (part + 1) * size):
        try:
            run(seed)
        except Exception as broken:
            broken.add_note(f"python -m tests.simulation --seed {seed}")
            raise


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_named(mutant: Mutant) -> None:
    """By a rule. That the harness broke down, or that nothing ended, would prove nothing."""
    with planted(mutant):
        seed = next(filter(_is_broken, (mutant.noticed, *range(SEEDS_OF_A_MUTANT))), None)
    assert seed is not None, f"no history of {SEEDS_OF_A_MUTANT} noticed: {mutant.name}"
    if seed >= HISTORIES:  # else it was run above
        run(seed)  # without the bug, nothing is broken


def _is_broken(seed: int) -> bool:
    try:
        run(seed)
    except Violation:
        return True
    return False


def test_nothing_stays_planted() -> None:
    before = {mutant.name: planted_code(mutant) for mutant in MUTANTS}
    for mutant in MUTANTS:
        with planted(mutant):
            assert planted_code(mutant) != before[mutant.name]
    assert {mutant.name: planted_code(mutant) for mutant in MUTANTS} == before


def planted_code(mutant: Mutant) -> dict[str, object]:
    """Whatever code the mutant's module has now, by function."""
    found: dict[str, object] = {}
    for name, value in vars(mutant.module).items():
        members = vars(value).items() if isinstance(value, type) else ((name, value),)
        found.update({f"{name}.{n}": v.__code__ for n, v in members if hasattr(v, "__code__")})
    return found


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
