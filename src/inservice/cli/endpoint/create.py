"""`inservice endpoint create NAME`."""

from __future__ import annotations

import argparse
import sys

from inservice.cli.endpoint.configs import add_config_options, config_for
from inservice.cli.endpoint.connection import client, parser_of
from inservice.cli.endpoint.progress import add_waiting, wait_for


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint create`."""
    options = parser_of(prog, "Create an endpoint for an endpoint config, or for a model.")
    options.add_argument("name")
    add_config_options(options)
    add_waiting(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Create it; with --wait stay until it is InService or Failed."""
    sagemaker = client(options)
    with config_for(sagemaker, options) as config:
        answer = sagemaker.create_endpoint(EndpointName=options.name, EndpointConfigName=config)
    sys.stdout.write(answer["EndpointArn"] + "\n")
    return wait_for(sagemaker, options.name, options.timeout) if options.wait else 0
