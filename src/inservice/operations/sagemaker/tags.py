"""AddTags, ListTags, DeleteTags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.errors import ValidationException
from inservice.hosting.arn import ResourceArn, ResourceKind, could_not_find, parse_arn
from inservice.hosting.tags import with_tags
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sagemaker import touches
from inservice.store.base import Reading

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import TagTypeDef


@operation("sagemaker", "AddTags", on=(touches.resource,))
def add_tags(call: Call, *, resource_arn: str, tags: Sequence[TagTypeDef]) -> Document:
    """Add tags to a resource, over those of the same keys, and show all it has now."""
    with call.store.transaction() as tx:
        arn = _existing(call, tx, resource_arn)
        together = with_tags(tx.tags.of(arn), tags)
        tx.tags.set(arn, together)
        return {"Tags": _listed(tx, arn)}


@operation("sagemaker", "ListTags", on=(touches.resource,))
def list_tags(
    call: Call, *, resource_arn: str, next_token: str | None = None, max_results: int = 50
) -> Document:
    """All tags of a resource. AWS's smallest page holds as many as there can be, so there is one
    page whatever `max_results`, and no token that could lead to another."""
    if next_token is not None:
        raise ValidationException("NextToken is not valid for this request.")
    with call.store.reading() as records:
        arn = _existing(call, records, resource_arn)
        return {"Tags": _listed(records, arn)[:max_results]}


@operation("sagemaker", "DeleteTags", on=(touches.resource,))
def delete_tags(call: Call, *, resource_arn: str, tag_keys: Sequence[str]) -> None:
    """Remove tags from a resource; keys that it does not have are nothing to complain about."""
    with call.store.transaction() as tx:
        arn = _existing(call, tx, resource_arn)
        kept = {key: value for key, value in tx.tags.of(arn).items() if key not in tag_keys}
        tx.tags.set(arn, kept)


def _existing(call: Call, records: Reading, text: str) -> ResourceArn:
    """The resource that an ARN names, in the case it was created with; ARNs know no other."""
    arn = parse_arn(text)
    if arn is None or (arn.account, arn.region) != (call.account, call.region):
        raise ValidationException(f'Could not find resource "{text}".')
    named: str
    if arn.kind is ResourceKind.MODEL:
        named = records.models.get(arn.account, arn.region, arn.name).arn
    elif arn.kind is ResourceKind.ENDPOINT_CONFIG:
        named = records.endpoint_configs.get(arn.account, arn.region, arn.name).arn
    else:
        named = records.endpoints.get(arn.account, arn.region, arn.name).endpoint.arn
    if named != text:
        raise could_not_find(arn)
    return arn


def _listed(records: Reading, arn: ResourceArn) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in records.tags.of(arn).items()]
