"""Which policies a bucket keeps, in S3's words for each that it does not, and which of them make it
public.

S3 reads a policy as IAM does, and then asks whether it is about this bucket: a policy that names
another, or an action of another service, would never decide anything.

A policy is public if it allows something to whoever asks: a principal `*`, that no condition holds
to somebody. A condition does that by a fixed value of a key that a stranger cannot choose.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from inservice.errors import MalformedPolicyDocument
from inservice.identity.policies.grammar import Elements, PolicyKind, check
from inservice.identity.policies.source import read
from inservice.s3_errors import MalformedPolicy

SIZE_MAX: Final = 20 * 1024

_VERSION = "The policy must contain a valid version string"
_FIELDS = frozenset(
    (
        *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
        *("Resource", "NotResource", "Condition"),
    )
)
_BUCKET_ACTION = re.compile(
    r"(Create|Delete)Bucket|ListBucket(Versions|MultipartUploads)?|"
    r"(Get|Put)(BucketAcl|BucketCORS|BucketLogging|BucketNotification|BucketOwnershipControls|"
    r"BucketPolicy|BucketPublicAccessBlock|BucketRequestPayment|BucketTagging|BucketVersioning|"
    r"BucketWebsite|AccelerateConfiguration|AnalyticsConfiguration|EncryptionConfiguration|"
    r"IntelligentTieringConfiguration|InventoryConfiguration|LifecycleConfiguration|"
    r"MetricsConfiguration|ReplicationConfiguration|BucketObjectLockConfiguration)|"
    r"GetBucketLocation|GetBucketPolicyStatus|DeleteBucketPolicy|DeleteBucketWebsite",
    re.IGNORECASE,
)
"""Actions on a bucket. All others of S3's that a policy of one can be about are on its objects."""


def check_policy(text: str, bucket: str) -> None:
    """Raises MalformedPolicy for what S3 does not keep as the policy of this bucket."""
    if len(text.encode()) > SIZE_MAX:
        raise MalformedPolicy("Policy exceeds the maximum allowed document size.")
    document = _document(text)
    raw = document["Statement"]
    statements = raw if isinstance(raw, list) else [raw]
    if not statements:
        raise MalformedPolicy("Could not parse the policy: Statement is empty!")
    for statement in statements:
        _check_fields(statement)
    try:
        elements = check(document, PolicyKind.RESOURCE)
    except MalformedPolicyDocument as error:
        raise MalformedPolicy(_in_words_of_s3(error.message)) from None
    for element in elements:
        _check_about(element, bucket)


def is_public(text: str) -> bool:
    """Whether a policy that is kept lets whoever asks do something."""
    return any(
        element.allows and _names_anybody(element) and not _holds_to_somebody(element.conditions)
        for element in check(read(text).document, PolicyKind.RESOURCE)
    )


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────


def _document(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        raise MalformedPolicy
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedPolicy from None
    if "Statement" not in parsed:
        raise MalformedPolicy("Missing required field Statement")
    try:
        document = dict(read(text).document)
    except MalformedPolicyDocument:
        raise MalformedPolicy("Invalid policy syntax.") from None
    for name in document:
        if name not in ("Version", "Id", "Statement"):
            raise MalformedPolicy(f"Unknown field {name}")
    if document.get("Version", "2008-10-17") not in ("2012-10-17", "2008-10-17"):
        raise MalformedPolicy(_VERSION)
    return document


def _check_fields(statement: object) -> None:
    if not isinstance(statement, dict):
        raise MalformedPolicy("Invalid policy syntax.")
    for name in statement:
        if name not in _FIELDS:
            raise MalformedPolicy(f"Unknown field {name}")
    if "Effect" not in statement:
        raise MalformedPolicy("Missing required field Effect")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise MalformedPolicy(f"Invalid effect: {statement['Effect']}")
    for name in ("Principal", "Action", "Resource"):
        if name not in statement and f"Not{name}" not in statement:
            raise MalformedPolicy(f"Missing required field {name}")
        if statement.get(name) == [] or statement.get(name) == {}:
            raise MalformedPolicy(f"Missing required field {name} cannot be empty!")


def _in_words_of_s3(message: str) -> str:
    if message.startswith("Invalid principal"):
        return "Invalid principal in policy"
    if message.startswith(("Actions/Condition", "Vendor ")):
        return "Policy has invalid action"
    if message.startswith(("Resource ", "Partition ", "IAM resource ", "The policy failed")):
        return "Policy has invalid resource"
    return message if message.startswith("Missing") else "Invalid policy syntax."


def _check_about(element: Elements, bucket: str) -> None:
    for action in element.actions:
        vendor, _, name = action.partition(":")
        if action != "*" and (vendor.lower() != "s3" or not name):
            raise MalformedPolicy("Policy has invalid action")
    paths = [resource.split(":", 5)[-1] for resource in element.resources]
    for resource, path in zip(element.resources, paths, strict=True):
        service = resource.split(":")[2:3]
        # A wildcard behind the name of the bucket means others too, of which this is no policy.
        if service != ["s3"] or not re.fullmatch(
            rf"{re.escape(bucket)}([/*?].*)?", path, re.DOTALL
        ):
            raise MalformedPolicy("Policy has invalid resource")
    if element.not_actions or element.not_resources:
        return
    on_bucket = any("/" not in path for path in paths)
    on_objects = any("/" in path or "*" in path for path in paths)
    for action in element.actions:
        name = action.partition(":")[2]
        if "*" in action or "?" in action:
            continue
        if not (on_bucket if _BUCKET_ACTION.fullmatch(name) else on_objects):
            raise MalformedPolicy("Action does not apply to any resource(s) in statement")


# ── what is public ───────────────────────────────────────────────────────────────────────────────

_HOLDING = frozenset(
    (
        *("aws:principalarn", "aws:principalaccount", "aws:principalorgid", "aws:sourcearn"),
        *("aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount", "aws:userid"),
        *("aws:sourceorgid", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
        *("s3:dataaccesspointaccount", "s3:dataaccesspointarn", "aws:principalorgpaths"),
    )
)
"""Keys whose fixed value holds a statement to somebody, beside `aws:SourceIp`."""

_EQUAL = ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike")
_BROADEST_4, _BROADEST_6 = 8, 32
"""Of the networks that `aws:SourceIp` holds to, the shortest prefix that is not everybody."""


def _names_anybody(element: Elements) -> bool:
    if element.not_principals:
        return True  # everybody but some
    return ("AWS", "*") in (element.principals or ())


def _holds_to_somebody(conditions: Mapping[str, Mapping[str, Sequence[str]]]) -> bool:
    for operator, keys in conditions.items():
        for key, values in keys.items():
            if operator == "IpAddress" and key.lower() == "aws:sourceip":
                if values and all(map(_is_narrow, values)):
                    return True
            elif operator in _EQUAL and key.lower() in _HOLDING and values:
                # A principal's own id may end in `*`: what is before it names a role.
                fixed = all(not re.search(r"[*?]|\$\{", value) for value in values)
                if fixed or (
                    key.lower() == "aws:userid"
                    and all(re.fullmatch(r"A[A-Z0-9]{16,}:\*", value) for value in values)
                ):
                    return True
    return False


def _is_narrow(network: str) -> bool:
    try:
        found = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
    return found.prefixlen >= (_BROADEST_4 if found.version == 4 else _BROADEST_6)
