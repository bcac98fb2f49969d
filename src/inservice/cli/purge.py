"""`inservice down --purge`: what a server has kept is removed, and nothing that it has not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from inservice.config import Settings
from inservice.supervision import files

MARKS: Final = ("inservice.db", "secrets.key")
"""A data directory has one of them; a directory with neither is somebody's own."""

OURS: Final = (
    *("inservice.db", "metrics.db", "secrets.key", "credentials.json", "metrics.token"),
    *("endpoint.json", "deployment-webhook.json", "records.mark", "metrics.mark"),
    *("lock", "reserve", "artifacts", "audit", "logs", "run", "storage", "containers"),
    *("exec-ca.pem", "role-sessions.json", "images.json", "environments"),
)
"""What a server makes; what belongs to a file, or becomes it, has its name and an ending."""


def is_agreed(settings: Settings, *, asking: bool) -> bool:
    """Whether this may be purged: it is a data directory, has nothing else in it, and whoever is
    at the terminal says yes. Says why not."""
    data_dir = settings.data_dir
    if settings.database_url:  # without secrets.key its keys could never be opened again
        return _refuse("the records are in a database of their own, which is not removed here")
    if not data_dir.exists():
        return True  # nothing is left to remove
    strange = sorted(entry.name for entry in data_dir.iterdir() if not is_ours(entry.name))
    if not any((data_dir / mark).exists() for mark in MARKS) or data_dir.is_symlink():
        return _refuse(f"{data_dir} is no data directory of InService")
    if strange:
        return _refuse(f"{data_dir} has what InService has not put there: {', '.join(strange[:5])}")
    if not asking:
        return True
    if not sys.stdin.isatty():
        return _refuse("nobody can be asked here; --yes goes on without asking")
    sys.stderr.write(
        f"All models, configs, endpoints, objects, metrics, logs and keys in {data_dir} will be "
        "gone.\n"
        "Remove them? [y/N] "
    )
    sys.stderr.flush()
    agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    return agreed or _refuse("nothing was stopped or removed")


def remove(settings: Settings) -> int:
    """Remove the data directory and the run directory of a server that is stopped."""
    if not settings.data_dir.exists():
        sys.stdout.write(f"There is no {settings.data_dir}.\n")
        return 0
    try:
        lock = files.hold(settings.data_dir)  # nobody starts one meanwhile
    except files.AlreadyRunning as new:
        _refuse(str(new))
        return 1
    try:
        shutil.rmtree(settings.run_dir, ignore_errors=True)
        # What makes it a data directory goes last: what was interrupted can be begun again.
        names = [entry.name for entry in settings.data_dir.iterdir() if is_ours(entry.name)]
        for name in sorted(names, key=lambda name: (name == "lock", name in MARKS)):
            _remove(settings.data_dir / name)
        settings.data_dir.rmdir()
    except OSError as left:
        _refuse(f"not everything could be removed: {left}")
        return 1
    finally:
        os.close(lock)
    sys.stdout.write(f"Removed {settings.data_dir}.\n")
    return 0


def is_ours(name: str) -> bool:
    """Whether a server has made what has this name in its data directory."""
    if name in OURS:
        return True
    endings = (".db", ".json", ".token", ".mark", ".key", ".pem", "reserve")
    beside = [own for own in OURS if own.endswith(endings)]
    return name.startswith("lost-") or any(name.startswith((f"{o}-", f"{o}.")) for o in beside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse(why: str) -> bool:
    sys.stderr.write(f"inservice down --purge: {why}\n")
    return False
