"""Proof that the rules see what they should: bugs in what decides."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import CORE, MUTANTS, Mutant, planted
from tests.simulation.noticing import assert_named


@pytest.mark.parametrize("mutant", CORE, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_named(mutant: Mutant) -> None:
    assert_named(mutant)


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
