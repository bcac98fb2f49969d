"""Who could not look does not judge: deadlines under a loop that is held up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from inservice.gateway.balance.waiting import Waiting
from inservice.transport import client as client_module
from inservice.transport.client import Failure
from inservice.transport.limits import Limits
from inservice.transport.patience import LATE_SECONDS, SLICE_SECONDS, Patience, Watch, within
from inservice.transport.server import Response, Server, serve

from .test_client import answer, ask, head_of, peer


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    uvloop.run(asyncio.wait_for(test(), 60))


def stand_still(seconds: float) -> None:
    """Hold the loop up, as a process that gets no CPU is held up."""
    time.sleep(seconds)


class Loop:
    """A loop's clock and timers, turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now


class TestWatch:
    @given(st.lists(st.floats(0.0, 100.0), max_size=50))
    def test_a_look_counts_for_its_period_and_no_more(self, late: list[float]) -> None:
        loop = Loop()
        watch = Watch(loop, 1.0)  # type: ignore[arg-type]
        for seconds in late:
            before = watch.now
            loop.now += 1.0 + seconds
            judged = watch.look()
            assert before < watch.now <= before + 1.0 + LATE_SECONDS
            assert judged == (watch.now if seconds <= LATE_SECONDS - 1e-6 else judged)
            if seconds > LATE_SECONDS + 1e-6:
                assert judged == before, "what came meanwhile has not been read"

    def test_it_never_stands_still_for_ever(self) -> None:
        loop = Loop()
        watch = Watch(loop, 0.5)  # type: ignore[arg-type]
        for _ in range(20):
            loop.now += 30.0
            judged = watch.look()
        assert judged >= 9.0


class TestPatience:
    def test_what_came_during_a_stall_is_heard_before_anybody_is_blamed(self) -> None:
        """However long the stall, and wherever in the wait."""

        async def test() -> None:
            for stall_at, wait in ((0.0, 0.05), (0.01, 0.05), (0.0, SLICE_SECONDS), (0.2, 0.4)):
                ours, theirs = socket.socketpair()
                reader, writer = await asyncio.open_connection(sock=ours)
                waiting = asyncio.create_task(within(wait, reader.readexactly(1)))
                await asyncio.sleep(stall_at)
                theirs.send(b"x")
                stand_still(wait + 0.5)
                assert await waiting == b"x"
                writer.close()
                theirs.close()

        run(test)

    def test_what_does_not_come_is_given_up(self) -> None:
        async def test() -> None:
            for seconds in (0.0, 0.01, SLICE_SECONDS * 2.5):
                with pytest.raises(TimeoutError):
                    await within(seconds, asyncio.Event().wait())

        run(test)

    def test_a_loop_that_is_always_late_gives_up_as_well(self) -> None:
        async def test() -> None:
            ended = asyncio.Event()
            Patience(SLICE_SECONDS * 2, ended.set)

            async def hog() -> None:
                while not ended.is_set():
                    stand_still(LATE_SECONDS * 2)
                    await asyncio.sleep(0)

            await asyncio.wait_for(hog(), 30)

        run(test)

    def test_who_was_cancelled_is_not_called(self) -> None:
        async def test() -> None:
            called: list[int] = []
            patience = Patience(0.01, lambda: called.append(1))
            patience.cancel()
            await asyncio.sleep(0.05)
            assert not called

        run(test)


