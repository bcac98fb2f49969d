"""`inservice endpoint promote NAME`: skip the rest of the bake."""

from __future__ import annotations

import argparse

from inservice.cli.endpoint.controls import control, control_parser


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint promote`."""
    return control_parser(prog, "Skip the rest of the present bake.")


def run(options: argparse.Namespace) -> int:
    """Promote; with --wait stay until it is over."""
    return control(options, "promote_deployment", "promoted; the rest of this bake is skipped")
