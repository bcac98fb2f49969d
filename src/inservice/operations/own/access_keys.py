"""The root access key: made at first start, and replaced by RotateRootAccessKey, of our own API.

The old key goes and the new one comes in one transaction, so that a kill at any moment leaves
exactly one. Whoever rotates names the key that is to go: of two at the same time one is refused,
and nobody is left with a key that another has just replaced.
"""

from __future__ import annotations

import secrets
import string

from inservice.errors import ValidationException
from inservice.identity.principal import AccessKey, Account, Principal
from inservice.operations.registry import Call, Document, operation
from inservice.store.base import Reading, Store
from inservice.store.errors import StoreDamaged

SECRET_CHARACTERS = 40
"""As long as AWS's own secret keys."""


@operation("inservice", "RotateRootAccessKey")
def rotate_root_access_key(call: Call, *, access_key_id: str) -> Document:
    """Replace the root access key by a new one. The old one is refused from then on."""
    root = Account(call.account).root
    with call.store.transaction() as tx:
        old = root_key(tx, root)
        if old is None or old.id != access_key_id:
            raise ValidationException(f'"{access_key_id}" is not the access key of {root.arn}.')
        new = _new_key(root)
        tx.access_keys.delete(old.id)
        tx.access_keys.add(new)
    return {"AccessKeyId": new.id, "SecretAccessKey": new.secret}


def ensure_root_key(store: Store, account_id: str) -> AccessKey:
    """The access key of an account's root, made if there is none.

    Raises StoreDamaged when it may be among what was set aside: a new one would shut out everybody
    who has the old one.
    """
    root = Account(account_id).root
    with store.reading() as reading:
        key = root_key(reading, root)
    if key is None:
        with store.transaction() as transaction:
            if lost := [
                each for each in transaction.set_aside.all() if each.table == "access_keys"
            ]:
                raise StoreDamaged(
                    f"There is no root key, and the record of access key {lost[0].name} is damaged "
                    'and was set aside: restore a backup. "inservice recover" says what else can '
                    "be done."
                )
            key = _new_key(root)
            transaction.access_keys.add(key)
    return key


def root_key(reading: Reading, root: Principal) -> AccessKey | None:
    """The long-term key of a root principal, if it has been made."""
    keys = (k for k in reading.access_keys.all() if k.principal == root and k.session_token is None)
    return next(keys, None)


def _new_key(principal: Principal) -> AccessKey:
    """Twenty characters that begin with AKIA, as those of AWS's long-term keys, and a secret."""
    alphabet = string.ascii_uppercase + "234567"
    letters = string.ascii_letters + string.digits
    return AccessKey(
        id="AKIA" + "".join(secrets.choice(alphabet) for _ in range(16)),
        secret="".join(secrets.choice(letters) for _ in range(SECRET_CHARACTERS)),
        principal=principal,
    )
