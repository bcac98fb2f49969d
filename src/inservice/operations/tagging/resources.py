"""GetResources: everything in a region that has tags.

Each service keeps the tags of its own resources; they are gathered here when they are asked for,
in the order of their ARNs. Listed is what AWS's API lists: of IAM managed policies, in the region
that stands for the whole of its partition, and neither users nor roles. What had tags once and has
none any more is not remembered, so it is not listed. The tags of buckets are the storage's, and are
read where it keeps them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from inservice.errors import InvalidParameterException
from inservice.hosting.arn import parse_arn
from inservice.identity.iam.arns import told
from inservice.operations.cloudwatch.alarm_selection import select_alarms
from inservice.operations.logs.places import arn_of
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.partitions import partition_of
from inservice.store.base import Reading
from inservice.store.collections.alarms import AlarmQuery
from inservice.store.listing import EntityQuery

if TYPE_CHECKING:
    from types_boto3_resourcegroupstaggingapi.type_defs import TagFilterTypeDef

PAGE_SIZE: Final = 100
"""Resources of a page at most, and where the request does not say."""

TAGS_MIN, TAGS_MAX = 100, 500
"""What TagsPerPage may be."""

_GLOBAL_REGIONS: Final = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
}
"""Where what is of a whole partition is listed."""

_TYPE: Final = re.compile(r"[a-z0-9-]+(:[\w./-]+)?")

_TOKEN = msgspec.json.Decoder(tuple[str, str])


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A resource that has tags."""

    arn: str
    tags: Mapping[str, str]

    def is_of(self, kind: str) -> bool:
        """Whether it is of a service, or of a type of one: `sagemaker`, `sagemaker:endpoint`."""
        _, _, service, _, _, rest = self.arn.split(":", 5)
        # The ARN of a bucket says no type: it is the only one that S3 has tags of here.
        resource = "bucket" if service == "s3" else re.split("[:/]", rest, maxsplit=1)[0]
        return kind in (service, f"{service}:{resource}")

    def matches(self, wanted: TagFilterTypeDef) -> bool:
        """Whether it has the tag of a filter, with one of its values where it has some."""
        key, values = wanted.get("Key", ""), wanted.get("Values") or ()
        return key in self.tags and (not values or self.tags[key] in values)


@operation("resourcegroupstaggingapi", "GetResources", on=(anything,))
def get_resources(
    call: Call,
    *,
    pagination_token: str | None = None,
    tag_filters: Sequence[TagFilterTypeDef] = (),
    resources_per_page: int | None = None,
    tags_per_page: int | None = None,
    resource_type_filters: Sequence[str] = (),
    include_compliance_details: bool = False,
    exclude_compliant_resources: bool = False,
    resource_arn_list: Sequence[str] = (),
) -> Document:
    """Resources that have tags: those of certain types, that all filters fit, or that are named.
    There is no tag policy here, so every resource complies with it."""
    paged = (pagination_token or None, resources_per_page, tags_per_page)
    if resource_arn_list and (tag_filters or resource_type_filters or paged != (None, None, None)):
        raise InvalidParameterException(
            "ResourceARNList cannot be specified with TagFilters, ResourceTypeFilters or any of "
            "the pagination parameters."
        )
    if exclude_compliant_resources and not include_compliance_details:
        raise InvalidParameterException(
            "ExcludeCompliantResources can only be specified if IncludeComplianceDetails is true."
        )
    _check_limits(resources_per_page, tags_per_page, resource_type_filters)
    asked = (call.account, call.region, tag_filters, resource_type_filters)
    identity = hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    after = _position(identity, pagination_token) if pagination_token else ""
    buckets = call.live.bucket_tags(call.account, call.region)
    with call.store.reading() as records:
        found = sorted(_all(call, records, buckets), key=lambda each: each.arn)
    fitting = [
        each
        for each in found
        if each.arn > after
        and (not resource_arn_list or each.arn in resource_arn_list)
        and (not resource_type_filters or any(map(each.is_of, resource_type_filters)))
        and all(map(each.matches, tag_filters))
        and not exclude_compliant_resources
    ]
    shown = _page(fitting, resources_per_page or PAGE_SIZE, tags_per_page)
    token = _token(identity, shown[-1].arn) if len(shown) < len(fitting) else ""
    return {
        "PaginationToken": token,
        "ResourceTagMappingList": [_line(each, include_compliance_details) for each in shown],
    }


def _check_limits(resources: int | None, tags: int | None, types: Sequence[str]) -> None:
    """Raises InvalidParameterException."""
    if resources is not None and not 1 <= resources <= PAGE_SIZE:
        raise InvalidParameterException(f"ResourcesPerPage must be between 1 and {PAGE_SIZE}.")
    if tags is not None and not TAGS_MIN <= tags <= TAGS_MAX:
        raise InvalidParameterException(f"TagsPerPage must be between {TAGS_MIN} and {TAGS_MAX}.")
    for each in types:
        if _TYPE.fullmatch(each) is None:
            raise InvalidParameterException(f"Invalid resource type filter: {each}")


def _all(
    call: Call, records: Reading, buckets: Mapping[str, Mapping[str, str]]
) -> Iterator[_Tagged]:
    """What has tags, of the caller's account in the region that is asked."""
    for text, tags in records.tags.every().items():
        arn = parse_arn(text)
        if arn is not None and (arn.account, arn.region) == (call.account, call.region):
            yield _Tagged(text, tags)
    for alarm in select_alarms(records, AlarmQuery(call.account, call.region)):
        if alarm.tags:
            yield _Tagged(alarm.arn, alarm.tags)
    for group in records.client_logs.groups(call.account, call.region):
        if group.tags and not group.gone:
            yield _Tagged(arn_of(call, group.name), group.tags)
    partition = partition_of(call.region)
    for bucket, tags in buckets.items():
        yield _Tagged(f"arn:{partition}:s3:::{bucket}", tags)
    if call.region == _GLOBAL_REGIONS.get(partition):
        for policy in records.policies.select(EntityQuery(call.account)):
            if policy.tags:
                yield _Tagged(told(policy.arn, partition), policy.tags)


def _page(found: Sequence[_Tagged], resources: int, tags: int | None) -> Sequence[_Tagged]:
    """The first of them, as many as a page has: at least one."""
    shown = found[:resources]
    if tags is None:
        return shown
    count = 0
    for number, each in enumerate(shown):
        count += len(each.tags)
        if count > tags and number:
            return shown[:number]
    return shown


def _line(tagged: _Tagged, with_compliance: bool) -> Document:
    compliance = {
        "NoncompliantKeys": [],
        "KeysWithNoncompliantValues": [],
        "ComplianceStatus": True,
    }
    return {
        "ResourceARN": tagged.arn,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tagged.tags.items())],
        **({"ComplianceDetails": compliance} if with_compliance else {}),
    }


def _token(identity: str, after: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([identity, after])).decode()


def _position(identity: str, token: str) -> str:
    """Where the page before ended. Whoever forges a token can only see what is theirs; the identity
    is against mistakes."""
    try:
        given, after = _TOKEN.decode(base64.urlsafe_b64decode(token.encode("latin-1")))
    except (ValueError, msgspec.MsgspecError):
        given, after = "", ""
    if given != identity:
        raise InvalidParameterException("The pagination token is not valid for this request.")
    return after
