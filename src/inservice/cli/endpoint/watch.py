"""`inservice endpoint watch NAME`: its deployment, live.

On a terminal one picture that fills it and is drawn anew for every change and every size; when it
is over, or was interrupted, the last picture stays below the prompt, with the evidence. Elsewhere a
plain line per change, which is `endpoint wait`. Both end when the deployment does, with the code of
its end. Ctrl-C ends the watching only.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from inservice.cli.connection import following_client, parser_of
from inservice.cli.endpoint.following import Picture, code_of, follow, pictures, report_of
from inservice.cli.endpoint.live_view import drawn
from inservice.cli.endpoint.progress import add_waiting
from inservice.cli.printing import console

_HOW_TO_LEAVE: Final = "Ctrl-C ends the watching; the deployment goes on."

_NUMBERS: Final = (
    *("TrafficPercent", "RequestsPerSecond", "ErrorPercent"),
    *("LatencyP50", "LatencyP99"),
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint watch`."""
    options = parser_of(prog, "Watch an endpoint's deployment until it is over.")
    options.add_argument("name")
    add_waiting(options, always=True)
    return options


def run(options: argparse.Namespace) -> int:
    """Show the deployment until it is over."""
    own = following_client(options)
    # Not rich's question: FORCE_COLOR, which builds set, asks for colours and not for a picture.
    if not sys.stdout.isatty() or os.environ.get("TERM") in ("dumb", None):
        return follow(own, options.name, options.timeout)
    out = console()
    memory = Memory()
    picture: Picture = {}
    try:
        # A screen of its own: what is drawn over in place is torn apart when the size changes.
        with Live(console=out, auto_refresh=False, screen=True) as live:
            for seen in pictures(own, options.name, options.timeout):
                picture = memory.completed(seen)
                live.update(_full_screen(out, picture), refresh=True)
    finally:
        if picture:
            report = report_of(own, picture)
            lines = drawn(picture, time.time(), out.width, out.height, report)
            out.print(*lines, sep="\n", soft_wrap=False)
    if "Outcome" not in picture:
        sys.stderr.write(f"{options.name} is still {picture['EndpointStatus']}\n")
    return code_of(picture)


def _full_screen(out: Console, picture: Picture) -> Group:
    width, height = out.size
    lines = drawn(picture, time.time(), width, height - 1)
    lines += [Text("")] * (height - 1 - len(lines))
    return Group(*lines[: height - 1], Text(_HOW_TO_LEAVE, style="dim", no_wrap=True))


class Memory:
    """The last numbers of a new fleet that is gone: after a rollback they are the evidence."""

    def __init__(self) -> None:
        self._deployment = ""
        self._new: dict[str, dict[str, Any]] = {}

    def completed(self, picture: Picture) -> Picture:
        """The picture with a row for each new fleet that was there and was turned back from."""
        if picture["DeploymentId"] != self._deployment:
            self._deployment, self._new = picture["DeploymentId"], {}
        for fleet in picture["Fleets"]:
            if fleet["Role"] == "new":
                self._new[fleet["FleetId"]] = _with_numbers(fleet, self._new)
        there = {fleet["FleetId"] for fleet in picture["Fleets"]}
        turned_back = picture["Phase"] == "RollingBack" or picture.get("Outcome") == "RolledBack"
        gone = [
            {**fleet, "ReadyInstances": 0, "DesiredInstances": 0, "Instances": [], "LastSeen": True}
            for name, fleet in self._new.items()
            if name not in there and turned_back
        ]
        return {**picture, "Fleets": [*gone, *picture["Fleets"]]}


def _with_numbers(fleet: dict[str, Any], before: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A fleet that answers nothing now, with what it last answered."""
    if "ErrorPercent" in fleet or fleet["FleetId"] not in before:
        return fleet
    last = before[fleet["FleetId"]]
    return {**fleet, **{name: last[name] for name in _NUMBERS if name in last}}
