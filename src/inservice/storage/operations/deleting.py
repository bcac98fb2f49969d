"""DeleteObject and DeleteObjects. To delete what is not there is to have it deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inservice.errors import AwsError, NotImplementedYet
from inservice.s3_errors import AccessDenied, InvalidArgument, MalformedXML
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations import asked_conditions
from inservice.storage.operations.asked import arn_of, bucket_of, heard

_KEYS_MAX = 1000


@operation("DeleteObject")
def delete_object(call: Call) -> Answer:
    """One. Its only version is "null": to delete another is to delete nothing."""
    heard(
        call,
        *("VersionId", "IfMatch", "IfMatchLastModifiedTime", "IfMatchSize"),
        *("BypassGovernanceRetention",),
    )
    bucket = bucket_of(call)
    _check_bypass(call)
    when = asked_conditions.of_delete(call.members)
    version = call.members.get("VersionId")
    if version in (None, "null"):
        call.blobs.delete(bucket.name, [call.members["Key"]], when)
    return Answer({"VersionId": version} if version else {})


@operation("DeleteObjects")
def delete_objects(call: Call) -> Answer:
    """Up to a thousand, each of which is allowed or denied by itself."""
    heard(call, "Delete", "BypassGovernanceRetention")
    bucket = bucket_of(call)
    _check_bypass(call)
    asked = call.members.get("Delete") or {}
    given = asked.get("Objects") or []
    if not 1 <= len(given) <= _KEYS_MAX or any(not each.get("Key") for each in given):
        raise MalformedXML
    for member in ("LastModifiedTime", "Size"):
        if any(each.get(member) is not None for each in given):
            raise NotImplementedYet(
                f"Delete.Objects.{member}", "S3 has it for directory buckets alone"
            )
    deleted: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    plain: list[str] = []
    for each in given:
        error = _denied(call, bucket.name, each)
        if error is None and each.get("ETag"):
            error = _deleted_if(call, bucket.name, each)
        elif error is None and each.get("VersionId") in (None, "null"):
            plain.append(each["Key"])
        said = {name: each[name] for name in ("Key", "VersionId") if each.get(name)}
        if error is None:
            deleted.append(said)
        else:
            errors.append({**said, "Code": error.code, "Message": error.message})
    if plain:
        call.blobs.delete(bucket.name, plain)
    members: dict[str, Any] = {}
    if deleted and not asked.get("Quiet"):
        members["Deleted"] = deleted
    if errors:
        members["Errors"] = errors
    return Answer(members)


def _check_bypass(call: Call) -> None:
    if call.members.get("BypassGovernanceRetention") is not None:
        raise InvalidArgument(
            "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
            ArgumentName="x-amz-bypass-governance-retention",
        )


def _denied(call: Call, bucket: str, each: Mapping[str, Any]) -> AwsError | None:
    action = "s3:DeleteObjectVersion" if each.get("VersionId") else "s3:DeleteObject"
    return None if call.may(action, arn_of(call, bucket, each["Key"])) else AccessDenied()


def _deleted_if(call: Call, bucket: str, each: Mapping[str, Any]) -> AwsError | None:
    when = asked_conditions.of_delete({"IfMatch": each["ETag"]})
    if each.get("VersionId") not in (None, "null"):
        return None
    try:
        call.blobs.delete(bucket, [each["Key"]], when)
    except AwsError as error:
        return error
    return None
