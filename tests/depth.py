"""How far tests go that draw what they do by chance: in `make test`, and where there is time.

What a property or a seeded history finds, it finds mostly among the first; the rest is for faults
that nobody has met yet, and those come with a change. `make test` draws a third, anew each time;
`make test-all` draws everything. What goes on for hours has commands of its own: see
CONTRIBUTING.md.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

DEEP = "TESTS_DEEP"
"""Set by `make test-all`, where it runs the properties again with all their examples."""

SHALLOW = 3
"""Of so many one is drawn in `make test`."""


def examples(number: int) -> int:
    """How many a property is tried on, of `number` in all."""
    return number if os.environ.get(DEEP) else -(-number // SHALLOW)


def seeds(number: int) -> list[Any]:
    """Arguments for `parametrize`: so many seeds, of which all but the first are marked long."""
    few = -(-number // SHALLOW)
    return [*range(few), *(pytest.param(n, marks=pytest.mark.long) for n in range(few, number))]
