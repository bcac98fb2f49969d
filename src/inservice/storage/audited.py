"""What of storage is in the audit trail: buckets that were changed, and whoever was refused.

As on AWS: what is done to a bucket is told always, what is done to objects (AWS's data events) is
not, and a denial is told whatever it was about. The storage process has a trail of its own beside
control's (`audit.trail`), so a change is told before it is answered also while control is gone;
`inservice audit` reads both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from inservice.audit.entry import DONE, UNKNOWN, Entry, entry_of
from inservice.audit.trail import Trail
from inservice.errors import AwsError, InternalFailure
from inservice.storage.calls import Answer
from inservice.storage.deciding import Asker
from inservice.storage.touches import OF_BUCKET

_CHANGES: Final = ("Create", "Put", "Delete")


class Told:
    """All that a line tells of a request, but for what is done to what and how it came out."""

    __slots__ = ("agent", "asker", "at", "region", "request_id", "source")

    def __init__(
        self,
        asker: Asker,
        region: str,
        request_id: str,
        at: float,
        source: str | None,
        agent: bytes | None,
    ) -> None:
        self.asker = asker
        self.region = region
        self.request_id = request_id
        self.at = at
        self.source = source
        self.agent = agent

    def entry(self, action: str, resources: Sequence[str], outcome: str) -> Entry:
        """The line."""
        return entry_of(
            at=self.at,
            principal=self.asker.principal.arn,
            access_key_id=self.asker.key_id,
            action=action,
            resources=resources,
            region=self.region,
            outcome=outcome,
            request_id=self.request_id,
            source_address=self.source,
            user_agent=self.agent,
        )


def is_audited(operation: str) -> bool:
    """Whether it changes a bucket."""
    changes = operation.startswith(_CHANGES)
    return operation == "CreateBucket" or (changes and operation in OF_BUCKET)


def performed(
    trail: Trail,
    operation: str,
    told: Callable[[], Told],
    action: str,
    resources: Sequence[str],
    perform: Callable[[], Answer],
) -> Answer:
    """Perform, and tell of it if it is of those that change a bucket. Raises the errors of the
    operation, and InsufficientStorage where it could not be told of: then it is not begun."""
    if not is_audited(operation):
        return perform()
    change = trail.begin(told().entry(action, resources, UNKNOWN))
    outcome = InternalFailure.code
    try:
        answer = perform()
        outcome = DONE
    except AwsError as error:
        outcome = error.code
        raise
    finally:
        trail.end(change, outcome)
    return answer
