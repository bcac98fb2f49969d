"""Files of an artifact that are not what was unpacked: whom that concerns is told in its history.

They are set aside and fetched anew, so whatever is launched from now on is sound. What runs was
launched before, and may have read what somebody put there.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from inservice.artifacts.base import ChangedTree
from inservice.clock import Clock
from inservice.errors import AwsError
from inservice.ids import generation_of
from inservice.store.base import Store

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ChangedFiles:
    """Tells of changed trees."""

    store: Store
    clock: Clock

    def tell(self, changed: ChangedTree) -> None:
        """Write it into the history of every endpoint with a fleet that began with these files.
        Blocks; called in the thread that found them."""
        concerned = {generation_of(pin) for pin in changed.pins}
        message = (
            "Files of a model artifact are not what was unpacked: somebody changed them, or the "
            f"disk lost them. They are kept in {changed.place}, and are fetched anew for whatever "
            "is launched from now on; instances that run may have read them."
        )
        try:
            with self.store.transaction() as tx:
                for record in tx.endpoints.all():
                    if record.endpoint.generation in concerned:
                        event = record.deployment.event(self.clock.now(), message)
                        tx.endpoints.add_event(record, event)
        except AwsError as refused:  # a launch does not fail because nothing can be written down
            _log.error("changed_files.not_recorded", place=str(changed.place), why=str(refused))
