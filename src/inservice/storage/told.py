"""What control has told the storage process: keys, sessions, and what each principal holds.

It follows control as a gateway worker does, from the table on disk and then over the channel, so
keys are verified and policies decided while control is gone as well. Whoever nothing was told about
is nobody. Of the table it keeps what is about principals; endpoints are none of its business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inservice.channel.table_file import TableFile
from inservice.channel.tables import Delta
from inservice.identity.authority import Authority
from inservice.identity.holders import Holders
from inservice.identity.principal import Principal
from inservice.routing.table import KeyRoute, RoutingTable, SessionRoute

_log = logging.getLogger(__name__)

KEPT_MAX = 4_096
"""Authorities that are kept, by key. Only who has a key can have one made."""


class Told:
    """Follows the table (`channel.worker.Serving`), and is asked in threads."""

    def __init__(self, path: Path) -> None:
        """`path` is that of the table on disk."""
        self._file = TableFile(path)
        self._holders = Holders()
        self._of_keys: dict[str, tuple[KeyRoute, Mapping[str, str], Authority]] = {}
        self.table = RoutingTable(-1, {}, {})
        self.known = asyncio.Event()
        """Set once control has told anything, be it in an earlier life."""

    def load(self) -> None:
        """Take the table on disk, if there is one that can be read. Until control is there it is
        all that is known; with neither everybody is refused."""
        try:
            self.serve(self._file.read())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.error("a routing table was refused: %s", error)

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:  # noqa: ARG002
        """See `Serving`."""
        self._holders.follow(table.authorities)
        self.table = replace(table, endpoints={}, tags={})
        if table.version > 0:
            self.known.set()

    def key(self, key_id: str) -> KeyRoute | None:
        """An access key by its id."""
        return self.table.key(key_id)

    def authority(self, key: KeyRoute) -> Authority:
        """What who signs with a key holds. Raises MalformedPolicyDocument."""
        told = self.table.authorities
        known = self._of_keys.get(key.id)
        if known is None or known[0] is not key or known[1] is not told:
            terms = key.session if isinstance(key, SessionRoute) else None
            principal = Principal(key.account, key.principal)
            known = key, told, self._holders.authority(principal, terms)
            if len(self._of_keys) >= KEPT_MAX:
                self._of_keys.clear()
            self._of_keys[key.id] = known
        return known[2]
