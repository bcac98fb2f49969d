"""Whether a history names a planted bug, and which one does so soonest."""

from __future__ import annotations

import time

from tests.simulation.history import run
from tests.simulation.mutants import Mutant, planted
from tests.simulation.rules import Violation

HISTORIES = 42
"""The seeds below are run by the suite without any bug."""

SEEDS_OF_A_MUTANT = 60
"""How many are tried when the seed that noticed a bug the last time does not any more, because
something before it takes another course. `python -m tests.simulation --notice` finds a new one."""


def assert_named(mutant: Mutant) -> None:
    """A rule names the bug. That the harness broke down, or that nothing ended, proves nothing."""
    with planted(mutant):
        seed = next(filter(_is_broken, (mutant.noticed, *range(SEEDS_OF_A_MUTANT))), None)
    assert seed is not None, f"no history of {SEEDS_OF_A_MUTANT} noticed: {mutant.name}"
    if seed >= HISTORIES:  # else `test_histories` runs it
        run(seed)  # without the bug, nothing is broken


def seconds_until_named(mutant: Mutant, seed: int) -> float | None:
    """Of the processor's time; None where this history ends without a word."""
    began = time.process_time()
    try:
        with planted(mutant):
            run(seed)
    except Violation:
        return time.process_time() - began
    return None


def _is_broken(seed: int) -> bool:
    try:
        run(seed)
    except Violation:
        return True
    return False
