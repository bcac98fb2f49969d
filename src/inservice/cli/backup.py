"""`inservice backup`: everything that cannot be made again, in one file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from inservice.cli import server


def run(argv: list[str]) -> int:
    """0 with the file on disk; 1 with the reason why there is none."""
    parser = server.arguments(
        "backup",
        "Write the records, the metrics and the key of a server to one file. It may run meanwhile.",
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="the backup, which must not exist yet; or a directory, for a file named by the time, "
        "of which the newest INSERVICE_BACKUPS_KEPT are kept (default: all)",
    )
    options = parser.parse_args(argv)
    settings = server.settings_of(options)
    if settings.database_url:
        sys.stderr.write(
            "inservice backup: the records are in PostgreSQL; use pg_dump, and keep "
            f"{settings.data_dir / 'secrets.key'} with what it writes.\n"
        )
        return 1
    from inservice.store.backup import BackupRefused, back_up, forget_older, name_at

    directory = options.file if options.file.is_dir() else None
    target = directory / name_at(time.time()) if directory else options.file
    try:
        size = back_up(settings.data_dir, target)
        if directory is not None:
            forget_older(directory, settings.backups_kept)
    except (BackupRefused, OSError) as refused:
        sys.stderr.write(f"inservice backup: {refused}\n")
        return 1
    sys.stdout.write(
        f"{target}: {size:,} bytes. It has the key that opens the secrets in it: keep it as "
        "safe as a password.\n"
    )
    if settings.storage_dir.is_dir():
        sys.stdout.write(
            f"The objects of S3 are not in it: they are in {settings.storage_dir}, and `aws s3 "
            "sync` copies buckets while the server runs.\n"
        )
    return 0
