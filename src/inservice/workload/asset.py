"""Files that a container needs: which they are, and what keeps them the same files.

An asset is a reference. Whoever runs the container fetches it, on the host that the container runs
on, and may do that many times in the life of a fleet: after an eviction, for a replacement, in a
rollback months later. The object behind the URI may be another one by then, or be gone. So the
first fetch under a *pin* settles, by digest, which files are meant, and every later one under the
same pin gives those or fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inservice.hosting.model import ArtifactSource


@dataclass(frozen=True, slots=True)
class Asset:
    """One directory of files, by reference."""

    source: ArtifactSource
    pin: str
    """Under which name the digest of the first fetch is kept; of a fleet, so of no two of them."""
    account: str = ""
    """For whom it is fetched: a host may keep its own files from some accounts. "": for nobody."""
    or_directory: bool = False
    """The URI may name a directory instead of the archive that `source` calls it: only the host
    that fetches it can see which."""
    region: str = ""  # of the model
    model: str = field(default="", compare=False)  # its ARN, which the role may trust alone
    role: str | None = None  # ARN of its execution role, with whose rights it is fetched
