"""Who signs in the tests of what botocore signs for S3 and for services that are not here."""

from __future__ import annotations

from dataclasses import dataclass

HOST = "127.0.0.1:7420"


@dataclass(frozen=True)
class Key:
    secret: str = "secret/of+the=key"
    session_token: str | None = None
    expires_at: float | None = None


KEY = Key()
TEMPORARY = Key(session_token="a/token+with==signs")
KEYS = {"AKIA": KEY, "ASIA": TEMPORARY, "OVER": Key(expires_at=1.0)}
