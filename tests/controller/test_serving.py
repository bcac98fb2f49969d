"""Control does not serve on when it sees nothing any more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inservice.app.__main__ import _serve
from inservice.config import Settings
from inservice.errors import ServiceUnavailable
from inservice.reserve import Reserve
from inservice.transport.messages import Response


class Told:
    """Nobody asks for anything, and the supervisor is there."""

    def __init__(self) -> None:
        self.to_stop, self.to_step_aside = asyncio.Event(), asyncio.Event()

    async def one_of(self, *events: asyncio.Event) -> bool:
        waiting = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        return True


async def forever() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    """There is nothing to close."""


async def breaks() -> None:
    raise RuntimeError("a bug")


def broken_store() -> Any:
    """Asked whether the lease is still held, it fails as nobody foresaw."""

    def confirm() -> None:
        raise RuntimeError("a bug")

    return SimpleNamespace(confirm=confirm, holding=SimpleNamespace(on_lost=lambda _: None))


def sound_store() -> Any:
    """It cannot be reached just now, which is no reason to end."""

    def confirm() -> None:
        raise ServiceUnavailable("not now")

    return SimpleNamespace(confirm=confirm, holding=SimpleNamespace(on_lost=lambda _: None))


@pytest.mark.parametrize("broken", ["watch", "whereabouts", "lease"])
def test_a_watch_that_ends_by_a_bug_ends_control(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inservice.app.__main__.LEASE_SECONDS", 0.01)

    async def test() -> None:
        with pytest.raises(RuntimeError, match="a bug"):
            await serve(
                tmp_path,
                watch=breaks if broken == "watch" else forever,
                keep_true=breaks if broken == "whereabouts" else forever,
                store=broken_store() if broken == "lease" else sound_store(),
            )

    asyncio.run(test())


def test_a_store_out_of_reach_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inservice.app.__main__.LEASE_SECONDS", 0.001)
    asked: list[int] = []

    async def test() -> None:
        store = sound_store()
        confirm = store.confirm

        def count() -> None:
            asked.append(1)
            confirm()

        store.confirm = count
        told = Told()
        serving = asyncio.create_task(
            serve(tmp_path, watch=forever, keep_true=forever, store=store, told=told)
        )
        async with asyncio.timeout(10):
            while len(asked) < 3:
                await asyncio.sleep(0.001)
        assert not serving.done()
        told.to_step_aside.set()
        await serving

    asyncio.run(test())


async def serve(
    place: Path,
    *,
    watch: Callable[[], Any],
    keep_true: Callable[[], Any],
    store: Any,
    told: Told | None = None,
) -> None:
    whereabouts = SimpleNamespace(say_where=lambda: None, follow=lambda: None, keep_true=keep_true)
    control = SimpleNamespace(
        answer=lambda: lambda _: Response(200, ()), watch=watch, step_aside=at_once
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await _serve(
            Settings(data_dir=place),
            cast(Any, SimpleNamespace(whereabouts=whereabouts, store=store)),
            cast(Any, control),
            Reserve(place),
            listening,
            cast(Any, SimpleNamespace(up=lambda: None)),
            cast(Any, told or Told()),
            asyncio.Event(),
        )
