"""Errors in S3's own codes, statuses and words: what its clients match on, and people search for.

A class is named as its code. `words` are what S3 says where nothing more is to be told; what else
it says goes into elements beside the message, and those are the keywords here:

    raise NoSuchKey(Key="a/b")

    <Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>
           <Key>a/b</Key><RequestId>…</RequestId><HostId>…</HostId></Error>

Whoever answers adds what is known of every request: Resource, BucketName, the request's id.
"""

from __future__ import annotations

from typing import Any, ClassVar

from inservice.errors import AuthenticationError, AwsError, SenderError


class S3Error(SenderError):
    """What S3 refuses. A subclass is named as its code is; most are answered 400."""

    words: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        cls.code = cls.__name__

    def __init__(self, message: str = "", **members: Any) -> None:
        super().__init__(message or self.words, members=members)


class S3Denial(AuthenticationError):
    """Who is asking could not be established; S3 answers most with 403."""

    words: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        cls.code = cls.__name__

    def __init__(self, message: str = "", **members: Any) -> None:
        super().__init__(message or self.words, members=members)


# ── who asks ─────────────────────────────────────────────────────────────────────────────────────


class AccessDenied(S3Denial):
    """Not allowed, or asked too late, or by nobody."""

    words = "Access Denied"


class InvalidAccessKeyId(S3Denial):
    """No such key. `AWSAccessKeyId` is the one that was given."""

    words = "The AWS Access Key Id you provided does not exist in our records."


class SignatureDoesNotMatch(S3Denial):
    """Signed with another secret, or another request than this one."""

    words = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )


class RequestTimeTooSkewed(S3Denial):
    """A clock is off by more than a quarter of an hour."""

    words = "The difference between the request time and the current time is too large."


class InvalidToken(S3Denial):
    """A session token that is not the key's."""

    status = 400
    words = "The provided token is malformed or otherwise invalid."


class ExpiredToken(S3Denial):
    """A session that has ended."""

    status = 400
    words = "The provided token has expired."


class AuthorizationHeaderMalformed(S3Denial):
    """An Authorization header that does not say what it has to."""

    status = 400


class AuthorizationQueryParametersError(S3Denial):
    """A presigned URL that does not say what it has to."""

    status = 400


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


class InvalidRequest(S3Error):
    """Parts of it that do not go together, or one that is missing."""


class InvalidArgument(S3Error):
    """A header or parameter that cannot be: `ArgumentName`, `ArgumentValue`."""

    words = "Invalid Argument"


class InvalidURI(S3Error):
    """A path that is no text."""

    words = "Couldn't parse the specified URI."


class InvalidBucketName(S3Error):
    """What no bucket can be called."""

    words = "The specified bucket is not valid."


class KeyTooLongError(S3Error):
    """More than 1,024 bytes in UTF-8. `Size`, `MaxSizeAllowed`."""

    words = "Your key is too long"


class MetadataTooLarge(S3Error):
    """More than 2 KB of x-amz-meta-. `Size`, `MaxSizeAllowed`."""

    words = "Your metadata headers exceed the maximum allowed metadata size"


class InvalidStorageClass(S3Error):
    """A class that S3 does not have. `StorageClassRequested`."""

    words = "The storage class you specified is not valid"


class MalformedXML(S3Error):
    """A document that is not what the operation takes."""

    words = (
        "The XML you provided was not well-formed or did not validate against our published schema"
    )


class MethodNotAllowed(S3Error):
    """Nothing is asked for in this way: `Method`, `ResourceType`."""

    status = 405
    words = "The specified method is not allowed against this resource."


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────


class MissingContentLength(S3Error):
    """S3 wants to know how long a body is before it takes it."""

    status = 411
    words = "You must provide the Content-Length HTTP header."


class EntityTooLarge(S3Error):
    """More than 5 GiB at once: `ProposedSize`, `MaxSizeAllowed`."""

    words = "Your proposed upload exceeds the maximum allowed object size"


class MaxMessageLengthExceeded(S3Error):
    """A document that is larger than any that an operation takes."""

    words = "Your request was too big."


class IncompleteBody(S3Error):
    """Another number of bytes than was said."""

    words = "The request body terminated unexpectedly"


class InvalidChunkSizeError(S3Error):
    """A chunk that is too small, and not the last: `Chunk`, `BadChunkSize`."""

    status = 403
    words = "Only the last chunk is allowed to have a size less than 8192 bytes"


class MalformedTrailerError(S3Error):
    """A trailer that is none, or not the one that was announced."""

    words = (
        "The request contained trailing data that was not well-formed or did not conform to "
        "our published schema."
    )


class InvalidDigest(S3Error):
    """A Content-MD5 that is no digest at all."""

    words = "The Content-MD5 you specified was invalid."


class BadDigest(S3Error):
    """A body of which a digest or checksum was stated that is another's."""

    words = "The Content-MD5 you specified did not match what we received."


class XAmzContentSHA256Mismatch(S3Error):
    """Another body than the one that was signed for."""

    words = "The provided 'x-amz-content-sha256' header does not match what was computed."


# ── what is there ────────────────────────────────────────────────────────────────────────────────


class NoSuchBucket(S3Error):
    """No bucket is called so: `BucketName`."""

    status = 404
    words = "The specified bucket does not exist"


