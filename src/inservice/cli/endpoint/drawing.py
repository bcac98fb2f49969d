"""Deployments as text: a timeline of the plan, a bar of its steps. Pure: values in, lines out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from inservice.cli.durations import exactly

TIMELINE_COLUMNS: Final = 60

_LEVELS: Final = " ▁▂▃▄▅▆▇█"
"""A share of the traffic as the height of a block; anything above zero can be seen."""

Step = Mapping[str, Any]
"""A row of PlanDeployment's and DescribeDeployment's Steps."""


def timeline(steps: Sequence[Step], variant: str, columns: int = TIMELINE_COLUMNS) -> list[str]:
    """The traffic of both fleets of a variant over time, and a line of times below.

    A hold takes room by its length; a step without one takes a column, since how long starting and
    stopping last is not known beforehand.
    """
    widths = _widths([step["HoldSeconds"] for step in steps], columns)
    old, new = "", ""
    for step, width in zip(steps, widths, strict=True):
        wants = next(want for want in step["Variants"] if want["VariantName"] == variant)
        traffic = wants["TrafficPercent"]
        old += _level(100 - traffic if wants["OldInstances"] else 0) * width
        new += _level(traffic) * width
    return [f"old  {old}".rstrip(), f"new  {new}".rstrip(), f"     {_times(steps, widths)}"]


def step_bar(steps: Sequence[Step], row: int, cells_max: int = 1000) -> str:
    """What is done, where it is, what is to come: `■■▣□□`; of many steps, as many as there is room
    for."""
    cells = min(len(steps), cells_max)
    at = row * cells // len(steps)
    return "■" * at + "▣" + "□" * (cells - at - 1)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell; never wrapped or cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _widths(holds: Sequence[int], columns: int) -> list[int]:
    whole = sum(holds)
    room = columns - sum(not hold for hold in holds)
    return [max(2, round(hold * room / whole)) if hold else 1 for hold in holds]


def _level(percent: float) -> str:
    return _LEVELS[math.ceil(percent * (len(_LEVELS) - 1) / 100)]


def _times(steps: Sequence[Step], widths: Sequence[int]) -> str:
    """The moments at which holds begin, below where they do, as far as there is room."""
    line, at, told = "", 0, -1
    for step, width in zip(steps, widths, strict=True):
        begins = step["BeginsAfterSeconds"]
        if begins != told and (not line or len(line) < at):
            line = line.ljust(at) + exactly(begins)
            told = begins
        at += width
    whole = steps[-1]["BeginsAfterSeconds"] + steps[-1]["HoldSeconds"]
    return line if whole == told else f"{line.ljust(at)} {exactly(whole)}"
