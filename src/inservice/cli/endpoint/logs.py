"""`inservice endpoint logs NAME`, or `inservice logs NAME`: what its instances print.

CloudWatch Logs has it, and so this command; it is the one that a person wants to type. Before each
line stand its time and its instance, briefly on a terminal, where the line itself needs the room;
in a file or a pipe with the date and the whole name of the stream.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from inservice.cli.connection import client, parser_of
from inservice.cli.log_events import begin_ms, events, moment
from inservice.cli.times import shown_with_ms

GROUP: Final = "/aws/sagemaker/Endpoints/{}"

_HOUR: Final = "1h"

_INSTANCE_MAX: Final = 20
"""Characters for the instance on a terminal; a longer name keeps its end, which has the number."""

Event = dict[str, Any]
"""One of FilterLogEvents's."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint logs`."""
    options = parser_of(prog, "What an endpoint's instances print.")
    options.add_argument("name")
    options.add_argument("-f", "--follow", action="store_true", help="stay, and show what comes")
    options.add_argument(
        "--since",
        type=begin_ms,
        metavar="AGE",
        help="30s, 10m, 2h, 1d, or a time as ISO 8601 has it (1h; with --tail, the beginning)",
    )
    options.add_argument(
        "-n", "--tail", type=_count, metavar="N", help="only the last N lines that are there"
    )
    options.add_argument("--variant", help="only this variant's instances")
    options.add_argument("--grep", metavar="TEXT", help="only lines with this text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the log lines since then; with --follow, those to come as well."""
    begin = options.since
    if begin is None:
        begin = begin_ms(_HOUR) if options.tail is None else 0
    request: dict[str, Any] = {
        "logGroupName": GROUP.format(options.name),
        "startTime": begin,
    }
    if options.variant:
        request["logStreamNamePrefix"] = f"{options.variant}/"
    if options.grep:
        text = options.grep.replace('"', '\\"')
        request["filterPattern"] = f'"{text}"'
    line = briefly() if sys.stdout.isatty() else in_full
    logs = client(options, "logs")
    try:
        for event in events(logs, request, follow=options.follow, tail=options.tail):
            sys.stdout.write(line(event))
            sys.stdout.flush()
    except KeyboardInterrupt:
        if not options.follow:
            raise
        # Ctrl-C is how one stops following, here as in `logs tail`: nothing went wrong.
    return 0


def in_full(event: Event) -> str:
    """A line for a file: `2026-01-02T03:04:05.678Z <stream> said`."""
    time = shown_with_ms(event["timestamp"] / 1000)
    return f"{time} {event['logStreamName']} {event['message'].rstrip()}\n"


def briefly() -> Callable[[Event], str]:
    """Makes lines for a terminal, `03:04:05.678 4-AllTraffic/0 said`, and one for each new day."""
    day: date | None = None

    def line(event: Event) -> str:
        nonlocal day
        at = moment(event["timestamp"])
        before = "" if at.date() == day else f"── {at:%Y-%m-%d} UTC ──\n"
        day = at.date()
        time = shown_with_ms(at)[11:23]
        return f"{before}{time} {_instance(event['logStreamName'])} {event['message'].rstrip()}\n"

    return line


def _instance(stream: str) -> str:
    """Deployment, variant and ordinal of `AllTraffic/1f2e3d-4-AllTraffic/0`: `4-AllTraffic/0`.

    During a deployment both fleets print, so the ordinal alone would not tell one from the other.
    """
    ours = re.fullmatch(r"[^/]+/[0-9a-f]+-(\d+-.+)", stream)
    name = ours[1] if ours else stream
    return name if len(name) <= _INSTANCE_MAX else f"…{name[1 - _INSTANCE_MAX :]}"


def _count(written: str) -> int:
    if not written.isdecimal() or not 1 <= int(written) <= 100_000:
        raise argparse.ArgumentTypeError(f"{written!r} is no number of lines, 1 to 100000")
    return int(written)
