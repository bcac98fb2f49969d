"""What a new model needs is made ready before its first endpoint: bounded, and given up in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from inservice.clock import SystemClock
from inservice.controller.endpoints.preparing import Preparing
from inservice.operations.registry import Call, find
from inservice.runtimes.base import EnvironmentUnavailable, ImageNotRunnable, LaunchFailed
from inservice.store.base import Store
from inservice.store.collections.models import ModelName
from inservice.store.drivers.database import open_store
from tests.lenient import Lenient
from tests.stores import lay_out, new_store
from tests.waiting import until

ACCOUNT, REGION = "0" * 12, "us-east-1"


class Slow:
    """A runtime that gets ready when a test lets it."""

    def __init__(self) -> None:
        self.at: list[str | None] = []
        self.done: list[str | None] = []
        self.given_up: list[str | None] = []
        self.open = asyncio.Event()
        self.fails: Exception | None = None
        self.most = 0
        self.wanted: Mapping[str, set[ModelName]] = {}
        """By image: the models that have been heeded."""

    async def prepare(self, image: str | None = None) -> None:
        self.at.append(image)
        self.most = max(self.most, len(self.at))
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.given_up.append(image)
            raise
        finally:
            self.at.remove(image)
        self.done.append(image)
        if self.fails is not None:
            raise self.fails


def call(store: Store, operation: str, **members: Any) -> None:
    found = find("sagemaker", operation)
    assert found is not None
    made = Call(
        account=ACCOUNT,
        region=REGION,
        principal=f"arn:aws:iam::{ACCOUNT}:root",
        request_id="r",
        now=SystemClock().now(),
        store=store,
        live=cast(Any, Lenient()),
    )
    found.perform(made, members)


async def in_thread(*arguments: Any, **members: Any) -> None:
    await asyncio.to_thread(call, *arguments, **members)


def model(image: str) -> dict[str, Any]:
    return {"PrimaryContainer": {"Image": image}}


def run(place: Path, test: Callable[[Store, Slow], Awaitable[None]]) -> None:
    async def whole() -> None:
        lay_out(new_store("store.db", "key"), place)
        store = open_store(f"sqlite:///{place / 'store.db'}", key_file=place / "key")
        runtime = Slow()
        preparing = Preparing(cast(Any, runtime), store)
        preparing.follow()
        runtime.wanted = preparing._wanted
        try:
            await test(store, runtime)
        finally:
            await preparing.finish()
            assert runtime.at == []
            store.close()

    asyncio.run(whole())


def test_one_image_is_made_ready_after_the_other_however_many_models_want_them(
    tmp_path: Path,
) -> None:
    async def test(store: Store, runtime: Slow) -> None:
        for number in range(6):
            await in_thread(
                store, "CreateModel", ModelName=f"m{number}", **model(f"image{number % 2}")
            )
        await until(lambda: runtime.at and sum(map(len, runtime.wanted.values())) == 6)
        runtime.open.set()
        await until(lambda: len(runtime.done) == 2)
        assert sorted(map(str, runtime.done)) == ["image0", "image1"]
        assert runtime.most == 1
        await in_thread(store, "CreateModel", ModelName="later", **model("image1"))
        await until(lambda: len(runtime.done) == 3)

    run(tmp_path, test)


def test_what_only_a_deleted_model_wanted_is_given_up_and_the_next_has_its_turn(
    tmp_path: Path,
) -> None:
    async def test(store: Store, runtime: Slow) -> None:
        await in_thread(store, "CreateModel", ModelName="a", **model("torch"))
        await until(lambda: runtime.at == ["torch"])
        await in_thread(store, "CreateModel", ModelName="b", **model("torch"))
        await in_thread(store, "CreateModel", ModelName="c", **model("python"))
        await in_thread(store, "DeleteModel", ModelName="a")
        await in_thread(store, "CreateModel", ModelName="d", **model("other"))
        assert runtime.given_up == []  # b wants it, too
        await in_thread(store, "DeleteModel", ModelName="b")
        await until(lambda: runtime.given_up == ["torch"])
        await until(lambda: runtime.at == ["python"])
        await in_thread(store, "CreateModel", ModelName="a", **model("torch"))
        runtime.open.set()
        await until(lambda: len(runtime.done) == 3)
        assert set(runtime.done) == {"python", "other", "torch"}

    run(tmp_path, test)


def test_what_cannot_be_made_ready_keeps_nobody_from_the_next(tmp_path: Path) -> None:
    async def test(store: Store, runtime: Slow) -> None:
        runtime.open.set()
        for kind in (EnvironmentUnavailable, ImageNotRunnable, LaunchFailed):
            runtime.fails = kind("no")
            await in_thread(store, "CreateModel", ModelName=kind.__name__, **model(kind.__name__))
            await until(lambda: not runtime.at and runtime.done[-1:] == [kind.__name__])  # noqa: B023

    run(tmp_path, test)


def test_a_server_that_stops_wants_nothing_any_more(tmp_path: Path) -> None:
    async def test(store: Store, runtime: Slow) -> None:
        await in_thread(store, "CreateModel", ModelName="a", **model("torch"))
        await in_thread(store, "CreateModel", ModelName="b", **model("python"))
        await until(lambda: runtime.at)  # and `run` ends it

    run(tmp_path, test)
