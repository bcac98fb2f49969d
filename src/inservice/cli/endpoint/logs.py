"""`inservice endpoint logs NAME`, or `inservice logs NAME`: what its instances print.

CloudWatch Logs has it, and so this command; it is the one that a person wants to type.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import datetime
from typing import Any, Final

from inservice.cli.endpoint.connection import client, parser_of
from inservice.cli.log_events import events, moment, since_ms

GROUP: Final = "/aws/sagemaker/Endpoints/{}"


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint logs`."""
    options = parser_of(prog, "What an endpoint's instances print.")
    options.add_argument("name")
    options.add_argument("-f", "--follow", action="store_true", help="stay, and show what comes")
    options.add_argument(
        "--since",
        type=_moment_ms,
        default="1h",
        metavar="AGE",
        help="30s, 10m, 2h, 1d (1h), or a time as ISO 8601 has it",
    )
    options.add_argument("--variant", help="only this variant's instances")
    options.add_argument("--grep", metavar="TEXT", help="only lines with this text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the log lines since then; with --follow, those to come as well."""
    request: dict[str, Any] = {
        "logGroupName": GROUP.format(options.name),
        "startTime": options.since,
    }
    if options.variant:
        request["logStreamNamePrefix"] = f"{options.variant}/"
    if options.grep:
        text = options.grep.replace('"', '\\"')
        request["filterPattern"] = f'"{text}"'
    try:
        for event in events(client(options, "logs"), request, follow=options.follow):
            time = moment(event["timestamp"]).isoformat(timespec="milliseconds")
            sys.stdout.write(f"{time} {event['logStreamName']} {event['message'].rstrip()}\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        if not options.follow:
            raise
        # Ctrl-C is how one stops following, here as in `logs tail`: nothing went wrong.
    return 0


def _moment_ms(written: str) -> int:
    """The type of --since: wrong usage must end as such, before anything is asked. Stricter than
    `logs tail`, which reads `5min` as five minutes after midnight, as AWS CLI does."""
    try:
        if not re.fullmatch(r"\d+[smhdw]", written):
            datetime.fromisoformat(written)
        return max(0, since_ms(written))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{written!r} is no age and no time; write 30s, 10m, 2h, 1d or 2026-01-02T03:04:05Z"
        ) from error
