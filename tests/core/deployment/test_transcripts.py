"""Golden dialogues with the engine, one for every strategy and every way back.

A block is commands, a line of dashes, and what the engine did. `make golden` rewrites the second
part; what the commands mean is in `stage.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.core.deployment.pages import PLANS
from tests.core.deployment.stage import Stage

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


def played(text: str) -> Iterator[str]:
    """The transcript as it comes out today."""
    stage = Stage()
    for block in text.strip().split("\n\n"):
        commands = block.partition("\n----")[0].splitlines()
        yield from commands
        if all(command.startswith("#") for command in commands):
            yield ""
            continue
        yield "----"
        for command in commands:
            if not command.startswith("#"):
                yield from stage.perform(command)
        yield ""


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    today = "\n".join(played(text))
    if request.config.getoption("--rewrite-golden", default=False):
        path.write_text(today)
    else:
        assert today.splitlines() == text.splitlines()


def test_there_is_one_for_every_strategy_and_every_way_back() -> None:
    names = {path.stem for path in TRANSCRIPTS}
    strategies = {strategy.replace("-", "_") for strategy in PLANS}
    assert strategies <= names
    assert {f"{strategy}_alarm" for strategy in strategies} <= names
