"""CreateGroup, GetGroup, ListGroups, UpdateGroup, DeleteGroup, and who is in which."""

from __future__ import annotations

from dataclasses import replace

from inservice.identity import unique_ids
from inservice.identity.iam.entities import Group, User
from inservice.identity.iam.errors import (
    DeleteConflict,
    EntityAlreadyExists,
    LimitExceeded,
    NoSuchEntity,
)
from inservice.identity.iam.limits import GROUPS_MAX, GROUPS_PER_USER_MAX
from inservice.operations.iam import touches
from inservice.operations.iam.found import group_named, user_named
from inservice.operations.iam.made import new_id
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.iam.shown import group_line, user_line
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.store.base import Reading, Transaction
from inservice.store.listing import EntityQuery


@operation("iam", "CreateGroup", on=(touches.new_group,))
def create_group(call: Call, *, group_name: str, path: str = "/") -> Document:
    """Make a group, of nobody yet."""
    with call.store.transaction() as tx:
        _refuse_taken(tx, call, group_name)
        if tx.groups.count(call.account) >= GROUPS_MAX:
            raise LimitExceeded.of("GroupsPerAccount", GROUPS_MAX)
        group = Group(call.account, group_name, path, new_id(unique_ids.GROUP), call.now)
        tx.groups.save(group)
    return {"Group": group_line(call, group)}


@operation("iam", "GetGroup", on=(touches.group,))
def get_group(
    call: Call, *, group_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """A group and, page by page, the users in it."""
    with call.store.reading() as records:
        group = group_named(records, call, group_name)
        pages = Pages.of(call, ("GetGroup", group.id), marker, max_items)
        shown, more = pages.cut(members(records, group), lambda user: user.name.lower())
    users = [user_line(call, user) for user in shown]
    return {"Group": group_line(call, group), "Users": users, **more}


@operation("iam", "ListGroups", on=(anything,))
def list_groups(
    call: Call, *, path_prefix: str = "/", marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """Groups of the account, by name."""
    pages = Pages.of(call, ("ListGroups", path_prefix), marker, max_items)
    query = EntityQuery(call.account, path_prefix, pages.after, limit=max_items + 1)
    with call.store.reading() as records:
        shown, more = pages.cut(records.groups.select(query), lambda group: group.name.lower())
    return {"Groups": [group_line(call, group) for group in shown], **more}


@operation("iam", "ListGroupsForUser", on=(touches.user,))
def list_groups_for_user(
    call: Call, *, user_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """The groups that a user is in."""
    with call.store.reading() as records:
        user = user_named(records, call, user_name)
        pages = Pages.of(call, ("ListGroupsForUser", user.id), marker, max_items)
        shown, more = pages.cut(groups_of(records, user), lambda group: group.name.lower())
    return {"Groups": [group_line(call, group) for group in shown], **more}


@operation("iam", "UpdateGroup", on=(touches.renamed_group,))
def update_group(
    call: Call, *, group_name: str, new_path: str | None = None, new_group_name: str | None = None
) -> None:
    """Give a group another name or path. Its users stay in it."""
    with call.store.transaction() as tx:
        group = group_named(tx, call, group_name)
        if new_group_name is not None and new_group_name.lower() != group.name.lower():
            _refuse_taken(tx, call, new_group_name)
        renamed = replace(group, name=new_group_name or group.name, path=new_path or group.path)
        tx.groups.save(renamed)


@operation("iam", "DeleteGroup", on=(touches.group,))
def delete_group(call: Call, *, group_name: str) -> None:
    """Forget a group. Raises DeleteConflict while anybody is in it or any policy hangs on it."""
    with call.store.transaction() as tx:
        group = group_named(tx, call, group_name)
        if members(tx, group):
            raise DeleteConflict("Cannot delete entity, must remove users from group first.")
        if group.attached:
            raise DeleteConflict("Cannot delete entity, must detach all policies first.")
        if group.inline:
            raise DeleteConflict("Cannot delete entity, must delete policies first.")
        tx.groups.delete(group)


@operation("iam", "AddUserToGroup", on=(touches.group,), told=(touches.user,))
def add_user_to_group(call: Call, *, group_name: str, user_name: str) -> None:
    """Put a user into a group; who is in it already is nothing to complain about."""
    with call.store.transaction() as tx:
        group, user = group_named(tx, call, group_name), user_named(tx, call, user_name)
        if group.id in user.groups:
            return
        if len(user.groups) >= GROUPS_PER_USER_MAX:
            raise LimitExceeded.of("GroupsPerUser", GROUPS_PER_USER_MAX)
        tx.users.save(replace(user, groups=(*user.groups, group.id)))


@operation("iam", "RemoveUserFromGroup", on=(touches.group,), told=(touches.user,))
def remove_user_from_group(call: Call, *, group_name: str, user_name: str) -> None:
    """Take a user out of a group. Raises NoSuchEntity for who is not in it."""
    with call.store.transaction() as tx:
        group, user = group_named(tx, call, group_name), user_named(tx, call, user_name)
        if group.id not in user.groups:
            raise NoSuchEntity(f"User {user_name} not in group {group_name}.")
        left = tuple(each for each in user.groups if each != group.id)
        tx.users.save(replace(user, groups=left))


def members(records: Reading, group: Group) -> list[User]:
    """The users in a group."""
    naming = EntityQuery(group.account, mentioning=f'"{group.id}"')
    return [user for user in records.users.select(naming) if group.id in user.groups]


def groups_of(records: Reading, user: User) -> list[Group]:
    """The groups that a user is in; one whose record was set aside is not shown."""
    found = [records.groups.by_id(user.account, each) for each in user.groups]
    return [group for group in found if group is not None]


def _refuse_taken(tx: Transaction, call: Call, name: str) -> None:
    if tx.groups.named(call.account, name) is not None:
        raise EntityAlreadyExists(f"Group with name {name} already exists.")
