"""`inservice endpoint show NAME`: the endpoint as AWS describes it, and its deployment as it is."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from inservice.cli.aws.warned import warnings_of
from inservice.cli.connection import client, own_client, parser_of
from inservice.cli.durations import spelled
from inservice.cli.endpoint.following import fleet_line
from inservice.cli.endpoint.progress import doing, style_of
from inservice.cli.endpoint.verdicts import headline
from inservice.cli.printing import console, write_warnings
from inservice.cli.times import epoch_of, shown


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint show`."""
    options = parser_of(prog, "One endpoint: its status, its variants, what it is doing now.")
    options.add_argument("name")
    options.add_argument(
        "--output",
        choices=("text", "json"),
        default="text",
        help="json: what DescribeEndpoint answers, and DescribeDeployment's answer as Deployment",
    )
    return options


def run(options: argparse.Namespace) -> int:
    """Print the endpoint."""
    endpoint = client(options).describe_endpoint(EndpointName=options.name)
    warnings = warnings_of(endpoint)
    endpoint.pop("ResponseMetadata", None)
    deployment, instances = _deployment(options), _instances(options)
    if options.output == "json":
        whole = {**endpoint, **({"Deployment": deployment} if deployment else {})}
        sys.stdout.write(json.dumps(whole, indent=4, ensure_ascii=False, default=str) + "\n")
    else:
        _write(endpoint, deployment, instances)
    write_warnings(warnings, stderr=options.output == "json")
    return 0


def _deployment(options: argparse.Namespace) -> Mapping[str, Any]:
    """Its deployment; nothing where the server is AWS, which has no such operation."""
    try:
        answer = own_client(options).describe_deployment(EndpointName=options.name)
    except (ClientError, BotoCoreError):
        return {}
    if "DeploymentId" not in answer:
        return {}
    answer.pop("ResponseMetadata", None)
    picture: Mapping[str, Any] = answer
    return picture


def _instances(options: argparse.Namespace) -> Sequence[Mapping[str, Any]]:
    """Its instances that hold something of this host, by their types; nothing where the server is
    AWS, or somebody asks who may not know."""
    try:
        seen = own_client(options).describe_server().get("Instances", ())
    except (ClientError, BotoCoreError):
        return ()
    own = (each for each in seen if each["EndpointName"] == options.name)
    return [each for each in own if each.get("InstanceType")]


def _write(
    endpoint: Mapping[str, Any],
    deployment: Mapping[str, Any],
    instances: Sequence[Mapping[str, Any]],
) -> None:
    out = console()
    status = endpoint["EndpointStatus"]
    out.print(f"[bold]{escape(endpoint['EndpointName'])}[/]  [{style_of(status)}]{status}[/]")
    out.print(f"  arn         {endpoint['EndpointArn']}", markup=False)
    out.print(f"  config      {endpoint.get('EndpointConfigName', '')}", markup=False)
    out.print(f"  created     {shown(endpoint['CreationTime'])}", markup=False)
    out.print(f"  changed     {shown(endpoint['LastModifiedTime'])}", markup=False)
    for variant in endpoint.get("ProductionVariants", []):
        out.print(f"  variant     {_variant(variant)}", markup=False)
    for instance in instances:
        its = (instance["InstanceType"], *instance.get("GpuUuids", ()))
        out.print(f"  instance    {instance['VariantName']}  {'  '.join(its)}", markup=False)
    if deployment:
        _write_deployment(out, deployment, time.time())
    elif "PendingDeploymentSummary" in endpoint:
        out.print(f"  now         {doing(dict(endpoint))}", markup=False)
    if reason := endpoint.get("FailureReason"):
        out.print(f"  reason      {reason}", style="red", markup=False)


def _write_deployment(out: Console, picture: Mapping[str, Any], now: float) -> None:
    """What it is doing, or did last: how, where to, at which step, with which traffic."""
    words, style = headline(picture)
    out.print(f"  deployment  {words}", style=style, markup=False)
    out.print(f"  strategy    {picture['Strategy']}  ({picture['DeploymentId']})", markup=False)
    if "Outcome" in picture:
        return
    steps, row = picture["Steps"], picture["Row"]
    place = f"{row}/{len(steps) - 1} {steps[row]['Doing']}"
    if "HoldEndsAt" in picture:
        left = max(0.0, epoch_of(picture["HoldEndsAt"]) - now)
        place += f", {spelled(left)} of {spelled(steps[row]['HoldSeconds'])} left"
    out.print(f"  step        {place}", markup=False)
    if picture["Paused"]:
        out.print("  paused      by hand; inservice endpoint resume goes on", style="yellow")
    for fleet in picture["Fleets"]:
        out.print(f"  traffic     {fleet_line(fleet)}", markup=False)
    for alarm in picture.get("Alarms", ()):
        out.print(f"  alarm       {alarm['AlarmName']} {alarm['StateValue']}", markup=False)


def _variant(variant: Mapping[str, Any]) -> str:
    ready, wanted = variant.get("CurrentInstanceCount"), variant.get("DesiredInstanceCount")
    weight = variant.get("CurrentWeight")
    parts = [variant["VariantName"]]
    if wanted is not None:
        parts.append(f"{ready or 0}/{wanted} instances")
    if weight is not None:
        parts.append(f"weight {weight:g}")
    return "  ".join([*parts, *(status["Status"] for status in variant.get("VariantStatus", []))])
