"""CreateAccessKey, ListAccessKeys, UpdateAccessKey, DeleteAccessKey, GetAccessKeyLastUsed.

A request that names no user means whoever signed it. Of root that is the one key that the server
made, which can be listed here and is replaced by RotateRootAccessKey alone: `inservice env` and
every command sign with it, so it can neither be switched off nor have a second beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inservice.errors import NotImplementedYet
from inservice.identity.iam.errors import InvalidInput, LimitExceeded, NoSuchEntity
from inservice.identity.iam.limits import KEYS_PER_USER_MAX
from inservice.identity.principal import AccessKey, Account, Principal
from inservice.operations.iam import touches
from inservice.operations.iam.found import caller_s_user_name, user_named
from inservice.operations.iam.made import new_key
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.registry import Call, Document, operation
from inservice.store.base import Reading

if TYPE_CHECKING:
    from types_boto3_iam.literals import StatusTypeType


@operation("iam", "CreateAccessKey", on=(touches.user,))
def create_access_key(call: Call, *, user_name: str | None = None) -> Document:
    """Make a key. This is the one time that its secret is told."""
    with call.store.transaction() as tx:
        owner = _owner(tx, call, user_name)
        _refuse_root(owner)
        if len(tx.access_keys.of(owner.account, owner.id)) >= KEYS_PER_USER_MAX:
            raise LimitExceeded.of("AccessKeysPerUser", KEYS_PER_USER_MAX)
        key = new_key(owner, call.now)
        tx.access_keys.add(key)
    return {"AccessKey": {**_line(key), "SecretAccessKey": key.secret}}


@operation("iam", "ListAccessKeys", on=(touches.user,))
def list_access_keys(
    call: Call,
    *,
    user_name: str | None = None,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """Keys of a user, without their secrets."""
    with call.store.reading() as records:
        owner = _owner(records, call, user_name)
        pages = Pages.of(call, ("ListAccessKeys", owner.arn), marker, max_items)
        long_term = [
            key
            for key in records.access_keys.of(owner.account, owner.id)
            if key.session_token is None
        ]
    shown, more = pages.cut(long_term, lambda key: key.id)
    return {"AccessKeyMetadata": [_line(key) for key in shown], **more}


@operation("iam", "UpdateAccessKey", on=(touches.user,), told=(touches.named_key,))
def update_access_key(
    call: Call, *, access_key_id: str, status: StatusTypeType, user_name: str | None = None
) -> None:
    """Switch a key on or off. One that is off is refused as one that nobody was given."""
    if status == "Expired":
        raise InvalidInput("The status of an access key can only be set to Active or Inactive.")
    with call.store.transaction() as tx:
        key = _own_key(tx, call, user_name, access_key_id)
        tx.access_keys.add(replace(key, is_active=status == "Active"))


@operation("iam", "DeleteAccessKey", on=(touches.user,), told=(touches.named_key,))
def delete_access_key(call: Call, *, access_key_id: str, user_name: str | None = None) -> None:
    """Forget a key."""
    with call.store.transaction() as tx:
        tx.access_keys.delete(_own_key(tx, call, user_name, access_key_id).id)


@operation("iam", "GetAccessKeyLastUsed", on=(touches.owner_of_key,))
def get_access_key_last_used(call: Call, *, access_key_id: str) -> Document:
    """When a key last signed something, and what: as far as control saw it."""
    with call.store.reading() as records:
        key = records.access_keys.find(access_key_id)
    if key is None or key.principal.account != call.account or key.session_token is not None:
        raise NoSuchEntity(f"The Access Key with id {access_key_id} cannot be found")
    last: Document = {"ServiceName": "N/A", "Region": "N/A"}
    if key.last_use is not None:
        use = key.last_use
        last = {"LastUsedDate": use.at, "ServiceName": use.service, "Region": use.region}
    return {**_user_of(key), "AccessKeyLastUsed": last}


def _owner(records: Reading, call: Call, user_name: str | None) -> Principal:
    """Whose keys a request is about. Raises NoSuchEntity."""
    root = Account(call.account).root
    if user_name is None and call.principal == root.arn:
        return root
    name = caller_s_user_name(call) if user_name is None else user_name
    user = user_named(records, call, name)
    return Principal(user.account, user.arn, user.id)


def _own_key(records: Reading, call: Call, user_name: str | None, key_id: str) -> AccessKey:
    """The key that is to be changed. Raises NoSuchEntity, for another user's too."""
    owner = _owner(records, call, user_name)
    key = records.access_keys.find(key_id)
    if key is None or key.principal != owner or key.session_token is not None:
        raise NoSuchEntity(f"The Access Key with id {key_id} cannot be found")
    _refuse_root(owner)
    return key


def _refuse_root(owner: Principal) -> None:
    if owner.is_root:
        raise NotImplementedYet(
            "more than one access key of root", '"inservice key rotate" replaces the one there is'
        )


def _line(key: AccessKey) -> dict[str, object]:
    status = "Active" if key.is_active else "Inactive"
    return {
        **_user_of(key),
        "AccessKeyId": key.id,
        "Status": status,
        "CreateDate": key.created_at,
    }


def _user_of(key: AccessKey) -> dict[str, object]:
    """Root's keys have no UserName."""
    return {} if key.principal.is_root else {"UserName": key.principal.arn.rpartition("/")[2]}
