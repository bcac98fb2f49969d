"""Models: definitions that CreateModel makes, and nothing changes."""

from __future__ import annotations

from typing import Protocol

from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.model import Model
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.codec import Codec
from inservice.store.kit.pages import page_of
from inservice.store.kit.tables import definition_table
from inservice.store.listing import ListQuery, Page
from inservice.store.named import NamedKey, add_named, definition, delete_named

ModelName = NamedKey
"""(account, region, exact name)."""

MODELS: Topic[ModelName] = Topic("models")

_CODEC = Codec(Model)

models = definition_table("models", _CODEC, ResourceKind.MODEL)


class ModelsReading(Protocol):
    """What can be asked. Lookups by name disregard case, since names are unique without it."""

    def get(self, account: str, region: str, name: str) -> Model:
        """The model. Raises AWS's not-found."""
        ...

    def page(self, query: ListQuery) -> Page:
        """One page of the list of models."""
        ...


class ModelsWriting(ModelsReading, Protocol):
    """What can be written."""

    def add(self, model: Model) -> None:
        """Keep a new model. Raises AWS's already-exists."""
        ...

    def delete(self, account: str, region: str, name: str) -> None:
        """Forget a model. Raises AWS's not-found."""
        ...


class ModelRows:
    """`ModelsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def get(self, account: str, region: str, name: str) -> Model:
        """See `ModelsReading`."""
        arn = ResourceArn(ResourceKind.MODEL, account, region, name)
        return definition(self._access, models, _CODEC, arn)

    def page(self, query: ListQuery) -> Page:
        """See `ModelsReading`."""
        return page_of(self._access.sql(), models, query)


class WritableModelRows(ModelRows):
    """`ModelsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def add(self, model: Model) -> None:
        """See `ModelsWriting`."""
        arn = ResourceArn(ResourceKind.MODEL, model.account, model.region, model.name)
        columns = {"created_at": model.created_at, "body": _CODEC.encode(model)}
        add_named(self._writing, models, MODELS, arn, **columns)

    def delete(self, account: str, region: str, name: str) -> None:
        """See `ModelsWriting`."""
        arn = ResourceArn(ResourceKind.MODEL, account, region, name)
        delete_named(self._writing, models, MODELS, arn)
