"""`inservice endpoint undo NAME`: back to the config before."""

from __future__ import annotations

import argparse

from inservice.cli.endpoint.controls import control, control_parser


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint undo`."""
    return control_parser(prog, "Begin an update back to the config that it had before.")


def run(options: argparse.Namespace) -> int:
    """Undo; with --wait stay until it is over."""
    return control(options, "undo_deployment", "undoing; updating back to the previous config")
