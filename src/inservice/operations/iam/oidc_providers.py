"""OIDC providers: CreateOpenIDConnectProvider and what else IAM has about them.

Nobody is asked when one is made: whether it is there, and which keys it has, is looked up when
somebody shows a token of it (`operations.sts.web_identity`). So no thumbprint is looked up either
where none is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inservice.identity.iam.arns import kept, provider_in, told
from inservice.identity.iam.entities import OidcProvider
from inservice.identity.iam.errors import (
    EntityAlreadyExists,
    InvalidInput,
    LimitExceeded,
    NoSuchEntity,
)
from inservice.identity.iam.limits import OIDC_PROVIDERS_MAX, with_tags, without_tags
from inservice.identity.iam.oidc import checked_client_ids, checked_thumbprints, provider_name
from inservice.operations.iam import touches
from inservice.operations.iam.pages import PAGE_SIZE
from inservice.operations.iam.tags import tags_page
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.partitions import partition_of
from inservice.store.base import Reading
from inservice.store.listing import EntityQuery
from inservice.values import tags_told

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import TagTypeDef


@operation("iam", "CreateOpenIDConnectProvider", on=(touches.new_provider,))
def create_open_id_connect_provider(
    call: Call,
    *,
    url: str,
    client_id_list: Sequence[str] = (),
    thumbprint_list: Sequence[str] = (),
    tags: Sequence[TagTypeDef] = (),
) -> Document:
    """Take tokens of an issuer for the account's roles, as far as their trust policies do."""
    provider = OidcProvider(
        account=call.account,
        name=provider_name(url),
        url=url,
        created_at=call.now,
        client_ids=checked_client_ids(client_id_list),
        thumbprints=checked_thumbprints(thumbprint_list),
        tags=with_tags({}, tags, case_matters=True),
    )
    with call.store.transaction() as tx:
        if tx.oidc_providers.named(call.account, provider.name) is not None:
            raise EntityAlreadyExists(f"Provider with url {url} already exists.")
        if tx.oidc_providers.count(call.account) >= OIDC_PROVIDERS_MAX:
            raise LimitExceeded.of("OpenIdConnectProvidersPerAccount", OIDC_PROVIDERS_MAX)
        tx.oidc_providers.save(provider)
    tagged = {"Tags": tags_told(provider.tags)} if provider.tags else {}
    return {"OpenIDConnectProviderArn": _told(call, provider), **tagged}


@operation("iam", "GetOpenIDConnectProvider", on=(touches.provider,))
def get_open_id_connect_provider(call: Call, *, open_id_connect_provider_arn: str) -> Document:
    """One provider."""
    with call.store.reading() as records:
        provider = _provider(records, call, open_id_connect_provider_arn)
    return {
        "Url": provider.name,
        "ClientIDList": list(provider.client_ids),
        "ThumbprintList": list(provider.thumbprints),
        "CreateDate": provider.created_at,
        "Tags": tags_told(provider.tags),
    }


@operation("iam", "ListOpenIDConnectProviders", on=(anything,))
def list_open_id_connect_providers(call: Call) -> Document:
    """All of them: there are few."""
    with call.store.reading() as records:
        every = records.oidc_providers.select(EntityQuery(call.account))
    return {"OpenIDConnectProviderList": [{"Arn": _told(call, each)} for each in every]}


@operation("iam", "DeleteOpenIDConnectProvider", on=(touches.provider,))
def delete_open_id_connect_provider(call: Call, *, open_id_connect_provider_arn: str) -> None:
    """Take no more tokens of an issuer. One that is not there is no error, as on AWS; sessions that
    were begun go on until they end or their role goes."""
    with call.store.transaction() as tx:
        provider = _find(tx, call, open_id_connect_provider_arn)
        if provider is not None:
            tx.oidc_providers.delete(provider)


@operation("iam", "UpdateOpenIDConnectProviderThumbprint", on=(touches.provider,))
def update_open_id_connect_provider_thumbprint(
    call: Call, *, open_id_connect_provider_arn: str, thumbprint_list: Sequence[str]
) -> None:
    """Have these thumbprints and no others."""
    thumbprints = checked_thumbprints(thumbprint_list)
    with call.store.transaction() as tx:
        provider = _provider(tx, call, open_id_connect_provider_arn)
        tx.oidc_providers.save(replace(provider, thumbprints=thumbprints))


@operation("iam", "AddClientIDToOpenIDConnectProvider", on=(touches.provider,))
def add_client_id_to_open_id_connect_provider(
    call: Call, *, open_id_connect_provider_arn: str, client_id: str
) -> None:
    """Take tokens for an audience; nothing happens if they are already."""
    with call.store.transaction() as tx:
        provider = _provider(tx, call, open_id_connect_provider_arn)
        together = checked_client_ids([*provider.client_ids, client_id])
        tx.oidc_providers.save(replace(provider, client_ids=together))


@operation("iam", "RemoveClientIDFromOpenIDConnectProvider", on=(touches.provider,))
def remove_client_id_from_open_id_connect_provider(
    call: Call, *, open_id_connect_provider_arn: str, client_id: str
) -> None:
    """Take no more tokens for an audience; nothing happens if none are."""
    with call.store.transaction() as tx:
        provider = _provider(tx, call, open_id_connect_provider_arn)
        left = tuple(each for each in provider.client_ids if each != client_id)
        tx.oidc_providers.save(replace(provider, client_ids=left))


@operation("iam", "TagOpenIDConnectProvider", on=(touches.provider,))
def tag_open_id_connect_provider(
    call: Call, *, open_id_connect_provider_arn: str, tags: Sequence[TagTypeDef]
) -> None:
    """Add tags to a provider, over those of the same keys."""
    with call.store.transaction() as tx:
        provider = _provider(tx, call, open_id_connect_provider_arn)
        together = with_tags(provider.tags, tags, case_matters=True)
        tx.oidc_providers.save(replace(provider, tags=together))


@operation("iam", "UntagOpenIDConnectProvider", on=(touches.provider,))
def untag_open_id_connect_provider(
    call: Call, *, open_id_connect_provider_arn: str, tag_keys: Sequence[str]
) -> None:
    """Take tags from a provider."""
    with call.store.transaction() as tx:
        provider = _provider(tx, call, open_id_connect_provider_arn)
        left = without_tags(provider.tags, tag_keys, case_matters=True)
        tx.oidc_providers.save(replace(provider, tags=left))


@operation("iam", "ListOpenIDConnectProviderTags", on=(touches.provider,))
def list_open_id_connect_provider_tags(
    call: Call,
    *,
    open_id_connect_provider_arn: str,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """The tags of a provider."""
    with call.store.reading() as records:
        provider = _provider(records, call, open_id_connect_provider_arn)
    return tags_page(call, provider.arn, provider.tags, marker, max_items)


def _find(records: Reading, call: Call, arn: str) -> OidcProvider | None:
    """The account's provider with an ARN. Raises InvalidInput for what is no such ARN."""
    own = kept(arn, partition_of(call.region))
    named = provider_in(own) if own is not None else None
    if named is None:
        raise InvalidInput(f"Invalid ARN: {arn}")
    provider = records.oidc_providers.named(call.account, named[1])
    return provider if provider is not None and provider.arn == own else None


def _provider(records: Reading, call: Call, arn: str) -> OidcProvider:
    provider = _find(records, call, arn)
    if provider is None:
        raise NoSuchEntity(f"OpenIDConnect Provider not found for arn {arn}")
    return provider


def _told(call: Call, provider: OidcProvider) -> str:
    return told(provider.arn, partition_of(call.region))
