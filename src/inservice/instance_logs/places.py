"""Where the log files of an instance are, and how names become names of files."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from urllib.parse import quote

FILE_NAME_BYTES = 200
"""A file name ends at 255 bytes; this leaves room for our suffixes and the temporary one."""


def log_path(
    log_dir: Path, account: str, region: str, endpoint: str, variant: str, instance_id: str
) -> Path:
    """Where the output of an instance goes."""
    *directories, file = map(quoted, (account, region, endpoint, variant, instance_id))
    return log_dir.joinpath(*directories, f"{file}.log")


@functools.lru_cache(maxsize=4096)
def quoted(instance_id: str) -> str:
    """A file name for an id, injective: no separator, no dot, never too long."""
    name = quote(instance_id, safe="").replace(".", "%2E")
    if len(name) <= FILE_NAME_BYTES:
        return name
    return f"{name[: FILE_NAME_BYTES - 33]}-{hashlib.sha256(instance_id.encode()).hexdigest()[:32]}"


def short(instance_id: str) -> str:
    """A name of twenty characters for an id: a UNIX socket's path ends at 107 bytes."""
    return hashlib.sha256(instance_id.encode()).hexdigest()[:20]