class TestWhoeverIsWaitedFor:
    """Each timer of the data plane, with a loop that stands still for longer than it lasts."""

    def test_a_model_that_has_accepted_is_connected_to(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """499 of 24,507 requests were told 503 for want of it, at a load of 20."""
        monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.2)

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                token, _ = await head_of(reader)
                writer.write(answer(b"A", token, "whole", 200))
            writer.close()

        async def test() -> None:
            for kind in ("unix", "tcp"):
                async with peer(script, kind) as (_, pool):
                    asking = asyncio.create_task(ask(pool))
                    for _ in range(3):
                        await asyncio.sleep(0)
                        stand_still(0.5)
                    assert (await asking).body == b"AAAAAAA"

        run(test)

    def test_an_answer_that_came_in_time_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also if its deadline was near when the stall began."""
        monkeypatch.setattr(client_module, "_SWEEP_SECONDS", 0.1)

        async def test() -> None:
            release = asyncio.Event()

            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(asyncio.IncompleteReadError):
                    token, _ = await head_of(reader)
                    await release.wait()
                    writer.write(answer(b"A", token, "whole", 200))
                writer.close()

            async with peer(script) as (_, pool):
                asking = asyncio.create_task(ask(pool))
                while not pool.connections:
                    await asyncio.sleep(0.01)
                (upstream,) = pool.connections
                while upstream.exchange is None:
                    await asyncio.sleep(0.01)
                upstream.deadline = pool.client.now + 0.05
                release.set()
                await asyncio.sleep(0)  # it is written, and not read yet
                stand_still(1.0)
                assert (await asking).failure is None

                late = asyncio.create_task(ask(pool))
                release.clear()
                while not any(up.exchange for up in pool.connections):
                    await asyncio.sleep(0.01)
                for upstream in pool.connections:
                    upstream.deadline = pool.client.now + 0.05
                assert (await late).failure is Failure.TIMED_OUT, "who does not answer is given up"
                release.set()

        run(test)

    def test_a_client_whose_bytes_have_come_is_not_told_408(self) -> None:
        async def test() -> None:
            directory = Path(tempfile.mkdtemp(prefix="tr"))
            limits = Limits(header_seconds=1.5, body_seconds=1.5, idle_seconds=1.5)
            path = directory / "s"
            server = await serve(lambda r: Response(200, (), r.body), path=path, limits=limits)
            clients = []
            for first, rest in (
                (b"POST / HTTP/1.1\r\nHo", b"st: a\r\nContent-Length: 1\r\n\r\nx"),
                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", b"x"),
                (b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(first)
                clients.append((reader, writer, rest))
            await asyncio.sleep(0.1)
            for _, writer, rest in clients:
                _send_at_once(writer, rest)
            stand_still(3.0)
            for reader, writer, _ in clients:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                writer.close()
            await server.drain(0.2, idle_seconds=0)
            shutil.rmtree(directory)

        run(test)

    def test_a_request_on_its_way_to_a_server_that_drains_is_answered(self) -> None:
        async def test() -> None:
            directory = Path(tempfile.mkdtemp(prefix="tr"))
            path = directory / "s"
            server: Server = await serve(lambda _: Response(200, (), b"x"), path=path)
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"\r\n\r\nx")
            draining = asyncio.create_task(server.drain(10, idle_seconds=0.2))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            _send_at_once(writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            stand_still(1.0)
            assert (await reader.readuntil(b"\r\n\r\nx")).startswith(b"HTTP/1.1 200 ")
            await draining
            writer.close()
            shutil.rmtree(directory)

        run(test)

    def test_who_waits_for_room_that_was_made_meanwhile_gets_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("inservice.gateway.balance.waiting.QUEUE_SECONDS", 0.2)

        class Waiter:
            given_up = False
            end = ""

            def go_on(self) -> None:
                self.end = "goes on"

            def turn_away(self) -> None:
                self.end = "is turned away"

        async def test() -> None:
            queues, waiter = Waiting(), Waiter()
            key = ("0", "r", "e")
            ours, theirs = socket.socketpair()
            asyncio.get_running_loop().add_reader(ours, queues.room, key)
            queues.add(key, waiter)
            await asyncio.sleep(0.01)
            theirs.send(b"x")
            stand_still(1.0)
            while not waiter.end:
                await asyncio.sleep(0.01)
            assert waiter.end == "goes on"
            asyncio.get_running_loop().remove_reader(ours)
            ours.close()
            theirs.close()

        run(test)


def _send_at_once(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Into the kernel, behind the loop's back."""
    os.write(writer.transport.get_extra_info("socket").fileno(), data)
