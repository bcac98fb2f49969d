"""`inservice endpoint create NAME`."""

from __future__ import annotations

import argparse
import sys

from inservice.cli.connection import client, parser_of
from inservice.cli.endpoint.configs import add_config_options, config_for, lint_what_it_loads
from inservice.cli.endpoint.progress import DONE, add_waiting, after_waiting, wait_for
from inservice.cli.hints import next_steps
from inservice.cli.model.linting import add_lint_option


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint create`."""
    options = parser_of(prog, "Create an endpoint for an endpoint config, or for a model.")
    options.add_argument("name")
    add_config_options(options)
    add_lint_option(options)
    add_waiting(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Create it; with --wait stay until it is InService or Failed."""
    sagemaker = client(options)
    lint_what_it_loads(sagemaker, options)
    with config_for(sagemaker, options) as config:
        answer = sagemaker.create_endpoint(EndpointName=options.name, EndpointConfigName=config)
    sys.stdout.write(answer["EndpointArn"] + "\n")
    if not options.wait:
        next_steps(options, f"endpoint watch {options.name}")
        return DONE
    code = wait_for(sagemaker, options.name, options.timeout)
    next_steps(options, *after_waiting(options.name, code))
    return code
