"""What S3 answers when an operation refuses, beside what `s3_errors` has of all of them: the words
are S3's own.

    S3Error
    ├── InvalidTag, InvalidRedirectLocation, …     400
    ├── NoSuchConfiguration                        404
    └── ConditionNotTaken                          501  what S3 itself does not take for a write

What S3 has and this server has not is NotImplementedYet, as everywhere.
"""

from __future__ import annotations

from inservice.s3_errors import InvalidArgument, S3Error


class BadRequest(S3Error):
    """More tags than there may be."""


class InvalidBucketOwnerAWSAccountID(S3Error):
    """What is expected to own a bucket is no account."""

    def __init__(self, account: str) -> None:
        super().__init__(
            "The value of the expected bucket owner parameter must be an AWS Account ID... "
            f"[{account}]"
        )


class AccessControlListNotSupported(S3Error):
    """Every bucket is of the kind whose owner owns what is in it."""

    words = "The bucket does not allow ACLs"


class InvalidBucketAclWithObjectOwnership(S3Error):
    """The same, of a bucket that is made."""

    words = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"


class MalformedACLError(S3Error):
    """A list of who may do what that is none."""

    words = (
        "The XML you provided was not well-formed or did not validate against our published schema"
    )


class MissingSecurityHeader(S3Error):
    """An ACL is to be put, and none is said. `MissingHeaderName`."""

    words = "Your request was missing a required header"


class UnexpectedContent(S3Error):
    """An ACL in a header and another in the body."""

    words = "This request does not support content"


class IllegalVersioningConfigurationException(S3Error):
    """Versioning is to be changed, and nothing is said."""

    words = "The Versioning element must be specified"


class InvalidEncryptionAlgorithmError(S3Error):
    """Nothing encrypts so. `ArgumentName`, `ArgumentValue`."""

    words = "The Encryption request you specified is not valid. Supported value: AES256."


class InvalidRedirectLocation(S3Error):
    """A place that is no address."""

    words = "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."


class NoSuchConfiguration(S3Error):
    """One of several of its kind, by a name that none has."""

    status = 404
    words = "The specified configuration does not exist."


class ConditionNotTaken(S3Error):
    """AWS's own 501, for a header that it does not take on this operation."""

    status = 501

    def __init__(self, header: str, additional: str = "") -> None:
        more = {"additionalMessage": additional} if additional else {}
        super().__init__(
            "A header you provided implies functionality that is not implemented",
            Header=header,
            **more,
        )


ConditionNotTaken.code = "NotImplemented"


def invalid_argument(message: str, name: str, value: object = None) -> InvalidArgument:
    """A parameter that has no such value."""
    said = {} if value is None else {"ArgumentValue": str(value)}
    return InvalidArgument(message, ArgumentName=name, **said)