class NoSuchKey(S3Error):
    """No object is called so: `Key`."""

    status = 404
    words = "The specified key does not exist."


class NoSuchUpload(S3Error):
    """No upload has this id, any more or at all: `UploadId`."""

    status = 404
    words = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
        "been aborted or completed."
    )


class PreconditionFailed(S3Error):
    """The object is not as a condition has it: `Condition` names the header."""

    status = 412
    words = "At least one of the pre-conditions you specified did not hold"


class InvalidRange(S3Error):
    """No byte of the object is in the range. `RangeRequested`, `ActualObjectSize`."""

    status = 416
    words = "The requested range is not satisfiable"


class InvalidPartNumber(S3Error):
    """The object has no such part. `PartNumberRequested`, `ActualPartCount`."""

    status = 416
    words = "The requested partnumber is not satisfiable"


class NoSuchVersion(S3Error):
    """An object has one version here, called `null`. `Key`, `VersionId`."""

    status = 404
    words = "The specified version does not exist."


class NotModified(AwsError):
    """What was asked for is what the client has: an answer without a body."""

    code = "NotModified"
    status = 304
    fault = "Sender"

    def __init__(self) -> None:
        super().__init__("Not Modified")


# ── buckets ──────────────────────────────────────────────────────────────────────────────────────


class BucketAlreadyExists(S3Error):
    """Another account has it. `BucketName`."""

    status = 409
    words = (
        "The requested bucket name is not available. The bucket namespace is shared by all users "
        "of the system. Please select a different name and try again."
    )


class BucketAlreadyOwnedByYou(S3Error):
    """Said everywhere but in us-east-1, where S3 answers 200. `BucketName`."""

    status = 409
    words = "Your previous request to create the named bucket succeeded and you already own it."


class BucketNotEmpty(S3Error):
    """It has objects. `BucketName`."""

    status = 409
    words = "The bucket you tried to delete is not empty"


class TooManyBuckets(S3Error):
    """The account has as many as it may."""

    words = "You have attempted to create more buckets than allowed"


class IllegalLocationConstraintException(S3Error):
    """A bucket that is asked for in another region than the one that was called."""

    words = (
        "The unspecified location constraint is incompatible for the region specific endpoint "
        "this request was sent to."
    )


class InvalidLocationConstraint(S3Error):
    """No such region. `LocationConstraint`."""

    words = "The specified location-constraint is not valid"


class MalformedPolicy(S3Error):
    """A bucket policy that is none; the words say why."""

    words = "Policies must be valid JSON and the first byte must be '{'"


class NoSuchBucketPolicy(S3Error):
    """`BucketName`."""

    status = 404
    words = "The bucket policy does not exist"


class NoSuchCORSConfiguration(S3Error):
    """`BucketName`."""

    status = 404
    words = "The CORS configuration does not exist"


class NoSuchTagSet(S3Error):
    """Of a bucket; an object without tags has an empty set of them. `BucketName`."""

    status = 404
    words = "The TagSet does not exist"


class NoSuchLifecycleConfiguration(S3Error):
    """`BucketName`."""

    status = 404
    words = "The lifecycle configuration does not exist"


class NoSuchWebsiteConfiguration(S3Error):
    """`BucketName`."""

    status = 404
    words = "The specified bucket does not have a website configuration"


class ReplicationConfigurationNotFoundError(S3Error):
    """`BucketName`."""

    status = 404
    words = "The replication configuration was not found"


class ObjectLockConfigurationNotFoundError(S3Error):
    """`BucketName`."""

    status = 404
    words = "Object Lock configuration does not exist for this bucket"


class NoSuchPublicAccessBlockConfiguration(S3Error):
    """`BucketName`."""

    status = 404
    words = "The public access block configuration was not found"


class OwnershipControlsNotFoundError(S3Error):
    """`BucketName`."""

    status = 404
    words = "The bucket ownership controls were not found"


class ServerSideEncryptionConfigurationNotFoundError(S3Error):
    """`BucketName`."""

    status = 404
    words = "The server side encryption configuration was not found"


# ── parts, tags, room ────────────────────────────────────────────────────────────────────────────


class InvalidPart(S3Error):
    """Never uploaded, or another than was named. `UploadId`, `PartNumber`, `ETag`."""

    words = (
        "One or more of the specified parts could not be found.  The part may not have been "
        "uploaded, or the specified entity tag may not match the part's entity tag."
    )


class InvalidPartOrder(S3Error):
    """Parts are named in the order of their numbers, each once. `UploadId`."""

    words = "The list of parts was not in ascending order. Parts must be ordered by part number."


class EntityTooSmall(S3Error):
    """A part before the last. `ProposedSize`, `MinSizeAllowed`, `PartNumber`, `ETag`."""

    words = "Your proposed upload is smaller than the minimum allowed size"


class InvalidTag(S3Error):
    """What nothing can be tagged with; the words say why."""

    words = "The TagKey you have provided is invalid"


class QuotaExceeded(S3Error):
    """The storage of this server holds what it may. Ceph's word, for AWS has no end; and no 503,
    since waiting does not help."""

    status = 403
    words = (
        "The storage of this server holds as much as its quota allows: delete objects, or raise it."
    )
