"""The root access key: made at first start, and replaced by RotateRootAccessKey, of our own API.

The old key goes and the new one comes in one transaction, so that a kill at any moment leaves
exactly one. Whoever rotates names the key that is to go: of two at the same time one is refused,
and nobody is left with a key that another has just replaced.
"""

from __future__ import annotations

import time
from dataclasses import replace

from inservice.errors import AccessDeniedException, ValidationException
from inservice.identity.principal import AccessKey, Account, Principal
from inservice.operations.iam.made import new_key
from inservice.operations.iam.touches import named_key
from inservice.operations.own import touches
from inservice.operations.own.default_role import make_default_role
from inservice.operations.own.operator import only_operator, open_account
from inservice.operations.registry import Call, Document, operation
from inservice.store.base import Reading, Store
from inservice.store.errors import StoreDamaged


@operation("inservice", "RotateRootAccessKey", on=(touches.root,), told=(named_key,))
def rotate_root_access_key(
    call: Call, *, access_key_id: str, account_id: str | None = None
) -> Document:
    """Replace a root access key by a new one. The old one is refused from then on. No policy gives
    this to anybody else, as on AWS. Root of the server's own account may name another account,
    whose root has lost its key."""
    root = Account(account_id or call.account).root
    if root.account != call.account:
        only_operator(call)
    elif call.principal != root.arn:
        raise AccessDeniedException("Only root may replace its own access key.")
    with call.store.transaction() as tx:
        if root.account != call.account:
            open_account(tx, root.account)
        old = root_key(tx, root)
        if old is None or old.id != access_key_id:
            raise ValidationException(f'"{access_key_id}" is not the access key of {root.arn}.')
        new = new_key(root, call.now)
        tx.access_keys.delete(old.id)
        tx.access_keys.add(new)
        tx.sessions.end(root.account, root.id)  # whoever had the old key may have begun some
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
            if (member := transaction.accounts.find(account_id)) and not member.is_open:
                # The settings name an account that was closed here: it is in use again.
                transaction.accounts.save(replace(member, closed_at=None))
                make_default_role(transaction, account_id, time.time())
            key = new_key(root, time.time())
            transaction.access_keys.add(key)
    return key


def root_key(reading: Reading, root: Principal) -> AccessKey | None:
    """The long-term key of a root principal, if it has been made."""
    owned = reading.access_keys.of(root.account, root.id)
    return next((key for key in owned if key.principal == root and not key.session_token), None)
