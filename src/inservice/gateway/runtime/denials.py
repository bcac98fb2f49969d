"""Who was refused an invocation, told to control for the audit trail: a few a second, and how many
more there were.

An invocation that is refused costs its caller nothing, and must cost the server next to nothing. So
a worker keeps the first few of each second and counts the rest; while control is gone it keeps some
and counts on. What it has not told when it is killed, or control in the second after, is lost.
"""

from __future__ import annotations

from typing import Final

from inservice.channel.denials import DenialRow
from inservice.channel.messages import Denials, encode
from inservice.partitions import partition_of
from inservice.routing.table import KeyRoute

TOLD_MAX: Final = 10
"""In a message, which is sent once a second. Control writes twenty a second, of all workers."""

KEPT_MAX: Final = 100
"""While control is gone."""

AGENT_MAX: Final = 256
"""Bytes of a user agent."""


class Refused:
    """The denials of one worker that control has not been told."""

    def __init__(self) -> None:
        self._kept: list[DenialRow] = []
        self._since = 0  # those of `_kept` that were added since the last look
        self._unwritten = 0

    def note(
        self,
        key: KeyRoute,
        region: str,
        action: str,
        resource: str,
        *,
        at: float,
        request_id: bytes,
        source: str | None,
        agent: bytes | None,
    ) -> None:
        """Somebody was refused `action` on `resource`, which is the end of an ARN."""
        if self._since >= TOLD_MAX or len(self._kept) >= KEPT_MAX:
            self._unwritten += 1
            return
        self._since += 1
        arn = f"arn:{partition_of(region)}:sagemaker:{region}:{key.account}:{resource}"
        told = (agent or b"")[:AGENT_MAX].decode("utf-8", "replace")
        self._kept.append(
            DenialRow(
                at,
                key.principal,
                key.id,
                action,
                arn,
                region,
                request_id.decode("ascii", "replace"),
                source or "",
                told,
                self._unwritten,
            )
        )
        self._unwritten = 0

    def take(self, *, there: bool) -> bytes | None:
        """The message to send now, if control is `there`; None if there is nothing to say."""
        self._since = 0
        if not there or not self._kept:
            return None
        rows, self._kept = self._kept[:TOLD_MAX], self._kept[TOLD_MAX:]
        return encode(Denials(rows))
