"""Errors as the XML protocols have them that are spoken to services which are not here.

rest-xml   <ErrorResponse><Error><Type/><Code/><Message/></Error><RequestId/></ErrorResponse>
S3         <Error><Code/><Message/><Resource/><RequestId/></Error>, in words of its own
ec2        <Response><Errors><Error><Code/><Message/></Error></Errors><RequestID/></Response>
"""

from __future__ import annotations

from collections.abc import Mapping

from inservice.aws.aws_query import xml_text
from inservice.aws.wire import Reply
from inservice.errors import AwsError

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_S3_CODES: Mapping[str, str] = {
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "UnrecognizedClientException": "InvalidAccessKeyId",
    "IncompleteSignatureException": "AuthorizationHeaderMalformed",
    "MissingAuthenticationTokenException": "AccessDenied",
    "ExpiredTokenException": "ExpiredToken",
}

_S3_STATUSES: Mapping[str, int] = {"NotImplemented": 501}
"""S3's own status of that code. An answer to HEAD has no body to tell it in, and boto3 would ask
again for the region of a bucket that answers 400."""


def rest_xml(namespace: str, error: AwsError, request_id: str) -> Reply:
    """The form of CloudFront and Route 53."""
    xmlns = f' xmlns="{xml_text(namespace)}"' if namespace else ""
    text = (
        f"<ErrorResponse{xmlns}><Error><Type>{error.fault}</Type><Code>{error.code}</Code>"
        f"<Message>{xml_text(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return _reply(error.status, text, (b"x-amzn-RequestId", request_id.encode()))


def s3(resource: str, error: AwsError, request_id: str) -> Reply:
    """The form of S3, about the path that was asked for."""
    text = (
        f"<Error><Code>{_S3_CODES.get(error.code, error.code)}</Code>"
        f"<Message>{xml_text(error.message)}</Message><Resource>{xml_text(resource)}</Resource>"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
    status = _S3_STATUSES.get(error.code, error.status)
    return _reply(status, text, (b"x-amz-request-id", request_id.encode()))


def ec2(error: AwsError, request_id: str) -> Reply:
    """The form of EC2, which is nobody else's."""
    text = (
        f"<Response><Errors><Error><Code>{error.code}</Code>"
        f"<Message>{xml_text(error.message)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )
    return _reply(error.status, text, (b"x-amzn-RequestId", request_id.encode()))


def _reply(status: int, text: str, header: tuple[bytes, bytes]) -> Reply:
    headers = [header, (b"Content-Type", b"application/xml")]
    return Reply(status, headers, (_DECLARATION + text).encode())
