"""Proof that the rules see what they should: bugs in what looks, remembers and does."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import SHELL, Mutant
from tests.simulation.noticing import assert_named


@pytest.mark.parametrize("mutant", SHELL, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_named(mutant: Mutant) -> None:
    assert_named(mutant)
