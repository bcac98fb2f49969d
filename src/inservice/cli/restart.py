"""`inservice restart`: everything but the instances anew, by the code that is installed now."""

from __future__ import annotations

from inservice.cli.reload import ask


def run(argv: list[str]) -> int:
    """0 when the supervisor, control and every worker run the code that is installed now; 1 when no
    server runs, or the new code does not serve: then what could not be replaced serves on."""
    return ask(
        "restart",
        "Restart everything but the instances, without a failed request: how to go on with a newer "
        "version that was installed over this one.",
        argv,
    )
