"""`inservice config show NAME`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from inservice.cli.aws.warned import warnings_of
from inservice.cli.connection import client, parser_of
from inservice.cli.endpoint.drawing import aligned
from inservice.cli.printing import console, write_warnings
from inservice.cli.times import shown


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `config show`."""
    options = parser_of(prog, "One endpoint config: its variants, their models and instances.")
    options.add_argument("name")
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the endpoint config."""
    config = client(options).describe_endpoint_config(EndpointConfigName=options.name)
    warnings = warnings_of(config)
    config.pop("ResponseMetadata", None)
    if options.output == "json":
        sys.stdout.write(json.dumps(config, indent=4, ensure_ascii=False, default=str) + "\n")
    else:
        _write(config)
    write_warnings(warnings, stderr=options.output == "json")
    return 0


def _write(config: Mapping[str, Any]) -> None:
    out = console()
    out.print(config["EndpointConfigName"], style="bold", markup=False)
    out.print(f"  arn      {config['EndpointConfigArn']}", markup=False)
    out.print(f"  created  {shown(config['CreationTime'])}", markup=False)
    rows = [("VARIANT", "MODEL", "INSTANCES", "TYPE", "WEIGHT")]
    rows += [
        (
            variant["VariantName"],
            variant.get("ModelName", ""),
            str(variant.get("InitialInstanceCount", "")),
            variant.get("InstanceType", ""),
            f"{variant.get('InitialVariantWeight', 1.0):g}",
        )
        for variant in config["ProductionVariants"]
    ]
    for line in aligned(rows):
        out.print(f"  {line}", markup=False)
