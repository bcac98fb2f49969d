"""CreateAccount, ListAccounts, DeleteAccount: who else has resources of their own on this server.

They are for root of the server's own account, which AWS Organizations calls the management account.
No policy gives them to anybody else, and no other account learns who there is. Every noun of the
store says whose it is, so an account needs nothing made for it but its record, its root's key and
its default execution role.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from inservice.errors import ValidationException
from inservice.identity.accounts import MemberAccount
from inservice.identity.iam.errors import DeleteConflict
from inservice.identity.principal import Account
from inservice.operations.iam.made import new_key
from inservice.operations.own import touches
from inservice.operations.own.access_keys import root_key
from inservice.operations.own.default_role import make_default_role, take_default_role
from inservice.operations.own.operator import only_operator, open_account, open_accounts
from inservice.operations.registry import Call, Document, operation
from inservice.store.base import Reading


@operation("inservice", "CreateAccount", on=(touches.root,))
def create_account(
    call: Call, *, account_name: str | None = None, account_id: str | None = None
) -> Document:
    """Make an account. This is the one time that the secret of its root's key is told. Without an
    id it gets one that nobody ever had here; without a name its id is its name."""
    only_operator(call)
    with call.store.transaction() as tx:
        made = account_id or _free_id(tx, call)
        if _is_taken(tx, call, made):
            raise ValidationException(f'Cannot create already existing account "{made}".')
        name = account_name or made
        if any(each.name == name for each in open_accounts(tx).values()):
            raise ValidationException(f'Cannot create already existing account "{name}".')
        tx.accounts.save(MemberAccount(made, name, call.now))
        key = new_key(Account(made).root, call.now)
        tx.access_keys.add(key)
        make_default_role(tx, made, call.now)
    return {
        "AccountId": made,
        "AccountName": name,
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
    }


@operation("inservice", "ListAccounts", on=(touches.root,))
def list_accounts(call: Call) -> Document:
    """The accounts of this server by id: its own, which has no other name, and those made here."""
    only_operator(call)
    with call.store.reading() as records:
        there = open_accounts(records)
        endpoints = Counter(account for account, _, _ in records.endpoints.names())
        return {
            "Accounts": [
                _line(records, call, each, there.get(each), endpoints[each])
                for each in sorted({call.account, *there})
            ]
        }


@operation("inservice", "DeleteAccount", on=(touches.root,))
def delete_account(call: Call, *, account_id: str) -> None:
    """Close an account in which nothing is left but its default role. Its keys are refused from
    then on, and no other account will ever have its id."""
    only_operator(call)
    if account_id == call.account:
        raise ValidationException("The account that this server is of cannot be deleted.")
    buckets = call.live.buckets_of(account_id)  # of the storage's records, before ours are held
    with call.store.transaction() as tx:
        account = open_account(tx, account_id)
        take_default_role(tx, account_id)  # it came with the account and goes with it
        left = {**tx.accounts.left_in(account_id), **({"buckets": buckets} if buckets else {})}
        if left:
            raise DeleteConflict(
                f"Cannot delete entity, must delete its {_counted(left)} first. "
                f"Account {account_id} still has them."
            )
        for key in tx.access_keys.all():
            if key.principal.account == account_id:
                tx.access_keys.delete(key.id)
        tx.sessions.end_all(account_id)
        tx.accounts.save(replace(account, closed_at=call.now))


def _free_id(records: Reading, call: Call) -> str:
    while True:
        made = str(10**11 + secrets.randbelow(9 * 10**11))  # people drop zeros in front
        if not _is_taken(records, call, made):
            return made


def _is_taken(records: Reading, call: Call, account_id: str) -> bool:
    """Whether anything here is, or was, of an account of this id: also one that this server was of
    under other settings, and one whose record is damaged and was set aside."""
    aside = (each for each in records.set_aside.all() if each.table == "accounts")
    return (
        account_id == call.account
        or records.accounts.find(account_id) is not None
        or any(each.name == account_id for each in aside)
        or root_key(records, Account(account_id).root) is not None
        or bool(records.accounts.left_in(account_id))
    )


def _line(
    records: Reading,
    call: Call,
    account_id: str,
    account: MemberAccount | None,
    endpoint_count: int,
) -> dict[str, object]:
    key = root_key(records, Account(account_id).root)
    is_own = account_id == call.account
    made = {} if account is None or is_own else {"CreatedAt": account.created_at}
    return {
        "AccountId": account_id,
        "AccountName": account_id if account is None else account.name,
        "IsManagementAccount": is_own,
        "EndpointCount": endpoint_count,
        **({} if key is None else {"RootAccessKeyId": key.id}),
        **made,
    }


def _counted(left: Mapping[str, int]) -> str:
    """{"iam_users": 2, "models": 1} as "users (2), models (1)"."""
    words = (
        f"{table.removeprefix('iam_').replace('_', ' ')} ({count})" for table, count in left.items()
    )
    return ", ".join(words)
