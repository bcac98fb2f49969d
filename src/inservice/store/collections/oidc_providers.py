"""OIDC providers: whose tokens an account takes for roles. One is named by its URL, without the
scheme, and that is its id as well."""

from __future__ import annotations

from typing import Protocol

from inservice.identity.iam.entities import OidcProvider
from inservice.store.entities import (
    EntitiesReading,
    EntitiesWriting,
    EntityId,
    EntityRows,
    WritableEntityRows,
    entity_table,
)
from inservice.store.feed import Topic
from inservice.store.kit.codec import Codec

OIDC_PROVIDERS: Topic[EntityId] = Topic("oidc_providers")

_CODEC = Codec(OidcProvider)

oidc_providers = entity_table("iam_oidc_providers", _CODEC)


class OidcProvidersReading(EntitiesReading[OidcProvider], Protocol):
    """What can be asked."""


class OidcProvidersWriting(EntitiesWriting[OidcProvider], Protocol):
    """What can be written."""


class OidcProviderRows(EntityRows[OidcProvider]):
    """`OidcProvidersReading`, with SQL."""

    table, codec = oidc_providers, _CODEC


class WritableOidcProviderRows(WritableEntityRows[OidcProvider]):
    """`OidcProvidersWriting`, with SQL."""

    table, codec, topic = oidc_providers, _CODEC, OIDC_PROVIDERS
