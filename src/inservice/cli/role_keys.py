"""The keys with which a program runs as a session of a role, for whoever has the root key.

Root becomes a role with BeginRoleSession. A session lasts an hour and is kept by the server for as
long, so a shell in which `aws` is called a thousand times must not begin a thousand: the one that
was begun last is written down beside the root key, for its owner alone, and given again as long as
enough is left of it. The server is asked each time whether it still knows it, since a role that is
deleted, or made anew, ends its sessions.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from inservice import disk
from inservice.cli.target import Target

FILE: Final = "role-sessions.json"
"""In the data directory."""

SESSION_NAME: Final = "inservice"

LEFT_SECONDS: Final = 20 * 60
"""Of a session that is given again. botocore asks for another one when 15 minutes are left."""

_DEFAULT: Final = ""
"""Under which the session of the default execution role is written down."""


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """Temporary keys."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: str  # as AWS's SDKs read it: 2026-11-28T15:00:00Z
    role_arn: str

    def seconds_left(self) -> float:
        """Until they end."""
        until = datetime.fromisoformat(self.expires_at)
        return (until - datetime.now(UTC)).total_seconds()


def role_keys(directory: Path, target: Target, role: str | None) -> RoleKeys:
    """Keys of a session of a role of the server's own account, by default of the default execution
    role, of which a while is left. Raises botocore's errors for what the server says."""
    known = _known(directory)
    kept = known.get(role or _DEFAULT)
    if kept is not None and kept.seconds_left() > LEFT_SECONDS and _is_good(target, kept):
        return kept
    keys = _begin(target, role)
    alive = {name: each for name, each in known.items() if each.seconds_left() > 0}
    told = {name: asdict(each) for name, each in {**alive, role or _DEFAULT: keys}.items()}
    with contextlib.suppress(OSError):  # a full disk: the next one begins another session
        disk.write(directory / FILE, json.dumps(told).encode(), synced=False)
    return keys


def _known(directory: Path) -> dict[str, RoleKeys]:
    """What is written down; nothing, where that cannot be read."""
    try:
        told = json.loads((directory / FILE).read_bytes())
        known = {name: RoleKeys(**each) for name, each in told.items()}
        for each in known.values():
            each.seconds_left()
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return known


def _begin(target: Target, role: str | None) -> RoleKeys:
    from inservice.cli import ours

    named = {} if role is None else {"RoleName": role}
    begun = ours.client(target).begin_role_session(RoleSessionName=SESSION_NAME, **named)
    keys: dict[str, Any] = begun["Credentials"]
    return RoleKeys(
        access_key_id=keys["AccessKeyId"],
        secret_access_key=keys["SecretAccessKey"],
        session_token=keys["SessionToken"],
        expires_at=keys["Expiration"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        role_arn=begun["RoleArn"],
    )


def _is_good(target: Target, keys: RoleKeys) -> bool:
    """Whether the server takes them."""
    from botocore.exceptions import ClientError

    from inservice.cli import ours

    signing = Target(
        url=target.url,
        region=target.region,
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key,
        session_token=keys.session_token,
    )
    try:
        ours.client(signing, "sts").get_caller_identity()
    except ClientError:
        return False
    return True
