"""`inservice user key create|list|disable|enable|delete NAME`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from inservice.cli.connection import client, parser_of
from inservice.cli.endpoint.drawing import aligned
from inservice.cli.telling import add_telling_options, refuse_elsewhere, tell
from inservice.cli.times import shown
from inservice.cli.user.holdings import every


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `user key`."""
    options = parser_of(
        prog,
        "A user's access keys. A new one is told this once; there are two at most, so that one can "
        "take the other's place. One that is disabled, or deleted, is refused from then on.",
    )
    options.add_argument("what", choices=[*_DOING])
    options.add_argument("name", help="of the user")
    options.add_argument(
        "key_id", nargs="?", metavar="KEY", help="id of the key to disable, enable or delete"
    )
    add_telling_options(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Do that."""
    if (options.key_id is None) != (options.what in _WITHOUT_KEY):
        wants = "takes no" if options.what in _WITHOUT_KEY else "needs the"
        raise ValueError(f"inservice user key {options.what} {wants} id of a key")
    _DOING[options.what](options, client(options, "iam"))
    return 0


def _create(options: argparse.Namespace, iam: Any) -> None:
    refuse_elsewhere(iam)
    key = iam.create_access_key(UserName=options.name)["AccessKey"]
    try:
        tell(options, iam, key)
    except BaseException:  # nobody knows its secret, and nobody ever will
        iam.delete_access_key(UserName=options.name, AccessKeyId=key["AccessKeyId"])
        raise


def _list(options: argparse.Namespace, iam: Any) -> None:
    keys = every(iam, "list_access_keys", "AccessKeyMetadata", UserName=options.name)
    rows = [(key["AccessKeyId"], key["Status"], shown(key["CreateDate"])) for key in keys]
    sys.stdout.writelines(f"{line}\n" for line in aligned(rows))


def _disable(options: argparse.Namespace, iam: Any) -> None:
    _set_status(options, iam, "Inactive")


def _enable(options: argparse.Namespace, iam: Any) -> None:
    _set_status(options, iam, "Active")


def _set_status(options: argparse.Namespace, iam: Any, status: str) -> None:
    iam.update_access_key(UserName=options.name, AccessKeyId=options.key_id, Status=status)


def _delete(options: argparse.Namespace, iam: Any) -> None:
    iam.delete_access_key(UserName=options.name, AccessKeyId=options.key_id)


_DOING: Final[Mapping[str, Callable[[argparse.Namespace, Any], None]]] = {
    "create": _create,
    "list": _list,
    "disable": _disable,
    "enable": _enable,
    "delete": _delete,
}

_WITHOUT_KEY: Final = ("create", "list")
