"""Endpoint configs: definitions that CreateEndpointConfig makes, and nothing changes."""

from __future__ import annotations

from typing import Protocol

from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.codec import Codec
from inservice.store.kit.pages import page_of
from inservice.store.kit.tables import definition_table
from inservice.store.listing import ListQuery, Page
from inservice.store.named import NamedKey, add_named, definition, delete_named

ENDPOINT_CONFIGS: Topic[NamedKey] = Topic("endpoint_configs")

_CODEC = Codec(EndpointConfig)

endpoint_configs = definition_table("endpoint_configs", _CODEC, ResourceKind.ENDPOINT_CONFIG)


class EndpointConfigsReading(Protocol):
    """What can be asked. Lookups by name disregard case, since names are unique without it."""

    def get(self, account: str, region: str, name: str) -> EndpointConfig:
        """The config. Raises AWS's not-found."""
        ...

    def page(self, query: ListQuery) -> Page:
        """One page of the list of configs."""
        ...


class EndpointConfigsWriting(EndpointConfigsReading, Protocol):
    """What can be written."""

    def add(self, config: EndpointConfig) -> None:
        """Keep a new config. Raises AWS's already-exists."""
        ...

    def delete(self, account: str, region: str, name: str) -> None:
        """Forget a config. Raises AWS's not-found."""
        ...


class EndpointConfigRows:
    """`EndpointConfigsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def get(self, account: str, region: str, name: str) -> EndpointConfig:
        """See `EndpointConfigsReading`."""
        arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, account, region, name)
        return definition(self._access, endpoint_configs, _CODEC, arn)

    def page(self, query: ListQuery) -> Page:
        """See `EndpointConfigsReading`."""
        return page_of(self._access.sql(), endpoint_configs, query)


class WritableEndpointConfigRows(EndpointConfigRows):
    """`EndpointConfigsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def add(self, config: EndpointConfig) -> None:
        """See `EndpointConfigsWriting`."""
        arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, config.account, config.region, config.name)
        created_at, body = config.created_at, _CODEC.encode(config)
        add_named(
            self._writing, endpoint_configs, ENDPOINT_CONFIGS, arn, created_at=created_at, body=body
        )

    def delete(self, account: str, region: str, name: str) -> None:
        """See `EndpointConfigsWriting`."""
        arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, account, region, name)
        delete_named(self._writing, endpoint_configs, ENDPOINT_CONFIGS, arn)
