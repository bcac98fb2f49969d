"""Continuation tokens: what a page ended with, in a form that nobody mistakes for a name."""

from __future__ import annotations

import base64

from inservice.s3_errors import InvalidArgument
from inservice.storage.operations.refusals import invalid_argument

_VERSION = b"1"


def token_of(last: str) -> str:
    """A token, to go on behind what it says."""
    return base64.urlsafe_b64encode(_VERSION + last.encode()).decode()


def said_by(token: str) -> str:
    """What a token says. Raises InvalidArgument."""
    try:
        content = base64.b64decode(token, altchars=b"-_", validate=True)
        text = content[len(_VERSION) :].decode()
    except ValueError:
        raise _incorrect() from None
    if not content.startswith(_VERSION) or not text:
        raise _incorrect()
    return text


def _incorrect() -> InvalidArgument:
    return invalid_argument("The continuation token provided is incorrect", "continuation-token")
