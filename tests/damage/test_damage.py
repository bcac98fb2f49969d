"""A hundred and twenty damages, and a thousand where there is time; `make damage` does ten
thousand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.damage.harm import Specimen, grow, harm, judge

SEEDS = 60


@pytest.fixture(scope="module", params=[False, True], ids=["stopped", "killed"])
def specimen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Specimen:
    return grow(tmp_path_factory.mktemp("specimen"), killed=request.param)


@pytest.mark.parametrize(
    "seeds", [range(SEEDS), pytest.param(range(SEEDS, 500), marks=pytest.mark.long)], ids=str
)
def test_no_damage_is_ever_an_answer(specimen: Specimen, tmp_path: Path, seeds: range) -> None:
    ends: Counter[str] = Counter()
    for seed in seeds:
        directory = tmp_path / str(seed)
        done = harm(specimen, directory, seed)
        try:
            ends[judge(specimen, directory)] += 1
        except BaseException as wrong:
            wrong.add_note(f"seed {seed}: {done}")
            raise
    assert min(ends[end] for end in ("identical", "refused", "set aside")) > 0, ends
