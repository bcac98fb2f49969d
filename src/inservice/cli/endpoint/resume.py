"""`inservice endpoint resume NAME`: go on after a pause."""

from __future__ import annotations

import argparse

from inservice.cli.endpoint.controls import control, control_parser


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint resume`."""
    return control_parser(prog, "Go on after a pause, with what is left of the bake.")


def run(options: argparse.Namespace) -> int:
    """Resume; with --wait stay until it is over."""
    return control(options, "resume_deployment", "resumed")
