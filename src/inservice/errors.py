"""Every error that InService answers, as AWS sends it.

    AwsError
    ├── Sender: the caller can mend it
    │   ├── ValidationException          400  control plane: a request or a state that is refused
    │   ├── ValidationError              400  runtime plane, CloudWatch, IAM, STS: its other name
    │   ├── InvalidParameterException    400  CloudWatch Logs, ECR, tagging: its third
    │   ├── ResourceLimitExceeded        400
    │   ├── UnknownOperationException    404
    │   ├── NotImplementedYet            400  what AWS has and InService has not: a field, a value,
    │   │                                     an operation, a service
    │   ├── SerializationException       400
    │   ├── RequestEntityTooLarge        413
    │   ├── ThrottlingException          400  too many expensive reads at once
    │   ├── MalformedPolicyDocument      400  IAM, STS: a policy that says nothing, or not clearly
    │   ├── AccessDeniedException        400  on the runtime plane 403
    │   └── authentication: MissingAuthenticationToken, IncompleteSignature,
    │       UnrecognizedClient, InvalidSignature, ExpiredToken         403
    └── Receiver: ours
        ├── InternalFailure              500
        └── ServiceUnavailable           503
            └── InsufficientStorage      503  the disk is full

Raise the class for what happened; the words are in the class or in its one argument. Only `api` and
`gateway` catch. Anything else that escapes is a bug and answers InternalFailure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class AwsError(Exception):
    """An answer that AWS would give. `members` are the modelled fields beside the message."""

    code: ClassVar[str] = "InternalFailure"
    status: ClassVar[int] = 500
    fault: ClassVar[str] = "Receiver"

    def __init__(self, message: str, *, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.members: Mapping[str, Any] = members or {}


class SenderError(AwsError):
    """The caller can mend it."""

    status = 400
    fault = "Sender"


class ValidationException(SenderError):
    """The control plane's word for anything wrong with a request, not-found included."""

    code = "ValidationException"


class ValidationError(SenderError):
    """The runtime plane's word for the same. The two are never interchanged: waiters match one."""

    code = "ValidationError"


class InvalidParameterValue(SenderError):
    """EC2's word for the same."""

    code = "InvalidParameterValue"


class InvalidParameterException(SenderError):
    """The word for the same of CloudWatch Logs, ECR and the Resource Groups Tagging API."""

    code = "InvalidParameterException"


class ResourceLimitExceeded(SenderError):
    """A quota of the account, or a cap of this server, is used up."""

    code = "ResourceLimitExceeded"


class SerializationException(SenderError):
    """The body is not what its protocol says it is."""

    code = "SerializationException"


class RequestEntityTooLarge(SenderError):
    """The body is larger than that of any request, perhaps only once it is uncompressed."""

    code = "RequestEntityTooLargeException"
    status = 413


class ThrottlingException(SenderError):
    """Too much is asked at once. Every SDK waits a moment and asks again."""

    code = "ThrottlingException"

    def __init__(self) -> None:
        super().__init__("Rate exceeded")


class UnknownOperationException(SenderError):
    """No service has an operation of this name."""

    code = "UnknownOperationException"
    status = 404


class NotImplementedYet(SenderError):
    """AWS has it, InService has not: a field, a value, an operation, a service. It is named.

    Never a ValidationException: Terraform's provider takes each one of CreateModel for a role that
    is not there yet, and tries for two minutes. Nor a 501, of which this would be the meaning: the
    SDK for Ruby tries whatever is 5xx again.
    """

    code = "NotImplemented"

    def __init__(self, what: str, why: str = "") -> None:
        super().__init__(f"InService does not support {what} yet{why and f': {why}'}.")


class MalformedPolicyDocument(SenderError):
    """A policy that IAM does not keep. AWS's words say what is wrong with it, and never where."""

    code = "MalformedPolicyDocument"


class AccessDeniedException(SenderError):
    """Authenticated, and not allowed. AWS JSON answers it with 400, not 403."""

    code = "AccessDeniedException"


class RuntimeAccessDenied(AccessDeniedException):
    """The same on the runtime plane, where REST has a status for it."""

    status = 403


class AuthenticationError(SenderError):
    """Who is asking could not be established."""

    status = 403


class MissingAuthenticationToken(AuthenticationError):
    """No signature at all."""

    code = "MissingAuthenticationTokenException"

    def __init__(self) -> None:
        super().__init__("Missing Authentication Token")


class IncompleteSignature(AuthenticationError):
    """A signature that lacks a part or is malformed."""

    code = "IncompleteSignatureException"


class OutdatedSignature(AuthenticationError):
    """Signature Version 2, in S3's code, status and words: its younger regions never took it. Who
    reads them did not choose it, as a rule: boto3 presigns with it. So they hear how not to."""

    code = "InvalidRequest"
    status = 400

    def __init__(self) -> None:
        super().__init__(
            "The authorization mechanism you have provided is not supported. "
            "Please use AWS4-HMAC-SHA256. In boto3 that is Config(signature_version='s3v4'), or "
            "signature_version = s3v4 below s3 = in the profile."
        )


class UnrecognizedClient(AuthenticationError):
    """An access key or session token that nobody was given."""

    code = "UnrecognizedClientException"

    def __init__(self) -> None:
        super().__init__("The security token included in the request is invalid.")


class InvalidSignature(AuthenticationError):
    """The signature does not match, or its date or scope is off."""

    code = "InvalidSignatureException"


class ExpiredToken(AuthenticationError):
    """A session token past its end."""

    code = "ExpiredTokenException"

    def __init__(self) -> None:
        super().__init__("The security token included in the request is expired")


class InternalFailure(AwsError):
    """A bug of ours, answered without its details."""

    code = "InternalFailure"


class ServiceUnavailable(AwsError):
    """Nothing is there to answer just now; worth another try."""

    code = "ServiceUnavailable"
    status = 503


class InsufficientStorage(ServiceUnavailable):
    """The server's disk is full: nothing is added until there is room. Reads and deletes go on.

    A 503, not the 507 of WebDAV: clients know it as a state that passes.
    """

    code = "InsufficientStorage"
