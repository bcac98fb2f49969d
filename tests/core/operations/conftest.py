"""A real store for operations to work on, and calls into it as the api makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from inservice.operations import registry
from inservice.operations.live import (
    CapacitySeen,
    DataSeen,
    EngineSeen,
    InstanceSeen,
    Live,
    ProcessSeen,
)
from inservice.placement.host import Host
from inservice.placement.place import Rules
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from tests.kept_images import FakeImages
from tests.stores import lay_out, new_store

ACCOUNT = "111122223333"
REGION = "us-east-1"

Perform = Callable[..., Mapping[str, Any]]


class NothingRuns:
    """A server that is only records: whoever asks it for metrics or logs fails."""

    started_at = 0.0
    is_strict = False
    takes_unknown_roles = True
    own_account = ACCOUNT

    def __init__(self, images: FakeImages | None = None) -> None:
        self.images = images or FakeImages()

    def processes(self) -> tuple[ProcessSeen, ...]:
        return ()

    def served(self) -> tuple[str, ...]:
        return ()

    def buckets_of(self, account_id: str) -> int:
        """None: there is no storage."""
        return 0

    def bucket_tags(self, account_id: str, region: str) -> dict[str, dict[str, str]]:
        """None: there is no storage."""
        return {}

    placement_rules = Rules()

    def engine(self) -> EngineSeen:
        return EngineSeen("Podman", "5.0", "/run/podman/podman.sock")

    def capacity(self) -> CapacitySeen:
        return CapacitySeen(Host(2, 8 * 2**30), (), self.placement_rules)

    def data_seen(self, *_: object) -> DataSeen:
        return DataSeen.ELSEWHERE

    def instances_seen(self) -> tuple[InstanceSeen, ...]:
        return ()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    lay_out(new_store("store.db", "store.key"), tmp_path)
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}", key_file=tmp_path / "store.key")
    yield store
    store.close()


@pytest.fixture
def images() -> FakeImages:
    return FakeImages()


@pytest.fixture
def perform(store: Store, images: FakeImages) -> Perform:
    """perform("CreateModel", ModelName=…): one operation, by default a second after the last."""
    moments = iter(range(1_000, 1_000_000))

    def perform_one(
        name: str,
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        now: float | None = None,
        principal: str | None = None,
        **members: Any,
    ) -> Mapping[str, Any]:
        found = (registry.find(service, name) for service in ("sagemaker", "inservice", "iam"))
        operation = next(each for each in found if each is not None)
        call = registry.Call(
            account=account,
            region=region,
            principal=principal or f"arn:aws:iam::{account}:root",
            request_id="00000000-0000-0000-0000-000000000000",
            now=float(next(moments)) if now is None else now,
            store=store,
            live=cast(Live, NothingRuns(images)),
        )
        return operation.perform(call, members)

    return perform_one
