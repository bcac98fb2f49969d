"""CreateUser, GetUser, ListUsers, UpdateUser, DeleteUser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inservice.identity import unique_ids
from inservice.identity.iam.entities import User
from inservice.identity.iam.errors import DeleteConflict, EntityAlreadyExists, LimitExceeded
from inservice.identity.iam.limits import USERS_MAX, with_tags
from inservice.identity.principal import Account, Principal
from inservice.identity.sts.issuing import renamed as renamed_session
from inservice.operations.iam import touches
from inservice.operations.iam.found import attachable, caller_s_user_name, user_named
from inservice.operations.iam.made import new_id
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.iam.shown import arn_of, user_line, user_whole
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.store.base import Transaction
from inservice.store.listing import EntityQuery

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import TagTypeDef


@operation("iam", "CreateUser", on=(touches.new_user,), told=(touches.named_policy,))
def create_user(
    call: Call,
    *,
    user_name: str,
    path: str = "/",
    permissions_boundary: str | None = None,
    tags: Sequence[TagTypeDef] = (),
) -> Document:
    """Make a user, who may do nothing yet."""
    with call.store.transaction() as tx:
        _refuse_taken(tx, call, user_name)
        if tx.users.count(call.account) >= USERS_MAX:
            raise LimitExceeded.of("UsersPerAccount", USERS_MAX)
        user = User(
            account=call.account,
            name=user_name,
            path=path,
            id=new_id(unique_ids.USER),
            created_at=call.now,
            tags=with_tags({}, tags, case_matters=False),
            boundary=None
            if permissions_boundary is None
            else attachable(tx, call, permissions_boundary, "Scope ARN:"),
        )
        tx.users.save(user)
    return {"User": user_whole(call, user)}


@operation("iam", "GetUser", on=(touches.user,))
def get_user(call: Call, *, user_name: str | None = None) -> Document:
    """A user; without a name whoever asks, who may be root."""
    with call.store.reading() as records:
        root = Account(call.account).root
        if user_name is None and call.principal == root.arn:
            made = records.access_keys.of(call.account, "")
            since = {"CreateDate": min(key.created_at for key in made)} if made else {}
            return {"User": {"UserId": call.account, "Arn": arn_of(call, root.arn), **since}}
        name = caller_s_user_name(call) if user_name is None else user_name
        return {"User": user_whole(call, user_named(records, call, name))}


@operation("iam", "ListUsers", on=(anything,))
def list_users(
    call: Call, *, path_prefix: str = "/", marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """Users of the account, by name."""
    pages = Pages.of(call, ("ListUsers", path_prefix), marker, max_items)
    query = EntityQuery(call.account, path_prefix, pages.after, limit=max_items + 1)
    with call.store.reading() as records:
        shown, more = pages.cut(records.users.select(query), lambda user: user.name.lower())
    return {"Users": [user_line(call, user) for user in shown], **more}


@operation("iam", "UpdateUser", on=(touches.renamed_user,))
def update_user(
    call: Call, *, user_name: str, new_path: str | None = None, new_user_name: str | None = None
) -> None:
    """Give a user another name or path. Keys and sessions go with the user."""
    with call.store.transaction() as tx:
        user = user_named(tx, call, user_name)
        if new_user_name is not None and new_user_name.lower() != user.name.lower():
            _refuse_taken(tx, call, new_user_name)
        renamed = replace(user, name=new_user_name or user.name, path=new_path or user.path)
        if renamed == user:
            return
        tx.users.save(renamed)
        for key in tx.access_keys.of(user.account, user.id):
            owner = Principal(user.account, renamed.arn, user.id)
            tx.access_keys.add(replace(key, principal=owner))
        for key in tx.sessions.of(user.account, user.id):
            if key.session is not None:
                session = renamed_session(key.session, renamed.arn)
                tx.sessions.add(replace(key, principal=session.principal, session=session))


@operation("iam", "DeleteUser", on=(touches.user,))
def delete_user(call: Call, *, user_name: str) -> None:
    """Forget a user. Raises DeleteConflict while anything hangs on it, which AWS names one by
    one."""
    with call.store.transaction() as tx:
        user = user_named(tx, call, user_name)
        if user.groups:
            raise DeleteConflict("Cannot delete entity, must remove users from group first.")
        if user.attached:
            raise DeleteConflict("Cannot delete entity, must detach all policies first.")
        if user.inline:
            raise DeleteConflict("Cannot delete entity, must delete policies first.")
        if tx.access_keys.of(user.account, user.id):
            raise DeleteConflict("Cannot delete entity, must delete access keys first.")
        tx.users.delete(user)
        tx.sessions.end(user.account, user.id)


def _refuse_taken(tx: Transaction, call: Call, name: str) -> None:
    if tx.users.named(call.account, name) is not None:
        raise EntityAlreadyExists(f"User with name {name} already exists.")
