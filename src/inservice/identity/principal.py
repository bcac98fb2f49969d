"""Who may ask: accounts, principals and the access keys that stand for them.

Every account has a root principal; access keys of users and roles carry their own ARN. Nothing here
decides what a principal may do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from inservice.errors import ValidationException

_ACCOUNT_ID = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class Account:
    """Owns resources. Its id is twelve digits, leading zeros included."""

    id: str

    def __post_init__(self) -> None:
        if not _ACCOUNT_ID.fullmatch(self.id):
            raise ValidationException(f"An account id is twelve digits, not {self.id!r}.")

    @property
    def root(self) -> Principal:
        """The principal that may do everything in this account."""
        return Principal(account=self.id, arn=f"arn:aws:iam::{self.id}:root")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks, named as IAM names it."""

    account: str
    arn: str

    @property
    def is_root(self) -> bool:
        """Root is never asked for a policy: IAM's own rule."""
        return self.arn == f"arn:aws:iam::{self.account}:root"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What a client signs with, and for whom. The secret shows in no log: it is not in the repr."""

    id: str
    secret: str = field(repr=False)
    principal: Principal
    session_token: str | None = field(default=None, repr=False)  # of temporary keys only
    expires_at: float | None = None  # epoch seconds; None: until it is deleted
