"""Whether what an instance was claimed to hold is still claimed for it: by the token alone.

Whoever lets an instance in asks this; see `claims` for why, and for all else that is in the file.
It stands apart from that because the fork server asks too, which does without what claims are of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inservice.linux import boot_id

FILE = "claims.json"
"""In the run directory."""


@dataclass(frozen=True, slots=True)
class _Claim:
    token: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file, as far as it matters here."""

    boot_id: str
    claims: dict[str, _Claim] = field(default_factory=dict)  # by instance id


def stands(run_dir: Path, instance_id: str, token: str) -> bool:
    """Whether this very claim is there. What cannot be read says no."""
    try:
        kept = msgspec.json.decode((run_dir / FILE).read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return False
    claim = kept.claims.get(instance_id)
    return claim is not None and claim.token == token and kept.boot_id == boot_id()
