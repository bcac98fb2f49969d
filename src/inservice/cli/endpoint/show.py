"""`inservice endpoint show NAME`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.markup import escape

from inservice.cli.endpoint.connection import client, parser_of
from inservice.cli.endpoint.progress import console, doing, style_of


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint show`."""
    options = parser_of(prog, "One endpoint: its status, its variants, what it is doing now.")
    options.add_argument("name")
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the endpoint."""
    endpoint = client(options).describe_endpoint(EndpointName=options.name)
    endpoint.pop("ResponseMetadata", None)
    if options.output == "json":
        sys.stdout.write(json.dumps(endpoint, indent=4, ensure_ascii=False, default=str) + "\n")
        return 0
    _write(endpoint)
    return 0


def _write(endpoint: dict[str, Any]) -> None:
    out = console()
    status = endpoint["EndpointStatus"]
    out.print(f"[bold]{escape(endpoint['EndpointName'])}[/]  [{style_of(status)}]{status}[/]")
    out.print(f"  arn      {endpoint['EndpointArn']}", markup=False)
    out.print(f"  config   {endpoint.get('EndpointConfigName', '')}", markup=False)
    out.print(f"  created  {endpoint['CreationTime']}", markup=False)
    out.print(f"  changed  {endpoint['LastModifiedTime']}", markup=False)
    for variant in endpoint.get("ProductionVariants", []):
        out.print(f"  variant  {_variant(variant)}", markup=False)
    if now := doing(endpoint) if "PendingDeploymentSummary" in endpoint else "":
        out.print(f"  now      {now}", markup=False)
    if reason := endpoint.get("FailureReason"):
        out.print(f"  reason   {reason}", style="red", markup=False)


def _variant(variant: dict[str, Any]) -> str:
    ready, wanted = variant.get("CurrentInstanceCount"), variant.get("DesiredInstanceCount")
    weight = variant.get("CurrentWeight")
    parts = [variant["VariantName"]]
    if wanted is not None:
        parts.append(f"{ready or 0}/{wanted} instances")
    if weight is not None:
        parts.append(f"weight {weight:g}")
    return "  ".join([*parts, *(status["Status"] for status in variant.get("VariantStatus", []))])
