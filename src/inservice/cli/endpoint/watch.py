"""`inservice endpoint watch NAME`: its deployment, live.

On a terminal one picture that is drawn anew in place; elsewhere a plain line per change, which is
`endpoint wait`. Both end when the deployment does, with the code of its end. Ctrl-C ends the
watching only.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from inservice.cli.durations import spelled
from inservice.cli.endpoint.connection import client, own_client, parser_of
from inservice.cli.endpoint.drawing import step_bar
from inservice.cli.endpoint.following import (
    Picture,
    add_following,
    follow,
    line_of,
    pictures,
    told,
)
from inservice.cli.endpoint.progress import console, style_of
from inservice.cli.endpoint.readings import Reading, read

_READ_SECONDS: Final = 2.0
"""Between two questions to CloudWatch: a datapoint is ten seconds long."""

_FLEET_COLUMNS: Final = (
    *("FLEET", "VARIANT", "CONFIG", "INSTANCES", "TRAFFIC"),
    *("REQ/S", "ERRORS", "P50", "P99"),
)
_ALARM_STYLES: Final = {"OK": "green", "ALARM": "bold red"}


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint watch`."""
    options = parser_of(prog, "Watch an endpoint's deployment until it is over.")
    options.add_argument("name")
    add_following(options, wait=False)
    return options


def run(options: argparse.Namespace) -> int:
    """Show the deployment until it is over."""
    own = own_client(options)
    # Not rich's question: FORCE_COLOR, which builds set, asks for colours and not for a picture.
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return follow(own, options.name, options.timeout)
    cloudwatch = client(options, "cloudwatch")
    readings: dict[str, Reading] = {}
    read_at = -_READ_SECONDS
    picture: Picture = {}
    with Live(console=console(), auto_refresh=False) as live:
        for picture in pictures(own, options.name, options.timeout):
            if (now := time.monotonic()) >= read_at + _READ_SECONDS:
                read_at, readings = now, _read(cloudwatch, picture, readings)
            live.update(drawn(picture, readings, time.time()), refresh=True)
    return told(picture)


def drawn(picture: Picture, readings: dict[str, Reading], now: float) -> RenderableType:
    """The whole picture at a moment, epoch seconds."""
    parts: list[RenderableType] = [
        _title(picture),
        _place(picture, now),
        _fleets(picture, readings),
    ]
    for alarm in picture.get("Alarms", ()):
        state = alarm["StateValue"]
        parts.append(
            Text.assemble(
                f"alarm {alarm['AlarmName']}  ", (state, _ALARM_STYLES.get(state, "yellow"))
            )
        )
    if reason := picture.get("Reason"):
        parts.append(Text(reason, style="red"))
    return Group(*parts)


def _read(cloudwatch: Any, picture: Picture, before: dict[str, Reading]) -> dict[str, Reading]:
    """New readings; the former ones while metrics cannot be had."""
    try:
        return read(cloudwatch, picture["EndpointName"], picture["Fleets"])
    except (BotoCoreError, ClientError):
        return before


def _title(picture: Picture) -> Text:
    source, target = picture.get("FromEndpointConfigName"), picture.get("ToEndpointConfigName")
    status = picture["EndpointStatus"]
    return Text.assemble(
        (picture["EndpointName"], "bold"),
        "  ",
        (status, style_of(status)),
        f"  {picture['Strategy']}  {' → '.join(name for name in (source, target) if name)}",
    )


def _place(picture: Picture, now: float) -> Text:
    if "Outcome" in picture:
        return Text(line_of(picture))
    steps, row = picture["Steps"], picture["Row"]
    step = steps[row]
    text = f"{step_bar(steps, row)}  step {row}/{len(steps) - 1} {step['Doing']}"
    if picture["Paused"]:
        text += "  paused by hand"
    elif "HoldEndsAt" in picture:
        left = _epoch(picture["HoldEndsAt"]) - now
        text += f"  {spelled(left)} of {spelled(step['HoldSeconds'])} left"
    return Text(text)


def _fleets(picture: Picture, readings: dict[str, Reading]) -> Table:
    table = Table(*_FLEET_COLUMNS, box=None, pad_edge=False, header_style="bold")
    for fleet in picture["Fleets"]:
        reading = readings.get(fleet["FleetId"], Reading(0.0, None, None, None))
        table.add_row(
            fleet["Role"],
            fleet["VariantName"],
            fleet["EndpointConfigName"],
            f"{fleet['ReadyInstances']}/{fleet['DesiredInstances']}",
            f"{fleet['TrafficPercent']:g}%",
            f"{reading.requests_per_second:.1f}",
            _number(reading.error_percent, "%"),
            _number(reading.latency_ms_p50, " ms"),
            _number(reading.latency_ms_p99, " ms"),
        )
    return table


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.1f}{unit}"


def _epoch(written: str) -> float:
    return datetime.fromisoformat(written).astimezone(UTC).timestamp()
