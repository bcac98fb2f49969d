"""`inservice endpoint plan NAME`: what an update will do, before it does it."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from inservice.cli.connection import own_client, parser_of
from inservice.cli.durations import exactly, seconds_of
from inservice.cli.endpoint.configs import add_config_options, where_to
from inservice.cli.endpoint.drawing import aligned, timeline
from inservice.cli.endpoint.strategies import add_strategy_options, update_members
from inservice.cli.hints import next_steps, without_where
from inservice.cli.model.linting import add_lint_option
from inservice.cli.printing import console

_COLUMNS = ("STEP", "DOING", "VARIANT", "OLD", "NEW", "TO NEW", "HOLD", "BEGINS AFTER")


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint plan`."""
    options = parser_of(prog, "What an update will do to an endpoint; nothing is begun.")
    options.add_argument("name")
    add_config_options(options)
    add_strategy_options(options)
    as_update = options.add_argument_group("as update takes it, where nothing is begun")
    as_update.add_argument("--wait", action="store_true", help="there is nothing to wait for")
    as_update.add_argument("--timeout", type=seconds_of, metavar="TIME", help="the same")
    add_lint_option(as_update)
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the plan."""
    own = own_client(options)
    shape = own.meta.service_model.operation_model("PlanDeployment").input_shape
    plan = own.plan_deployment(
        EndpointName=options.name,
        **where_to(options),
        **update_members(options, shape),
    )
    plan.pop("ResponseMetadata", None)
    if options.output == "json":
        sys.stdout.write(json.dumps(plan, indent=4, ensure_ascii=False) + "\n")
        return 0
    _write(options.name, options.config or f"model {options.model}", plan)
    next_steps(options, f"endpoint update {shlex.join(without_where(options.words))}")
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
        f"\nat most {plan['PeakInstances']} instances at once"
        f" · holds {exactly(plan['HoldSeconds'])} in all"
        f" · turns back after {exactly(plan['TimeoutSeconds'])}"
    )
    for alarm in plan.get("Alarms", ()):
        out.print(f"alarm {alarm['AlarmName']}  {alarm['StateValue']}", markup=False)
