"""`inservice recover`: what to do with a data directory that a server refuses."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from inservice.cli import server


def run(argv: list[str]) -> int:
    """0 when a server would start now; 3 when it would not; 1 when nothing could be looked at."""
    parser = server.arguments(
        "recover",
        "Say what is wrong with the records of a stopped server, and what can be done. Without an "
        "option nothing is changed; with one, nothing is overwritten or deleted.",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--accept-loss",
        action="store_true",
        help="go on with what there is; the rest is moved to lost-<time> in the data directory",
    )
    choice.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write every record that can be read, as lines of JSON; secrets are left out",
    )
    options = parser.parse_args(argv)
    settings = server.settings_of(options)
    if settings.database_url or not settings.data_dir.is_dir():
        where = "PostgreSQL" if settings.database_url else f"{settings.data_dir}: no such directory"
        sys.stderr.write(f"inservice recover: nothing to look at in {where}.\n")
        return 1
    from inservice.supervision import files

    try:
        lock = files.hold(settings.data_dir)
    except (files.AlreadyRunning, OSError) as running:
        sys.stderr.write(f"inservice recover: {running}\n")
        return 1
    try:
        if options.export is not None:
            return _export(settings.data_dir, options.export)
        return _recover(settings.data_dir, accept=options.accept_loss)
    finally:
        os.close(lock)


def _recover(data_dir: Path, *, accept: bool) -> int:
    from inservice.store.recovery import accept_loss, diagnose

    found = diagnose(data_dir)
    if found.trouble is None:
        sys.stdout.write(f"A server can start on {data_dir}: inservice up\n")
        return 0
    sys.stdout.write(f"{found.trouble}\n\n")
    if accept:
        kept = accept_loss(data_dir, time.time())
        sys.stdout.write(f"What was there is in {kept}. A server can start: inservice up\n")
        return 0
    rows = f"{found.readable:,} rows can be read" if found.database else "There is no database"
    sys.stdout.write(
        f"{rows}{f', {found.lost:,} acknowledged commits are missing' if found.lost else ''}.\n"
        "What can be done, best first:\n"
        "  put back the file that is missing or old, if you have it\n"
        "  inservice restore FILE --data-dir ANOTHER   a backup, into another directory\n"
        "  inservice recover --export FILE             what can be read, as lines of JSON\n"
        "  inservice recover --accept-loss             go on with what there is; the rest is kept\n"
    )
    return 3


def _export(data_dir: Path, target: Path) -> int:
    from inservice.store.backup import DATABASE
    from inservice.store.recovery import as_line, readable

    if not (data_dir / DATABASE).is_file():
        sys.stderr.write(f"inservice recover: there is no database in {data_dir}.\n")
        return 1
    count = 0
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            for row in readable(data_dir / DATABASE):
                file.write(as_line(row) + "\n")
                count += 1
    except OSError as error:
        sys.stderr.write(f"inservice recover: {target}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{target}: {count:,} records\n")
    return 0
