"""`inservice endpoint plan NAME`: what an update will do, before it does it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from inservice.cli.durations import exactly
from inservice.cli.endpoint.connection import own_client, parser_of
from inservice.cli.endpoint.drawing import aligned, timeline
from inservice.cli.endpoint.progress import console
from inservice.cli.endpoint.strategies import add_strategy_options, update_members

_COLUMNS = ("STEP", "DOING", "VARIANT", "OLD", "NEW", "TO NEW", "HOLD", "BEGINS AFTER")


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint plan`."""
    options = parser_of(prog, "What an update will do to an endpoint; nothing is begun.")
    options.add_argument("name")
    options.add_argument(
        "--config", "--endpoint-config-name", required=True, metavar="NAME", help="where to"
    )
    add_strategy_options(options, "--wait")
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the plan."""
    own = own_client(options)
    shape = own.meta.service_model.operation_model("PlanDeployment").input_shape
    plan = own.plan_deployment(
        EndpointName=options.name,
        EndpointConfigName=options.config,
        **update_members(options, shape),
    )
    plan.pop("ResponseMetadata", None)
    if options.output == "json":
        sys.stdout.write(json.dumps(plan, indent=4, ensure_ascii=False) + "\n")
        return 0
    _write(options.name, options.config, plan)
    return 0


def _write(name: str, config: str, plan: Mapping[str, Any]) -> None:
    out = console()
    steps = plan["Steps"]
    out.print(f"{name} → {config}, {plan['Strategy']}", style="bold", markup=False)
    rows = [
        (
            str(step["Row"]),
            step["Doing"],
            want["VariantName"],
            str(want["OldInstances"]),
            str(want["NewInstances"]),
            f"{want['TrafficPercent']:g}%",
            exactly(step["HoldSeconds"]) if step["HoldSeconds"] else "",
            exactly(step["BeginsAfterSeconds"]),
        )
        for step in steps
        for want in step["Variants"]
    ]
    for line in aligned([_COLUMNS, *rows]):
        out.print(line, markup=False)
    for want in steps[0]["Variants"]:
        out.print(f"\ntraffic of {want['VariantName']}", markup=False)
        for line in timeline(steps, want["VariantName"]):
            out.print(f"  {line}", markup=False)
    out.print(
        f"\nat most {plan['PeakInstances']} instances at once · holds {exactly(plan['HoldSeconds'])} "
        f"in all · turns back after {exactly(plan['TimeoutSeconds'])}"
    )
    for alarm in plan.get("Alarms", ()):
        out.print(f"alarm {alarm['AlarmName']}  {alarm['StateValue']}", markup=False)
