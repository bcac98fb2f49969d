"""`inservice endpoint update NAME`."""

from __future__ import annotations

import argparse
import sys

from inservice.cli.connection import client, parser_of
from inservice.cli.endpoint.configs import add_config_options, config_for, lint_what_it_loads
from inservice.cli.endpoint.progress import DONE, add_waiting, after_waiting, wait_for
from inservice.cli.endpoint.strategies import add_strategy_options, update_members
from inservice.cli.hints import next_steps
from inservice.cli.model.linting import add_lint_option


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint update`."""
    options = parser_of(prog, "Move an endpoint to another endpoint config, or another model.")
    options.add_argument("name")
    add_config_options(options)
    add_strategy_options(options)
    add_lint_option(options)
    add_waiting(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Begin the deployment; with --wait stay until it is over (3: it was rolled back)."""
    sagemaker = client(options)
    shape = sagemaker.meta.service_model.operation_model("UpdateEndpoint").input_shape
    extra = update_members(options, shape)
    lint_what_it_loads(sagemaker, options)
    with config_for(sagemaker, options) as config:
        answer = sagemaker.update_endpoint(
            EndpointName=options.name, EndpointConfigName=config, **extra
        )
    sys.stdout.write(answer["EndpointArn"] + "\n")
    if not options.wait:
        next_steps(options, f"endpoint watch {options.name}", f"endpoint abort {options.name}")
        return DONE
    code = wait_for(sagemaker, options.name, options.timeout, config=config)
    next_steps(options, *after_waiting(options.name, code))
    return code
