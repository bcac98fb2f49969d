"""`inservice model show NAME`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from inservice.cli.aws.warned import warnings_of
from inservice.cli.connection import client, parser_of
from inservice.cli.printing import console, write_warnings
from inservice.cli.times import shown


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `model show`."""
    options = parser_of(prog, "One model: its image, its artifact, its environment.")
    options.add_argument("name")
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the model."""
    model = client(options).describe_model(ModelName=options.name)
    warnings = warnings_of(model)
    model.pop("ResponseMetadata", None)
    if options.output == "json":
        sys.stdout.write(json.dumps(model, indent=4, ensure_ascii=False, default=str) + "\n")
    else:
        _write(model)
    write_warnings(warnings, stderr=options.output == "json")
    return 0


def containers_of(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The containers of a model, however it was given them."""
    return [model["PrimaryContainer"]] if "PrimaryContainer" in model else model["Containers"]


def artifact_of(container: Mapping[str, Any]) -> str:
    """The URI that a container loads; empty if its image brings its model along."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(container.get("ModelDataUrl") or source.get("S3Uri") or "")


def _write(model: Mapping[str, Any]) -> None:
    out = console()
    out.print(model["ModelName"], style="bold", markup=False)
    out.print(f"  arn       {model['ModelArn']}", markup=False)
    out.print(f"  created   {shown(model['CreationTime'])}", markup=False)
    for container in containers_of(model):
        out.print(f"  image     {container.get('Image', '')}", markup=False)
        out.print(f"  artifact  {artifact_of(container) or 'none'}", markup=False)
        for name, value in container.get("Environment", {}).items():
            out.print(f"  env       {name}={value}", markup=False)
