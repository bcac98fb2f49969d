"""`inservice endpoint logs NAME`, or `inservice logs NAME`: what its instances print.

CloudWatch Logs has it, and so this command; it is the one that a person wants to type.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from inservice.cli.endpoint.connection import client, parser_of
from inservice.cli.log_events import events, moment, since_ms

GROUP: Final = "/aws/sagemaker/Endpoints/{}"


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint logs`."""
    options = parser_of(prog, "What an endpoint's instances print.")
    options.add_argument("name")
    options.add_argument("-f", "--follow", action="store_true", help="stay, and show what comes")
    options.add_argument("--since", default="1h", metavar="AGE", help="30s, 10m, 2h, 1d (1h)")
    options.add_argument("--variant", help="only this variant's instances")
    options.add_argument("--grep", metavar="TEXT", help="only lines with this text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the log lines since then; with --follow, those to come as well."""
    request: dict[str, Any] = {
        "logGroupName": GROUP.format(options.name),
        "startTime": since_ms(options.since),
    }
    if options.variant:
        request["logStreamNamePrefix"] = f"{options.variant}/"
    if options.grep:
        request["filterPattern"] = f'"{options.grep}"'
    for event in events(client(options, "logs"), request, follow=options.follow):
        time = moment(event["timestamp"]).isoformat(timespec="milliseconds")
        sys.stdout.write(f"{time} {event['logStreamName']} {event['message'].rstrip()}\n")
        sys.stdout.flush()
    return 0
