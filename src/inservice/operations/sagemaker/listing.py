"""What the List operations have in common: filters, defaults, and page tokens."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from inservice.errors import ValidationException
from inservice.operations.registry import Call
from inservice.store.listing import ListQuery, Page, Position, SortKey

PAGE_SIZE = 10
"""Lines of a page unless MaxResults says otherwise. AWS documents it for ListEndpoints alone."""

_TOKEN = msgspec.json.Decoder(tuple[str, str | float, str])


@dataclass(frozen=True, slots=True)
class Listing:
    """One list request: what it asks for, and how its pages are linked."""

    operation: str
    query: ListQuery  # without a position

    @classmethod
    def of(
        cls,
        call: Call,
        operation: str,
        *,
        sort_by: str = SortKey.CREATION_TIME,
        sort_order: str = "Descending",
        max_results: int = PAGE_SIZE,
        name_contains: str | None = None,
        creation_time_before: float | None = None,
        creation_time_after: float | None = None,
        last_modified_time_before: float | None = None,
        last_modified_time_after: float | None = None,
        status_equals: str | None = None,
    ) -> Listing:
        """AWS's members with AWS's defaults."""
        query = ListQuery(
            account=call.account,
            region=call.region,
            limit=max_results,
            sort_by=SortKey(sort_by),
            descending=sort_order == "Descending",
            name_contains=name_contains,
            created_before=creation_time_before,
            created_after=creation_time_after,
            modified_before=last_modified_time_before,
            modified_after=last_modified_time_after,
            status=status_equals,
        )
        return cls(operation, query)

    def from_token(self, token: str | None) -> ListQuery:
        """The query, from where `token` says on.

        Raises ValidationException for a token that this very list has not given: of another
        operation, account, region or filter, or changed. MaxResults alone may change on the way.
        """
        if token is None:
            return self.query
        try:
            digest, value, key = _TOKEN.decode(base64.urlsafe_b64decode(token))
        except (ValueError, msgspec.MsgspecError) as error:
            raise _foreign_token() from error
        if digest != self._digest((value, key)):
            raise _foreign_token()
        return replace(self.query, after=(value, key))

    def answer(
        self, member: str, lines: Sequence[Mapping[str, Any]], page: Page
    ) -> Mapping[str, Any]:
        """The output document: the lines, and a token unless this is the last page."""
        if page.end is None:
            return {member: lines}
        token = msgspec.json.encode((self._digest(page.end), *page.end))
        return {member: lines, "NextToken": base64.urlsafe_b64encode(token).decode()}

    def _digest(self, position: Position) -> str:
        """Ties a position to its list. It is no secret and need not be: all that a forged position
        could show is what its owner may list anyway."""
        identity = repr((self.operation, replace(self.query, limit=0, after=position)))
        return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _foreign_token() -> ValidationException:
    return ValidationException("NextToken is not valid for this request.")
