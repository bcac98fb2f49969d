"""AWS CLI version 2 is the oracle: the same argument line gives the same requests, output and code.

Its answers were recorded (tests/cli/record.py says how); a few lines are run against it live.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.differences import INTENDED, neutral
from tests.cli.lines import LINES, Line
from tests.cli.record import RECORDINGS, rival_version
from tests.cli.recorder import Recorder, recording_server
from tests.cli.runs import prepare, run_ours, run_rival

LIVE = ("create", "refused")
MORE_LIVE = (
    "tags, two",
    "deployment, shorthand",
    "list as yaml-stream",
    "describe as table",
    "missing one option",
    "invoke, headers",
)
"""Lines that are run against the installed AWS CLI too, so that stale recordings are noticed: one
that is answered and one that is not, and more where there is time, since each costs a second."""


@pytest.fixture(scope="module")
def server() -> Iterator[Recorder]:
    with recording_server() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, Any]]:
    lines: dict[str, dict[str, Any]] = json.loads(RECORDINGS.read_text(encoding="utf-8"))["lines"]
    return lines


def _compared(line: Line, outcome: dict[str, Any]) -> dict[str, Any]:
    """What must be equal for this line."""
    intended = INTENDED.get(line.name)
    left_out = intended.fields if intended else frozenset()
    return {name: value for name, value in neutral(outcome).items() if name not in left_out}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_a_line_is_answered_as_aws_cli_answers_it(
    line: Line,
    server: Recorder,
    recorded: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(tmp_path)
    ours = run_ours(line, server, tmp_path, monkeypatch)
    assert _compared(line, ours) == _compared(line, recorded[line.name])


@pytest.mark.parametrize(
    "name", [*LIVE, *(pytest.param(name, marks=pytest.mark.long) for name in MORE_LIVE)]
)
def test_the_installed_aws_cli_still_answers_as_recorded(
    name: str, server: Recorder, recorded: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    version = json.loads(RECORDINGS.read_text(encoding="utf-8"))["version"]
    if rival_version() != version:
        pytest.skip(f"the recordings are of {version}, which is not installed")
    line = next(line for line in LINES if line.name == name)
    prepare(tmp_path)
    assert neutral(run_rival(line, server, tmp_path)) == neutral(recorded[name])


def test_every_intended_difference_is_still_one(recorded: dict[str, dict[str, Any]]) -> None:
    """No entry of the list may outlive its line; each names at least one thing not compared."""
    assert set(INTENDED) <= {line.name for line in LINES}
    assert set(recorded) == {line.name for line in LINES}
    assert all(difference.fields and difference.reason for difference in INTENDED.values())
