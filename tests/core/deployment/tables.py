"""A plan as the table that it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inservice.deployment.plan import Plan
from inservice.deployment.views.picture import steps


def table_of(plan: Plan, new: Iterable[str]) -> Iterator[str]:
    """One line for every row; a variant each when there are several."""
    for row in steps(plan, new):
        hold = f"  hold {row['HoldSeconds']}" if row["HoldSeconds"] else ""
        parts = [
            f"old {v['OldInstances']}  new {v['NewInstances']}  traffic {v['TrafficPercent']:3.0f}%"
            for v in row["Variants"]
        ]
        yield f"{row['Row']:3d}  {row['Doing']:<17}  {'  |  '.join(parts)}{hold}"
