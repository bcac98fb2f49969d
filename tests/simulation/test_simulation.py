"""Thousands of histories among faults, and proof that the rules see what they should."""

from __future__ import annotations

import pytest

from tests.simulation.history import run
from tests.simulation.mutants import MUTANTS, Mutant, planted

HISTORIES = 20_000
HISTORIES_AT_A_TIME = 1_000
HISTORIES_OF_MAKE_TEST = 5_000
"""Five times what the most hidden of the planted bugs has needed; the others are for test-all."""

SEEDS_OF_A_MUTANT = 3_000
"""None has needed more than a third of it."""

BEGINNINGS = [
    pytest.param(first, marks=[pytest.mark.long] if first >= HISTORIES_OF_MAKE_TEST else [])
    for first in range(0, HISTORIES, HISTORIES_AT_A_TIME)
]


@pytest.mark.parametrize("first", BEGINNINGS)
def test_no_history_breaks_a_rule(first: int) -> None:
    for seed in range(first, first + HISTORIES_AT_A_TIME):
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
