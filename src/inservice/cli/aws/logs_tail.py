"""`inservice logs tail GROUP`: AWS CLI's own addition to CloudWatch Logs."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from inservice.cli.aws.failures import Refused
from inservice.cli.aws.globals import Globals
from inservice.cli.aws.pager import is_colored
from inservice.cli.aws.parsing import Parser
from inservice.cli.aws.session import Session
from inservice.cli.log_events import events, moment, since_ms

_FORMATS: Final = ("detailed", "short", "json")
_GREEN: Final = "\x1b[32m{}\x1b[0m"
_CYAN: Final = "\x1b[36m{}\x1b[0m"

HELP: Final = """\
NAME
   tail -

DESCRIPTION
   Print the events of a log group, by default those of the last ten minutes.

SYNOPSIS
     tail <group_name>
   [--since <value>]   from when on: an age such as 10m or 2h, or an ISO 8601 timestamp
   [--follow]          stay, and print what comes
   [--format <value>]  detailed, short, or json (messages that are JSON are spread out)
   [--filter-pattern <value>]
   [--log-stream-names <value> ...]
   [--log-stream-name-prefix <value>]
   [<global options>]
"""


def run_tail(words: list[str], session: Session, options: Globals) -> int:
    """Answer `logs tail`."""
    if words in (["help"], ["--help"]):
        sys.stdout.write(HELP)
        return 0
    parser = Parser()
    parser.add_argument("group_name")
    parser.add_argument("--since", default="10m")
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--format", default="detailed", choices=list(_FORMATS))
    parser.add_argument("--filter-pattern")
    parser.add_argument("--log-stream-names", nargs="+")
    parser.add_argument("--log-stream-name-prefix")
    given, rest = parser.parse_known_args(words)
    if rest:
        raise Refused(f"Unknown options: {', '.join(rest)}")
    request: dict[str, Any] = {
        "logGroupName": given.group_name,
        "interleaved": True,
        "startTime": since_ms(given.since),
        "filterPattern": given.filter_pattern,
        "logStreamNames": given.log_stream_names,
        "logStreamNamePrefix": given.log_stream_name_prefix,
    }
    request = {member: value for member, value in request.items() if value is not None}
    colored = is_colored(options.color, sys.stdout)
    client = session.client("logs", "logs.tail")
    try:
        for event in events(client, request, follow=given.follow):
            sys.stdout.write(_line(event, given.format, colored=colored))
            sys.stdout.flush()
    except KeyboardInterrupt:
        if not given.follow:
            raise
        # Ctrl-C is how one stops following: nothing went wrong.
    return 0


def _line(event: dict[str, Any], form: str, *, colored: bool) -> str:
    green, cyan = (_GREEN, _CYAN) if colored else ("{}", "{}")
    time, message = moment(event["timestamp"]), event["message"]
    if form == "short":
        return f"{green.format(time.strftime('%Y-%m-%dT%H:%M:%S'))} {message}".rstrip() + "\n"
    stream = cyan.format(event.get("logStreamName", ""))
    if form == "json":
        return f"{green.format(time.isoformat())} {stream} {_spread(message)}".rstrip() + "\n"
    shown = green.format(time.isoformat(timespec="microseconds"))
    return f"{shown} {stream} {message}".rstrip() + "\n"


def _spread(message: str) -> str:
    """A message that is JSON, on lines of its own; any other as it is."""
    try:
        return "\n" + json.dumps(json.loads(message), indent=4)
    except ValueError:
        return message
