"""`inservice config delete NAME`."""

from __future__ import annotations

import argparse

from inservice.cli.connection import client, parser_of


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `config delete`."""
    options = parser_of(prog, "Delete an endpoint config. Endpoints keep their own copy.")
    options.add_argument("name")
    return options


def run(options: argparse.Namespace) -> int:
    """Delete it."""
    client(options).delete_endpoint_config(EndpointConfigName=options.name)
    return 0
