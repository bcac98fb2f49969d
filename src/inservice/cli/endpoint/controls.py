"""What pause, resume, promote, abort and undo have in common: one call, one line, one wait."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from inservice.cli.connection import following_client, own_client, parser_of
from inservice.cli.endpoint import progress
from inservice.cli.endpoint.following import follow
from inservice.cli.endpoint.progress import add_waiting
from inservice.cli.hints import next_steps

_NEXT: Final = {
    "pause_deployment": ("resume", "promote", "abort"),
    "resume_deployment": ("watch",),
    "promote_deployment": ("watch",),
    "abort_deployment": ("watch",),
    "undo_deployment": ("watch",),
}
"""What one would do next, by what was done."""


def control_parser(prog: str, summary: str) -> argparse.ArgumentParser:
    """The options of a hand control."""
    options = parser_of(prog, summary)
    options.add_argument("name")
    add_waiting(options)
    return options


def control(options: argparse.Namespace, operation: str, outcome: str, wanted: str = "Done") -> int:
    """Call the operation and say `outcome`; with --wait, 0 when the deployment ends as `wanted`."""
    own = own_client(options)
    answer = getattr(own, operation)(EndpointName=options.name)
    sys.stdout.write(f"{options.name}: {outcome} (deployment {answer['DeploymentId']})\n")
    if not options.wait:
        next_steps(options, *(f"endpoint {verb} {options.name}" for verb in _NEXT[operation]))
        return progress.DONE
    code = follow(following_client(options), options.name, options.timeout)
    if wanted == "RolledBack" and code == progress.ROLLED_BACK:
        return progress.DONE
    return code
