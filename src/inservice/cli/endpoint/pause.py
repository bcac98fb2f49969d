"""`inservice endpoint pause NAME`: stay on the present step."""

from __future__ import annotations

import argparse

from inservice.cli.endpoint.controls import control, control_parser


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint pause`."""
    return control_parser(prog, "Stay on the present step. Alarms and failures still roll back.")


def run(options: argparse.Namespace) -> int:
    """Pause; with --wait stay until someone has resumed it and it is over."""
    return control(
        options, "pause_deployment", "paused; resume goes on, promote skips the rest of the bake"
    )
