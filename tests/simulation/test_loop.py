"""What the simulation stands on: a time that nobody waits for, and deaths without a goodbye."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from inservice.clock import Due
from inservice.threads import Threads
from tests.simulation.clock import EPOCH, MachineClock, VirtualClock
from tests.simulation.loop import Killed, Process, Stalled, VirtualLoop


def play(loop: VirtualLoop, story: Coroutine[Any, Any, Any]) -> Any:
    try:
        return loop.run_until_complete(story)
    finally:
        loop.end([])
        loop.close()


def test_an_hour_passes_at_once() -> None:
    loop = VirtualLoop()
    began = time.process_time()
    play(loop, asyncio.sleep(3_600))
    assert loop.time() == 3_600
    assert time.process_time() - began < 60


def test_who_waits_for_nothing_is_told() -> None:
    loop = VirtualLoop()

    async def story() -> None:
        await asyncio.Event().wait()

    task = loop.create_task(story())
    with pytest.raises(Stalled):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_a_clock_waits_for_an_event_or_the_time() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(MachineClock(loop))

    async def story() -> list[tuple[float, bool]]:
        event = Due()
        loop.call_later(5, event.set)
        until = clock.now() + 2
        first = await clock.wait(event, until), clock.now() - EPOCH
        second = await clock.wait(event, until + 60), clock.now() - EPOCH
        return [first[::-1], second[::-1]]

    assert play(loop, story()) == [(2.0, False), (5.0, True)]


def test_a_process_that_is_killed_says_no_goodbye() -> None:
    """No `finally`, no cancellation, no call in a thread; and its peer finds out."""
    loop = VirtualLoop()
    loop.thread_seconds = lambda _: 1.0
    done: list[str] = []
    victim, peer = Process(loop, "victim"), Process(loop, "peer")

    async def serve() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello\n")

        await asyncio.start_unix_server(greet, "/socket")
        try:
            await Threads("work").run(done.append, "the call in a thread")
        finally:
            done.append("the goodbye")

    async def call() -> None:
        reader, _ = await asyncio.open_unix_connection("/socket")
        done.append((await reader.readline()).decode().strip())
        try:
            await reader.read()
        except ConnectionResetError:
            done.append("reset")
        try:
            await asyncio.open_unix_connection("/socket")
        except ConnectionRefusedError:
            done.append("refused")

    async def story() -> None:
        victim.begin(serve())
        await asyncio.sleep(0.1)
        calling = peer.begin(call())
        await asyncio.sleep(0.1)
        victim.kill()
        await calling
        await asyncio.sleep(10)

    loop.run_until_complete(story())
    assert done == ["hello", "reset", "refused"]
    loop.end([victim, peer])
    loop.close()


def test_a_process_is_killed_in_the_midst_of_what_it_does() -> None:
    loop = VirtualLoop()
    process = Process(loop, "victim")
    done: list[str] = []

    async def work() -> None:
        done.append("before")
        process.kill()
        raise Killed

    async def story() -> None:
        process.begin(work())
        await asyncio.sleep(1)

    loop.run_until_complete(story())
    assert done == ["before"]
    assert loop.problems == []
    loop.end([process])
    loop.close()


def test_bytes_arrive_in_order_and_before_the_end() -> None:
    loop = VirtualLoop()
    ways = iter([0.5, 0.1, 0.1, 0.0] * 10)
    loop.way_seconds = lambda *_: next(ways)
    server, client = Process(loop, "server"), Process(loop, "client")

    async def serve() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for number in range(8):
                writer.write(b"%d " % number)
            writer.close()

        await asyncio.start_unix_server(greet, "/socket")

    async def call() -> bytes:
        reader, _ = await asyncio.open_unix_connection("/socket")
        return await reader.read()

    async def story() -> bytes:
        await server.begin(serve())
        return await client.begin(call())  # type: ignore[no-any-return]

    assert loop.run_until_complete(story()) == b"0 1 2 3 4 5 6 7 "
    loop.end([server, client])
    loop.close()
