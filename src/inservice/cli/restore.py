"""`inservice restore`: a data directory out of a backup."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from inservice.cli import server


def run(argv: list[str]) -> int:
    """0 with the records in their place; 1 with the reason, and nothing changed."""
    parser = server.arguments(
        "restore", "Make a data directory of a backup. It must not have records yet."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `inservice backup` wrote")
    options = parser.parse_args(argv)
    data_dir = server.settings_of(options).data_dir
    from inservice.store.backup import BackupRefused, restore
    from inservice.supervision import files

    files.private_directory(data_dir)
    try:
        lock = files.hold(data_dir)
        try:
            manifest = restore(options.file, data_dir)
        finally:
            os.close(lock)
    except (BackupRefused, files.AlreadyRunning, OSError) as refused:
        sys.stderr.write(f"inservice restore: {refused}\n")
        return 1
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(str(manifest["made_at"]))))
    sys.stdout.write(
        f"{data_dir} is as it was at {made}. Start a server on it: inservice up. Artifacts are "
        "fetched again.\n"
    )
    return 0
