"""Access keys: all of them known to control, and told to the gateways."""

from __future__ import annotations

from collections.abc import Mapping

from inservice.controller.kit.tables import Tables
from inservice.identity.principal import AccessKey
from inservice.routing import KeyRoute
from inservice.store.base import Store


class Keys:
    """The access keys of this server, in memory: they are asked for with every request."""

    def __init__(self, store: Store, tables: Tables) -> None:
        self._store = store
        self._tables = tables
        self._known: Mapping[str, AccessKey] = {}

    def find(self, key_id: str) -> AccessKey | None:
        """An access key by its id."""
        return self._known.get(key_id)

    def read(self) -> None:
        """Know what the store knows now, and tell the gateways whom to believe."""
        with self._store.reading() as reading:
            self._known = {key.id: key for key in reading.access_keys()}
        self._tables.publish_keys({key.id: _route_of(key) for key in self._known.values()})


def _route_of(key: AccessKey) -> KeyRoute:
    return KeyRoute(
        id=key.id,
        secret=key.secret,
        account=key.principal.account,
        principal=key.principal.arn,
        session_token=key.session_token,
        expires_at=key.expires_at,
    )
