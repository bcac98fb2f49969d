"""Where instances get the files of their models: the artifacts that this host keeps."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from inservice.artifacts.errors import ArtifactError
from inservice.artifacts.sources import Rights
from inservice.artifacts.store import ArtifactStore
from inservice.hosting.model import ArtifactSource, CompressionType, S3DataType
from inservice.runtimes.base import AssetUnavailable
from inservice.threads import Threads
from inservice.workload.asset import Asset

FETCHES_MAX = 32
"""Fetches of one account at once. They have threads of their own: a download may take an hour, and
neither the store nor another account is to wait for it. Whoever runs the server makes the accounts,
so there are few."""


class KeptAssets:
    """`runtimes.base.Assets`, out of an `ArtifactStore`."""

    def __init__(
        self,
        artifacts: ArtifactStore,
        roots_of: Callable[[str], Sequence[Path] | None] = lambda _: None,
    ) -> None:
        """`roots_of` says below which directories files of this host may be of an account's models;
        None: wherever the store itself may read."""
        self._artifacts = artifacts
        self._roots_of = roots_of
        self._threads: dict[str, Threads] = {}  # by account

    async def fetch(self, asset: Asset, seconds: float) -> Path:
        """See `Assets`."""
        cancelled, deadline = threading.Event(), time.monotonic() + seconds
        if asset.account not in self._threads:
            self._threads[asset.account] = Threads("fetch", FETCHES_MAX)
        try:
            return await self._threads[asset.account].run(self._fetch, asset, deadline, cancelled)
        except ArtifactError as failed:
            raise AssetUnavailable(failed.reason) from failed
        finally:
            cancelled.set()  # heard by a thread that nobody waits for any more

    def _fetch(self, asset: Asset, deadline: float, cancelled: threading.Event) -> Path:
        roots = self._roots_of(asset.account)
        source = _as_it_is(asset, roots)
        artifact = self._artifacts.fetch(
            source.uri,
            data_type=source.data_type,
            compression=source.compression,
            pin=asset.pin,
            rights=Rights(asset.account, asset.region, asset.role, asset.model),
            file_roots=roots,
            deadline=deadline,
            cancelled=cancelled,
        )
        return artifact.path


def _as_it_is(asset: Asset, roots: Sequence[Path] | None) -> ArtifactSource:
    """The source of an asset that may be a directory of this host. Outside of `roots` nothing is
    looked at: what is refused must not tell by its words what is there. Blocks; raises OSError."""
    place = asset.source.uri
    if asset.or_directory:
        path = Path("/" + unquote(place.removeprefix("file://").partition("/")[2]))
        if _is_below(path, roots) and path.is_dir():
            below = f"{place.rstrip('/')}/"
            return ArtifactSource(below, S3DataType.S3_PREFIX, CompressionType.NONE)
    return asset.source


def _is_below(path: Path, roots: Sequence[Path] | None) -> bool:
    if roots is None:
        return True
    resolved = Path(os.path.realpath(path))
    return any(resolved.is_relative_to(os.path.realpath(root)) for root in roots)
