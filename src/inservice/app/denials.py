"""Invocations that gateway workers refused, as the audit trail has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inservice.audit.entry import entry_of
from inservice.audit.trail import Trail
from inservice.channel.denials import DenialRow
from inservice.errors import RuntimeAccessDenied


def told_to(trail: Trail) -> Callable[[Sequence[DenialRow]], None]:
    """Writes what workers tell to the trail."""

    def write(rows: Sequence[DenialRow]) -> None:
        for row in rows:
            entry = entry_of(
                at=row.at,
                principal=row.principal,
                access_key_id=row.key,
                action=row.action,
                resources=(row.resource,),
                region=row.region,
                outcome=RuntimeAccessDenied.code,
                request_id=row.request_id,
                source_address=row.source,
                user_agent=row.agent.encode("utf-8", "replace"),
                unwritten_before=row.unwritten,
            )
            trail.denied(entry)

    return write
