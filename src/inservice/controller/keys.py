"""Access keys: the first one made, all of them known to control and told to the gateways."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping

from inservice.controller.tables import Tables
from inservice.identity.principal import AccessKey, Account
from inservice.routing import KeyRoute
from inservice.store.base import Store, StoreDamaged

SECRET_CHARACTERS = 40
"""As long as AWS's own secret keys."""


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


def ensure_root_key(store: Store, account_id: str) -> AccessKey:
    """The access key of an account's root, made at first start.

    Raises StoreDamaged when it may be among what was set aside: a new one would shut out everybody
    who has the old one.
    """
    root = Account(account_id).root
    with store.transaction() as transaction:
        key = next((k for k in transaction.access_keys() if k.principal == root), None)
        if key is None:
            if lost := [each for each in transaction.set_aside() if each.table == "access_keys"]:
                raise StoreDamaged(
                    f"There is no root key, and the record of access key {lost[0].name} is damaged "
                    'and was set aside: restore a backup. "inservice recover" says what else can '
                    "be done."
                )
            key = AccessKey(id=_random_id(), secret=_random_secret(), principal=root)
            transaction.add_access_key(key)
    return key


def _random_id() -> str:
    """Twenty characters that begin with AKIA, as those of AWS's long-term keys."""
    alphabet = string.ascii_uppercase + "234567"
    return "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16))


def _random_secret() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(SECRET_CHARACTERS))


def _route_of(key: AccessKey) -> KeyRoute:
    return KeyRoute(
        id=key.id,
        secret=key.secret,
        account=key.principal.account,
        principal=key.principal.arn,
        session_token=key.session_token,
        expires_at=key.expires_at,
    )
