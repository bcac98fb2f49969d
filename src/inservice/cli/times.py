"""The one form in which commands show a moment: ISO 8601, UTC, `2026-01-02T03:04:05Z`.

It says its zone, sorts as text, and can be pasted back into `--since`. How long something takes or
has taken is `durations.spelled`.
"""

from __future__ import annotations

from datetime import UTC, datetime


def moment_of(told: str | float | datetime) -> datetime:
    """The moment that an answer tells: ISO 8601 as botocore gives it here, or epoch seconds."""
    if isinstance(told, (int, float)):
        return datetime.fromtimestamp(told, UTC)
    parsed = datetime.fromisoformat(told) if isinstance(told, str) else told
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def shown(told: str | float | datetime) -> str:
    """`2026-01-02T03:04:05Z`."""
    return f"{moment_of(told):%Y-%m-%dT%H:%M:%SZ}"


def shown_with_ms(told: str | float | datetime) -> str:
    """`2026-01-02T03:04:05.678Z`, where the order of lines hangs on it."""
    moment = moment_of(told)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def epoch_of(told: str | float | datetime) -> float:
    """Epoch seconds."""
    return moment_of(told).timestamp()
