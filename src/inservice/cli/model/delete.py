"""`inservice model delete NAME`."""

from __future__ import annotations

import argparse

from inservice.cli.connection import client, parser_of


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `model delete`."""
    options = parser_of(prog, "Delete a model. Its artifact and the endpoints that serve it stay.")
    options.add_argument("name")
    return options


def run(options: argparse.Namespace) -> int:
    """Delete it."""
    client(options).delete_model(ModelName=options.name)
    return 0
