"""Errors as the XML protocols have them that are not the query protocol.

rest-xml   <ErrorResponse><Error><Type/><Code/><Message/></Error><RequestId/></ErrorResponse>
S3         <Error><Code/><Message/>…<Resource/><RequestId/><HostId/></Error>, in words of its own;
           between them what else is to be told: Key, BucketName, ArgumentName …
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from inservice.aws.aws_query import xml_text
from inservice.aws.wire import Headers, Reply
from inservice.errors import AwsError

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_IN_S3: Mapping[str, tuple[str, int | None]] = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 400),
    "IncompleteSignatureException": ("AuthorizationHeaderMalformed", None),
    "InternalFailure": ("InternalError", 500),
    "InvalidSignatureException": ("SignatureDoesNotMatch", None),
    "MissingAuthenticationTokenException": ("AccessDenied", None),
    "NotImplemented": ("NotImplemented", 501),
    "RequestEntityTooLargeException": ("EntityTooLarge", 400),
    "SerializationException": ("InvalidRequest", 400),
    "ThrottlingException": ("SlowDown", 503),
    "UnrecognizedClientException": ("InvalidAccessKeyId", None),
    "ValidationException": ("InvalidRequest", 400),
}
"""What S3 calls errors of everybody's, and its status of them. NotImplemented is a 501, since an
answer to HEAD has no body to tell it in, and boto3 would ask again for the region of a bucket that
answers 400."""


def rest_xml(namespace: str, error: AwsError, request_id: str) -> Reply:
    """The form of CloudFront and Route 53."""
    xmlns = f' xmlns="{xml_text(namespace)}"' if namespace else ""
    text = (
        f"<ErrorResponse{xmlns}><Error><Type>{error.fault}</Type><Code>{error.code}</Code>"
        f"<Message>{xml_text(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return _reply(error.status, text, (b"x-amzn-RequestId", request_id.encode()))


def s3(resource: str, error: AwsError, request_id: str, *, bodiless: bool = False) -> Reply:
    """The form of S3, about the path that was asked for. An answer to HEAD is `bodiless`, and one
    without news (304)."""
    code, status = _IN_S3.get(error.code, (error.code, None))
    headers = s3_identified(request_id)
    status = status or error.status
    if bodiless or status == 304:
        return Reply(status, headers, b"")
    members = "".join(f"<{k}>{xml_text(str(v))}</{k}>" for k, v in error.members.items())
    text = (
        f"<Error><Code>{code}</Code><Message>{xml_text(error.message)}</Message>{members}"
        f"<Resource>{xml_text(resource)}</Resource><RequestId>{request_id}</RequestId>"
        f"<HostId>{headers[1][1].decode()}</HostId></Error>"
    )
    headers.append((b"Content-Type", b"application/xml"))
    return Reply(status, headers, (DECLARATION + text).encode())


def s3_identified(request_id: str) -> Headers:
    """What every answer of S3 begins with: its id, and the host's, which support asks for as well
    and which follows from the first here."""
    return [
        (b"x-amz-request-id", request_id.encode()),
        (b"x-amz-id-2", b64encode(request_id.encode())),
    ]


def _reply(status: int, text: str, header: tuple[bytes, bytes]) -> Reply:
    headers = [header, (b"Content-Type", b"application/xml")]
    return Reply(status, headers, (DECLARATION + text).encode())
