"""A backup: one file that has everything that cannot be fetched or trained again.

It is a gzipped tar of the two databases, each as it was at one moment (SQLite's own online backup,
so a server may run and change them meanwhile), the key that opens the secrets, the images that were
added, and `manifest.json` with a digest of each. It appears under its name when it is whole and on
the platter, or not at all.

Restoring is safe to be killed in and to be done again: the database is moved into its place last,
and a data directory that has everything but its database is refused by a server, never begun anew.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import inservice
from inservice import disk
from inservice.store.drivers.directory import MARK

DATABASE = "inservice.db"
METRICS = "metrics.db"
KEY = "secrets.key"
IMAGES = "images.json"
MANIFEST = "manifest.json"
_FORMAT = 1
_RESTORING = "restoring"
_NAMED = re.compile(r"inservice-\d{8}T\d{6}Z\.tar\.gz")
_BYTES_AT_ONCE = 1024 * 1024


class BackupRefused(Exception):
    """It cannot be made or used; the message says why. Nothing was changed."""


def back_up(data_dir: Path, target: Path) -> int:
    """Write a backup of a data directory to a file. Gives its size in bytes.

    Raises BackupRefused, and OSError where the file cannot be written.
    """
    if not (data_dir / DATABASE).is_file():
        raise BackupRefused(f"There is no {DATABASE} in {data_dir}: nothing to back up.")
    if target.exists():
        raise BackupRefused(f"{target} exists already; a backup never overwrites one.")
    descriptor, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as scratch:
            parts = list(_snapshots(data_dir, Path(scratch)))
            with os.fdopen(descriptor, "wb") as file:
                _write(file, parts)
                file.flush()
                os.fsync(file.fileno())
        # A link, not a rename: of two backups under one name the second is refused.
        os.link(draft, target)
    except FileExistsError:
        raise BackupRefused(f"{target} exists already; a backup never overwrites one.") from None
    except sqlite3.Error as error:
        raise BackupRefused(f"The database cannot be read: {error}.") from error
    finally:
        Path(draft).unlink(missing_ok=True)
    disk.sync_directory(target.parent)
    return target.stat().st_size


def name_at(now: float) -> str:
    """How a backup in a directory of backups is called."""
    return f"inservice-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}.tar.gz"


def forget_older(directory: Path, kept: int) -> None:
    """Remove all but the newest `kept` backups of a directory, by name; 0 keeps all."""
    found = sorted(p for p in directory.iterdir() if _NAMED.fullmatch(p.name))
    for older in found[:-kept] if kept else ():
        older.unlink()


def restore(source: Path, data_dir: Path) -> dict[str, object]:
    """Make a data directory of a backup, or go on where an earlier try was cut short. Gives the
    manifest.

    Raises BackupRefused for a file that is not a whole backup, and for a directory that has records
    already. The directory must not be in use.
    """
    if (data_dir / DATABASE).exists():
        raise BackupRefused(
            f"{data_dir} has records already. Restore into another directory (--data-dir), or move "
            "this one away."
        )
    draft = data_dir / _RESTORING
    parts = {each.name for each in data_dir.iterdir()} & {KEY, METRICS, MARK}
    if parts and not draft.exists():
        raise BackupRefused(
            f"{', '.join(sorted(parts))} in {data_dir} belong to a database that is not there. "
            'See "inservice recover", or restore into another directory (--data-dir).'
        )
    draft.mkdir(mode=0o700, exist_ok=True)
    manifest = _unpack(source, draft)
    for name in (MARK, f"{MARK}.new"):
        (data_dir / name).unlink(missing_ok=True)
    for name in (IMAGES, METRICS, KEY, DATABASE):  # the database last: see the theory
        if (draft / name).exists():
            (draft / name).replace(data_dir / name)
            disk.sync_directory(data_dir)
    draft.rmdir()
    return manifest


def _snapshots(data_dir: Path, scratch: Path) -> Iterator[Path]:
    for name in (DATABASE, METRICS):
        if not (data_dir / name).is_file():
            continue
        with (
            closing(_reading(data_dir / name)) as source,
            closing(sqlite3.connect(scratch / name)) as copy,
        ):
            source.backup(copy)
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise BackupRefused(f"{name} is damaged: {found}. A backup would be worth little.")
        yield scratch / name
    key = scratch / KEY
    key.write_bytes((data_dir / KEY).read_bytes())
    yield key
    if (data_dir / IMAGES).is_file():
        images = scratch / IMAGES
        images.write_bytes((data_dir / IMAGES).read_bytes())
        yield images


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)


def _write(file: io.BufferedWriter, parts: list[Path]) -> None:
    manifest = {
        "format": _FORMAT,
        "version": inservice.__version__,
        "made_at": time.time(),
        "parts": {
            part.name: {"bytes": part.stat().st_size, "sha256": _digest(part)} for part in parts
        },
    }
    with (
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        content = json.dumps(manifest, indent=2).encode()
        first = tarfile.TarInfo(MANIFEST)
        first.size, first.mode = len(content), 0o600
        archive.addfile(first, io.BytesIO(content))
        for part in parts:
            member = tarfile.TarInfo(part.name)
            member.size, member.mode = part.stat().st_size, 0o600
            with part.open("rb") as content_file:
                archive.addfile(member, content_file)


def _unpack(source: Path, draft: Path) -> dict[str, object]:
    """The parts of a backup, each held against its digest before any of them is used."""
    with _opened(source) as archive:
        first = archive.next()
        if first is None or first.name != MANIFEST or first.size > _BYTES_AT_ONCE:
            raise BackupRefused(f"{source} is not a backup of InService.")
        manifest = json.loads(_content(archive, first).read())
        if manifest.get("format") != _FORMAT:
            raise BackupRefused(f"{source} is of a format that this version does not know.")
        missing = dict(manifest["parts"])
        while (member := archive.next()) is not None:
            expected = missing.pop(member.name, None)
            if (
                expected is None
                or not member.isfile()
                or member.name not in (DATABASE, METRICS, KEY, IMAGES)
            ):
                raise BackupRefused(f"{source} has a part that no backup has: {member.name!r}.")
            _copy(_content(archive, member), draft / member.name)
            if _digest(draft / member.name) != expected["sha256"]:
                raise BackupRefused(f"{member.name} in {source} is not what was backed up.")
        if missing or DATABASE not in manifest["parts"] or KEY not in manifest["parts"]:
            raise BackupRefused(f"{source} is not whole: {', '.join(missing) or DATABASE} missing.")
    return dict(manifest)


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r:gz") as archive:
            yield archive
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, ValueError, KeyError) as error:
        raise BackupRefused(f"{source} is not a whole backup of InService: {error}.") from error
    except OSError as error:
        if error.filename is None:  # zlib's complaints come without one
            raise BackupRefused(f"{source} is not a whole backup: {error}.") from error
        raise


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> io.BufferedIOBase:
    content = archive.extractfile(member)
    if content is None:
        raise BackupRefused(f"{member.name} is not a file.")
    assert isinstance(content, io.BufferedIOBase)
    return content


def _copy(content: io.BufferedIOBase, target: Path) -> None:
    with disk.replacing(target) as file:
        while part := content.read(_BYTES_AT_ONCE):
            file.write(part)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
