"""Accounts by id or by name, as people have them at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inservice.cli.aws.failures import CommandLineError


def account_of(client: Any, named: str) -> Mapping[str, Any]:
    """The account of this id or name. Raises CommandLineError where there is none."""
    for account in client.list_accounts()["Accounts"]:
        if named in (account["AccountId"], account["AccountName"]):
            found: Mapping[str, Any] = account
            return found
    raise CommandLineError(f'There is no account "{named}".  See:  inservice account list')
