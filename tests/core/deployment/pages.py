"""The generated parts of docs/concepts: tables, timelines and the state diagram, from the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.core.deployment.makers import fleet_of
from tests.core.deployment.tables import table_of

from inservice.deployment.plan import (
    Change,
    Plan,
    all_at_once,
    canary,
    linear,
    rolling,
    way_back,
)
from inservice.deployment.policy import CapacitySize, CapacitySizeType
from inservice.deployment.views.picture import hold_seconds, peak_instances, steps
from inservice.hosting.endpoint import MOVES

CHANGE = Change((fleet_of("old", 4),), (fleet_of("new", 4),))
NEW = ["new"]

ONE = CapacitySize(CapacitySizeType.INSTANCE_COUNT, 1)
TWO = CapacitySize(CapacitySizeType.INSTANCE_COUNT, 2)

PLANS = {
    "all-at-once": all_at_once(CHANGE, wait_seconds=600),
    "canary": canary(CHANGE, size=ONE, bake_seconds=300, wait_seconds=600),
    "linear": linear(CHANGE, step=ONE, bake_seconds=300, wait_seconds=600),
    "rolling": rolling(CHANGE, batch=ONE, bake_seconds=300),
}
"""Each strategy on four instances, in steps of one."""


def back(plan: Plan, row: int, batch: CapacitySize | None) -> Plan:
    """The way back from a row."""
    here = plan[row]
    return way_back(CHANGE, sizes=here.sizes, shares=here.shares, batch=batch)


def table(plan: Plan) -> Iterator[str]:
    """The plan, and what it costs."""
    yield "```text"
    yield from table_of(plan, NEW)
    yield "```"
    yield ""
    waiting = f", {hold_seconds(plan)} seconds of waiting in all" if hold_seconds(plan) else ""
    yield f"At most {peak_instances(plan)} instances at once{waiting}."


CELL = 5
"""Columns of a step that takes as long as it takes."""

SECONDS_OF_A_COLUMN = 60


def timeline(plan: Plan) -> Iterator[str]:
    """Traffic and instances over time; a column of a bake is a minute."""
    rows = steps(plan, NEW)
    widths = [CELL + row["HoldSeconds"] // SECONDS_OF_A_COLUMN for row in rows]
    cells = [row["Variants"][0] for row in rows]
    yield "```text"
    for level in sorted({cell["TrafficPercent"] for cell in cells} - {0.0}, reverse=True):
        bars = [
            ("█" if cell["TrafficPercent"] >= level else "·") * width
            for cell, width in zip(cells, widths, strict=True)
        ]
        yield f"traffic {level:3.0f} %  {''.join(bars)}"
    for side in ("Old", "New"):
        counts = [
            str(cell[f"{side}Instances"]).ljust(width)
            for cell, width in zip(cells, widths, strict=True)
        ]
        yield f"{side.lower()} instances  {''.join(counts)}".rstrip()
    numbers = [str(row["Row"]).ljust(width) for row, width in zip(rows, widths, strict=True)]
    yield f"row            {''.join(numbers)}".rstrip()
    yield "```"


def diagram() -> Iterator[str]:
    """Every legal move of EndpointStatus."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    for before, moves in MOVES.items():
        for after in sorted(moves, key=str):
            yield f"    {before or '[*]'} --> {after or '[*]'}"
    yield "```"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "states": diagram,
    "rollback rolling": lambda: table(back(PLANS["rolling"], 11, TWO)),
    "rollback rolling at once": lambda: table(back(PLANS["rolling"], 11, None)),
    "rollback blue/green": lambda: table(back(PLANS["canary"], 4, None)),
    **{f"table {name}": lambda plan=plan: table(plan) for name, plan in PLANS.items()},  # type: ignore[misc]
    **{f"timeline {name}": lambda plan=plan: timeline(plan) for name, plan in PLANS.items()},  # type: ignore[misc]
}
"""What can stand between `<!-- generated: NAME -->` and `<!-- end -->`."""
