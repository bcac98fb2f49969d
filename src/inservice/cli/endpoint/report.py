"""`inservice endpoint report NAME`: what became of every request of a deployment."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from inservice.cli.connection import own_client, parser_of
from inservice.cli.endpoint.drawing import aligned
from inservice.cli.printing import console

_COUNTS = {
    "REQUESTS": "Invocations",
    "SERVED": "Served",
    "MODEL ERRORS": "ModelErrors",
    "GATEWAY ERRORS": "GatewayErrors",
    "CLIENT LEFT": "Abandoned",
    "RETRIED": "Retried",
}


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint report`."""
    options = parser_of(prog, "What became of every request of a deployment, by step and fleet.")
    options.add_argument("name")
    options.add_argument("--deployment", metavar="ID", help="which; `history` lists them (latest)")
    options.add_argument("--output", choices=("table", "json"), default="table")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the report."""
    only = {"DeploymentId": options.deployment} if options.deployment else {}
    report = own_client(options).describe_deployment_report(EndpointName=options.name, **only)
    report.pop("ResponseMetadata", None)
    if options.output == "json":
        sys.stdout.write(json.dumps(report, indent=4, ensure_ascii=False) + "\n")
    else:
        _write(report)
    return 0


def _write(report: Mapping[str, Any]) -> None:
    out = console()
    outcome = report.get("Outcome", "still going on")
    title = f"{report['EndpointName']}  deployment {report['DeploymentId']}  {outcome}"
    out.print(title, style="bold", markup=False)
    if reason := report.get("Reason"):
        out.print(reason, style="red", markup=False)
    rows = [("STEP", "DOING", "FLEET", *_COUNTS)]
    for line in report["Lines"]:
        back = "back " if line["Direction"] == "Back" else ""
        place = (f"{back}{line['Row']}", line.get("Doing", ""), line["Role"])
        rows.append((*place, *_counts(line)))
    for text in aligned([*rows, ("all", "", "", *_counts(report))]):
        out.print(text, markup=False)
    under_way = f", {report['UnderWay']} under way" if report["UnderWay"] else ""
    style = "bold red" if report["Dropped"] else "green"
    out.print(f"{report['Dropped']} dropped{under_way}", style=style)


def _counts(line: Mapping[str, Any]) -> list[str]:
    return [str(line[member]) for member in _COUNTS.values()]
