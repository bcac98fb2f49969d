"""Who holds what of this host, on disk: `<run_dir>/claims.json`.

A claim is written before the instance that it is for can run, and removed after it is gone. Between
the two lie kills at any moment, so a claim alone does not say that an instance runs, and its
absence has to say that none does. It is enough that both sides write before they read:

    whoever lets an instance in    writes the record of it, then looks whether its claim `stands`;
                                   if it does not, the instance ends before its first line
    whoever drops a claim          voids it, which lets nobody in any more and holds the devices
                                   still, then looks whether there is a record; if there is none
                                   it is removed, and else it is valid again

So a launch that an earlier control had asked for, and that is carried out when the next one has
given its devices to somebody else, is not let in. What was claimed before the host booted is
nobody's.

Whoever changes the file holds a lock beside it, though for a few file operations only: for a moment
there may be two controls. A file that cannot be read says nothing of who holds what; then nothing
that anybody has for itself is given out until somebody has looked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inservice import disk
from inservice.linux import boot_id
from inservice.placement.host import Claim
from inservice.runtimes.standing import FILE


class ClaimsUnreadable(Exception):
    """The file is there and is none of ours."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file."""

    boot_id: str
    claims: dict[str, Claim] = field(default_factory=dict)  # by instance id


class Claims:
    """The claims of one run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE
        self._lock = run_dir / f"{FILE}.lock"

    def all(self) -> Mapping[str, Claim]:
        """Every claim, by instance. Raises ClaimsUnreadable."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ClaimsUnreadable(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            kept = msgspec.json.decode(content, type=_Kept)
        except msgspec.MsgspecError as error:
            raise ClaimsUnreadable(f"{self._path} is damaged: {error}") from error
        return kept.claims if kept.boot_id == boot_id() else {}

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, Claim]]:
        """The claims, to be changed in place by nobody else; kept when the block ends, if it does
        not raise. Raises ClaimsUnreadable, OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            claims = dict(self.all())
            before = dict(claims)
            yield claims
            if claims != before:
                kept = _Kept(boot_id(), claims)
                disk.write(self._path, msgspec.json.encode(kept), synced=False)
        finally:
            os.close(lock)
