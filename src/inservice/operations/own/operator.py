"""What is for whoever runs the server: root of the account that it is of."""

from __future__ import annotations

from collections.abc import Mapping

from inservice.errors import AccessDeniedException, ValidationException
from inservice.identity.accounts import MemberAccount
from inservice.identity.principal import Account
from inservice.operations.registry import Call
from inservice.store.base import Reading


def only_operator(call: Call) -> None:
    """Raises AccessDeniedException unless root of the server's own account asks. It says the same
    to whoever is not."""
    if call.principal != Account(call.live.own_account).root.arn:
        raise AccessDeniedException(
            f"User: {call.principal} is not authorized to perform this operation: it is for the "
            "root user of the account that this server is of."
        )


def only_own_account(call: Call) -> None:
    """Raises AccessDeniedException unless somebody of the server's own account asks: what is of the
    host is nobody else's to change, whatever their policies say."""
    if call.account != call.live.own_account:
        raise AccessDeniedException(
            f"User: {call.principal} is not authorized to perform this operation: it is for the "
            "account that this server is of."
        )


def open_accounts(records: Reading) -> Mapping[str, MemberAccount]:
    """The accounts that are in use, by id.

    One whose record was damaged and set aside is told by the key of its root, with its id for a
    name; so is one that this server was of, under other settings.
    """
    kept = {account.id: account for account in records.accounts.all()}
    for key in records.access_keys.all():
        owner = key.principal.account
        if key.principal.is_root and owner not in kept:
            kept[owner] = MemberAccount(owner, owner, key.created_at)
    return {account.id: account for account in kept.values() if account.is_open}


def open_account(records: Reading, account_id: str) -> MemberAccount:
    """An account that is in use. Raises ValidationException in the words that AWS has for what is
    not there."""
    account = open_accounts(records).get(account_id)
    if account is None:
        raise ValidationException(f'Could not find account "{account_id}".')
    return account
