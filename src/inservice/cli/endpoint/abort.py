"""`inservice endpoint abort NAME`: roll back now."""

from __future__ import annotations

import argparse

from inservice.cli.endpoint.controls import control, control_parser


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint abort`."""
    return control_parser(prog, "Roll the deployment back now; with --wait, 0: it is.")


def run(options: argparse.Namespace) -> int:
    """Abort; with --wait stay until it is rolled back, and answer 0 then: it was asked for."""
    return control(options, "abort_deployment", "aborted; rolling back", "RolledBack")
