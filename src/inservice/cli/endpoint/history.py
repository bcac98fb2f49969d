"""`inservice endpoint history NAME`: what its deployments did, and when; newest last."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from inservice.cli.connection import own_client, parser_of
from inservice.cli.endpoint.drawing import aligned
from inservice.cli.times import shown

_COLUMNS = ("TIME", "DEPLOYMENT", "STEP", "WHAT")


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint history`."""
    options = parser_of(prog, "What an endpoint's deployments did, and when; newest last.")
    options.add_argument("name")
    options.add_argument("--deployment", metavar="ID", help="only of this one")
    options.add_argument(
        "--output",
        choices=("table", "json"),
        default="table",
        help="json: the events as AWS's EventBridge delivers them",
    )
    return options


def run(options: argparse.Namespace) -> int:
    """Print the events."""
    only = {"DeploymentId": options.deployment} if options.deployment else {}
    events = list(_events(own_client(options), EndpointName=options.name, **only))
    if options.output == "json":
        told = [json.loads(event["Event"]) for event in events]
        sys.stdout.write(json.dumps(told, indent=4, ensure_ascii=False) + "\n")
        return 0
    rows = [(shown(e["At"]), e["DeploymentId"], str(e["Row"]), e["What"]) for e in events]
    sys.stdout.writelines(f"{line}\n" for line in aligned([_COLUMNS, *rows]))
    return 0


def _events(own: Any, **request: str) -> Iterator[dict[str, Any]]:
    """Every page."""
    while True:
        page = own.list_deployment_events(**request)
        yield from page["Events"]
        if "NextToken" not in page:
            return
        request["NextToken"] = page["NextToken"]
