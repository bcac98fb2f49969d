"""Making ids and keys: the one place here that needs chance."""

from __future__ import annotations

import secrets
import string

from inservice.identity import unique_ids
from inservice.identity.principal import AccessKey, Principal

SECRET_CHARACTERS = 40
"""As long as AWS's own secret keys."""

_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """The unique id of a new entity."""
    return unique_ids.unique_id(prefix, secrets.token_bytes(unique_ids.UNIQUE_ID_BYTES))


def new_secret() -> str:
    """The secret of a new access key."""
    return "".join(secrets.choice(_LETTERS) for _ in range(SECRET_CHARACTERS))


def new_key(principal: Principal, now: float) -> AccessKey:
    """A long-term key of a principal, and its secret."""
    return AccessKey(
        id=unique_ids.access_key_id(
            unique_ids.LONG_TERM_KEY,
            principal.account,
            secrets.token_bytes(unique_ids.UNIQUE_ID_BYTES),
        ),
        secret=new_secret(),
        principal=principal,
        created_at=now,
    )
