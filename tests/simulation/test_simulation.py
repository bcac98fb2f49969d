"""Twenty thousand histories among faults, and proof that the rules see what they should."""

from __future__ import annotations

import pytest

from tests.simulation.history import run
from tests.simulation.mutants import MUTANTS, Mutant, planted

HISTORIES = 20_000
PARTS = 20
"""Enough that the workers of pytest-xdist share them evenly."""

SEEDS_OF_A_MUTANT = 3_000
"""None has needed more than a third of it."""


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
def test_a_planted_bug_is_caught(mutant: Mutant) -> None:
    with planted(mutant) as history:
        for seed in (mutant.noticed, *range(SEEDS_OF_A_MUTANT)):
            try:
                history.run(seed)
            except Exception:
                return
    pytest.fail(f"no history of {SEEDS_OF_A_MUTANT} noticed: {mutant.name}")


def test_a_history_follows_from_its_seed() -> None:
    first: list[str] = []
    second: list[str] = []
    assert run(4711, first.append) == run(4711, second.append)
    assert first == second
