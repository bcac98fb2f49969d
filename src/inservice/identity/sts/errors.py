"""What can be wrong with a request to STS, in STS's codes.

What breaks a rule of STS's model, or asks for longer than a role allows, is a ValidationError; a
session policy that is none is a MalformedPolicyDocument; who may not is told AccessDenied.
"""

from __future__ import annotations

from inservice.errors import SenderError


class InvalidParameterValue(SenderError):
    """Session tags that cannot be."""

    code = "InvalidParameterValue"


class PackedPolicyTooLarge(SenderError):
    """Session policies and tags take more room than a session has for them."""

    code = "PackedPolicyTooLarge"

    def __init__(self, percent: int) -> None:
        super().__init__(f"Packed size of session tags consumes {percent}% of allotted space.")


class InvalidAuthorizationMessage(SenderError):
    """A message that no denial of ours had."""

    code = "InvalidAuthorizationMessageException"


class InvalidIdentityToken(SenderError):
    """No token, or not one that is for us."""

    code = "InvalidIdentityToken"


class ExpiredIdentityToken(SenderError):
    """The token has ended. Its name on the wire is that of an expired session's."""

    code = "ExpiredTokenException"

    def __init__(self, now: float, ended: float) -> None:
        super().__init__(
            f"Token expired: current date/time {now:.0f} must be before the expiration date/time "
            f"{ended:.0f}"
        )


class IdpRejectedClaim(SenderError):
    """The provider says that it does not count."""

    code = "IDPRejectedClaim"
    status = 403


class IdpCommunicationError(SenderError):
    """The provider cannot be asked which keys it signs with. SDKs try again."""

    code = "IDPCommunicationError"
