"""python -m inservice.supervision (--settings FILE | --handover-fd N | --trial-fd N)

What `inservice up --detach` starts, what a running supervisor becomes, and what it asks first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from inservice import config
from inservice.supervision import handover
from inservice.supervision.files import say, why
from inservice.supervision.supervisor import REFUSALS, Supervisor


def main(argv: list[str] | None = None) -> int:
    """Run a server until it is stopped. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="inservice.supervision")
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--handover-fd", type=int, help="go on with what older code hands over")
    parser.add_argument("--trial-fd", type=int, help="only say whether that could be done")
    parser.add_argument("--heartbeat-fd", type=int, help="accepted; a trial has none")
    parser.add_argument("--log-fd", type=int, help="accepted; a trial writes to who asked")
    options = parser.parse_args(argv)
    if options.trial_fd is not None:
        handover.attempt(options.trial_fd)
        return 0
    if options.handover_fd is not None:
        given = handover.take_over(options.handover_fd)
        settings = given.read_settings()
        return _run(settings, lambda: Supervisor(settings).take_over(given))
    settings = config.from_document(msgspec.json.decode(options.settings.read_bytes()))
    return _run(settings, Supervisor(settings).run)


def _run(settings: config.Settings, run: Callable[[], int]) -> int:
    try:
        return run()
    except REFUSALS as refused:
        say(why(settings, refused))
        return 1


if __name__ == "__main__":
    sys.exit(main())
