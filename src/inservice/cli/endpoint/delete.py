"""`inservice endpoint delete NAME`."""

from __future__ import annotations

import argparse

from inservice.cli.connection import client, parser_of
from inservice.cli.endpoint.progress import add_waiting, wait_until_gone


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint delete`."""
    options = parser_of(prog, "Delete an endpoint. Its config and its models stay.")
    options.add_argument("name")
    add_waiting(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Delete it; with --wait stay until it is gone."""
    sagemaker = client(options)
    sagemaker.delete_endpoint(EndpointName=options.name)
    return wait_until_gone(sagemaker, options.name, options.timeout) if options.wait else 0
