"""`inservice config create NAME`."""

from __future__ import annotations

import argparse
import sys

from inservice.cli.connection import client, parser_of
from inservice.cli.endpoint.configs import add_variant_options, variant_of
from inservice.cli.hints import next_steps


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `config create`."""
    options = parser_of(
        prog,
        "Create an endpoint config of one variant; `inservice sagemaker create-endpoint-config` "
        "makes those of several.",
    )
    options.add_argument("name")
    options.add_argument("--model", required=True, metavar="NAME", help="what it serves")
    add_variant_options(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Create it."""
    answer = client(options).create_endpoint_config(
        EndpointConfigName=options.name, ProductionVariants=[variant_of(options)]
    )
    sys.stdout.write(answer["EndpointConfigArn"] + "\n")
    next_steps(options, f"endpoint create {options.name} --config {options.name}")
    return 0
