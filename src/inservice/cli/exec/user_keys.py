"""The access key with which a program runs as a user: made for it, and deleted after it.

IAM tells a secret once, so nobody can run a program as a user by a key that is there already. A
user may have two keys at a time, which is also how many programs can.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from inservice.cli.target import Target, read_target


@dataclass(frozen=True, slots=True)
class UserKey:
    """One such key."""

    data_dir: Path
    user: str
    target: Target  # the server, to be signed for with it

    @classmethod
    def make(cls, data_dir: Path, user: str) -> UserKey:
        """Raises botocore's errors: NoSuchEntity, LimitExceeded."""
        from inservice.cli import ours

        root = read_target(data_dir)
        made = ours.client(root, "iam").create_access_key(UserName=user)["AccessKey"]
        key = replace(
            root, access_key_id=made["AccessKeyId"], secret_access_key=made["SecretAccessKey"]
        )
        return cls(data_dir, user, key)

    def forget(self) -> None:
        """Delete it. A server that is gone, and a user, have taken it along or keep it: nobody is
        left whom it could be told."""
        from botocore.exceptions import BotoCoreError, ClientError

        from inservice.cli import ours
        from inservice.cli.aws.failures import CommandLineError

        with contextlib.suppress(BotoCoreError, ClientError, CommandLineError):
            ours.client(read_target(self.data_dir), "iam").delete_access_key(
                UserName=self.user, AccessKeyId=self.target.access_key_id
            )
