"""NextToken of CloudWatch's lists: where a page ended, tied to the request that it belongs to."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from inservice.cloudwatch.alarms.errors import BadToken
from inservice.operations.registry import Call


def next_token(call: Call, asked: tuple[Any, ...], position: Any) -> str:
    """A token for the page after `position` of the list that `asked` describes."""
    token = msgspec.json.encode([_digest(call, asked, position), position])
    return base64.urlsafe_b64encode(token).decode()


def position_of(token: str | None, call: Call, asked: tuple[Any, ...]) -> Any:
    """Where the page before ended; None for the first. Raises BadToken for a token of another list,
    and for one that was changed: nobody else looks whether a position is one.

    Whoever forges a position can only see what is theirs to list anyway; the digest is against
    mistakes.
    """
    if token is None:
        return None
    try:
        digest, position = msgspec.json.decode(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise BadToken("The NextToken is not valid.") from error
    if digest != _digest(call, asked, position):
        raise BadToken("The NextToken is not valid for this request.")
    return position


def _digest(call: Call, asked: tuple[Any, ...], position: Any) -> str:
    place = msgspec.json.encode(position)  # a tuple comes back as a list; their JSON is the same
    identity = repr((call.account, call.region, asked, place))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
