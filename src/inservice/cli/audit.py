"""`inservice audit`: who changed what, and who was refused, from the files of the data directory.

It asks no server, and so needs no key and no running one: who may read the data directory may read
the trail.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

from inservice.audit.entry import Entry, line_of, moment
from inservice.audit.reading import Reader
from inservice.cli import server
from inservice.cli.log_events import begin_ms

POLL_SECONDS: Final = 0.5
"""With --follow, between two looks at the files."""


def run(argv: list[str]) -> int:
    """0 with the lines that were asked for; 1 where there is no trail."""
    options = _parse(argv)
    settings = server.settings_of(options)
    if not settings.audit_dir.is_dir():
        sys.stderr.write(f"inservice audit: there is no audit trail in {settings.data_dir}\n")
        return 1
    since = 0.0 if options.since is None else options.since / 1000
    reader = Reader(settings.audit_dir, since)
    wanted, line = _wanted(options, since), _json if options.output == "json" else _text
    try:
        while True:
            for entry in filter(wanted, reader.new()):
                sys.stdout.write(line(entry))
            sys.stdout.flush()
            if not options.follow:
                break
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        if not options.follow:
            raise
    if reader.unreadable:
        sys.stderr.write(f"inservice audit: {reader.unreadable} damaged lines were passed over\n")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = server.arguments(
        "audit", "Who changed what on this server, and who was refused, oldest first."
    )
    parser.add_argument(
        "--since",
        type=begin_ms,
        metavar="AGE",
        help="30s, 10m, 2h, 1d, or a time as ISO 8601 has it (default: all that is kept)",
    )
    parser.add_argument(
        "--who",
        metavar="NAME",
        help="only calls of this user, role, session, access key or ARN; * stands for anything",
    )
    parser.add_argument(
        "--action",
        metavar="NAME",
        help="only calls of this: sagemaker:CreateEndpoint, CreateEndpoint, iam:*",
    )
    parser.add_argument("--denied", action="store_true", help="only what was refused by policies")
    parser.add_argument("-f", "--follow", action="store_true", help="stay, and show what comes")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return parser.parse_args(argv)


def _wanted(options: argparse.Namespace, since: float) -> Callable[[Entry], bool]:
    earliest = moment(since)

    def wanted(entry: Entry) -> bool:
        return (
            entry.time >= earliest
            and (not options.denied or entry.is_denial)
            and (options.who is None or is_of(entry, options.who))
            and (options.action is None or is_action(entry.action, options.action))
        )

    return wanted


def is_of(entry: Entry, who: str) -> bool:
    """Whether a call was made by whoever is named like this."""
    parts = entry.principal.split(":", 5)[-1].split("/")
    names = {entry.principal, entry.access_key_id, *parts, "/".join(parts)}
    return any(fnmatchcase(name, who) for name in names)


def is_action(action: str, pattern: str) -> bool:
    """Whether an action is meant by a pattern, with or without its service; case does not count."""
    action, pattern = action.lower(), pattern.lower()
    return fnmatchcase(action if ":" in pattern else action.partition(":")[2], pattern)


def _json(entry: Entry) -> str:
    """As it stands in the trail."""
    return line_of(entry).decode()


def _text(entry: Entry) -> str:
    who = entry.principal.split(":", 5)[-1]
    resources = [arn.split(":", 5)[-1] for arn in entry.resources]
    resources += [f"and {entry.more_resources} more"] if entry.more_resources else []
    address = f" from {entry.source_address}" if entry.source_address else ""
    more = ""
    if entry.unwritten_before:
        more = f" ({entry.unwritten_before} denials before it were not written)"
    told = " ".join(resources)
    return f"{entry.time} {who} {entry.action} {entry.outcome} {told}{address}{more}\n"
