"""Sessions, full instances, queues, ejection, and coming back."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from socket import SO_LINGER, SOL_SOCKET

import pytest
from botocore.exceptions import ClientError

from inservice.gateway.balance import health, instances, waiting
from inservice.gateway.balance.instances import Instances
from inservice.transport.server import Request, Response

from .rig import Rig, echo, fleet, gateway, read_answer, run, table_of


class TestSessions:
    def test_a_session_stays_with_its_instance_until_it_is_closed(self) -> None:
        async def test() -> None:
            def stateful(name: bytes) -> Callable[[Request], Response]:
                def model(request: Request) -> Response:
                    asked = request.header(b"x-amzn-sagemaker-session-id")
                    headers = []
                    if asked == b"NEW_SESSION":
                        value = b"s-" + name + b"; Expires=2099-01-01T00:00:00Z"
                        headers.append((b"x-amzn-sagemaker-session-id", value))
                    elif request.body == b"close" and asked is not None:
                        headers.append((b"x-amzn-sagemaker-closed-session-id", asked))
                    return Response(200, headers, name)

                return model

            async with gateway() as rig:
                models = [await rig.model(stateful(b"%d" % i)) for i in range(3)]
                rig.serve_table(table_of(fleet("f", *models)))
                opened = await rig.invoke(SessionId="NEW_SESSION")
                session, _, expires = opened["NewSessionId"].partition("; ")
                assert expires == "Expires=2099-01-01T00:00:00Z"
                for _ in range(8):
                    answer = await rig.invoke(SessionId=session)
                    assert answer["Body"] == opened["Body"]
                    assert "NewSessionId" not in answer
                fleets = (
                    fleet("f", *models, variant="a", share=5_000),
                    fleet("g", models[0], variant="b", share=5_000),
                )
                rig.serve_table(table_of(*fleets))
                assert (await rig.invoke(SessionId=session, TargetVariant="a"))["Body"]
                with pytest.raises(ClientError, match=f"Session {session} is not of variant b"):
                    await rig.invoke(SessionId=session, TargetVariant="b")
                rig.serve_table(table_of(fleet("f", *models)))
                rig.gateway.sessions._known.clear()  # another worker knows it from the file
                assert (await rig.invoke(SessionId=session))["Body"] == opened["Body"]
                closed = await rig.invoke(SessionId=session, Body=b"close")
                assert closed["ClosedSessionId"] == session
                for unknown in (session, "never-opened"):
                    with pytest.raises(ClientError, match="not found or expired"):
                        await rig.invoke(SessionId=unknown)

        run(test)


class TestBounds:
    def test_full_instances_make_requests_wait_and_full_queues_refuse(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(instances, "CONCURRENCY_MAX", 2)
        monkeypatch.setattr(waiting, "QUEUE_MAX", 3)

        async def test() -> None:
            release = asyncio.Event()
            most = under_way = 0

            async def model(request: Request) -> Response:
                nonlocal most, under_way
                under_way += 1
                most = max(most, under_way)
                await release.wait()
                under_way -= 1
                return Response(200, (), request.body)

            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(model))))
                clients = [await rig.connect() for _ in range(8)]
                for i, (_, writer) in enumerate(clients):
                    writer.write(rig.signed(b"%d" % i))
                reading = [asyncio.create_task(read_answer(reader)) for reader, _ in clients]
                refused, _ = await asyncio.wait(
                    reading, timeout=5, return_when=asyncio.FIRST_COMPLETED
                )
                while len(refused) < 3 or under_way < 2:
                    await asyncio.sleep(0.01)
                    refused = {task for task in reading if task.done()}
                assert {task.result()[0] for task in refused} == {503}
                release.set()
                answered = await asyncio.gather(*reading)
                assert sorted(status for status, _, _ in answered) == [200] * 5 + [503] * 3
                for i, (status, _, body) in enumerate(answered):
                    assert status == 503 or body == b"%d" % i
                assert (most, under_way) == (2, 0)
                assert not rig.gateway.waiting.queues
                assert not rig.gateway.instances.outstanding
                assert not rig.gateway.instances.full
                for _, writer in clients:
                    writer.close()

        run(test)

    def test_nobody_waits_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(instances, "CONCURRENCY_MAX", 2)
        monkeypatch.setattr(waiting, "QUEUE_SECONDS", 0.1)

        async def test() -> None:
            async def model(_: Request) -> Response:
                await asyncio.sleep(1)
                return Response(200)

            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(model))))
                clients = [await rig.connect() for _ in range(3)]
                for _, writer in clients:
                    writer.write(rig.signed())
                reading = [asyncio.create_task(read_answer(reader)) for reader, _ in clients]
                done, _ = await asyncio.wait(
                    reading, timeout=5, return_when=asyncio.FIRST_COMPLETED
                )
                assert [task.result()[0] for task in done] == [503]
                await asyncio.gather(*reading)
                for _, writer in clients:
                    writer.close()

        run(test)

    def test_a_client_that_leaves_the_queue_is_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(instances, "CONCURRENCY_MAX", 2)

        async def test() -> None:
            release = asyncio.Event()
            bodies = []

            async def model(request: Request) -> Response:
                bodies.append(request.body)
                await release.wait()
                return Response(200)

            async with gateway() as rig:
                rig.serve_table(table_of(fleet("f", await rig.model(model))))
                clients = []
                for i in range(4):
                    clients.append(await rig.connect())
                    clients[i][1].write(rig.signed(b"%d" % i))
                    while rig.server.requests <= i:
                        await asyncio.sleep(0.005)
                # Reset: who merely says that it will send no more may still wait for its answer.
                leaving = clients[2][1].transport
                linger = struct.pack("ii", 1, 0)
                leaving.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
                leaving.abort()
                while len(rig.server.connections) > 3:
                    await asyncio.sleep(0.005)
                release.set()
                for i in (0, 1, 3):
                    assert (await read_answer(clients[i][0]))[0] == 200
                assert sorted(bodies) == [b"0", b"1", b"3"]
                for _, writer in clients:
                    writer.close()

        run(test)


def watched(rig: Rig) -> Coroutine[None, None, None]:
    return health.watch(rig.gateway.client, rig.routes, rig.gateway.instances)


class TestEjection:
    def test_five_failures_in_a_row_eject_and_a_ping_readmits(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health, "EVERY_SECONDS", 0.05)

        async def test() -> None:
            sick, asked = True, 0

            def model(request: Request) -> Response:
                nonlocal asked
                if request.path == b"/ping":
                    return Response(503 if sick else 200)
                asked += 1
                return Response(503 if sick else 200, (), b"sick")

            async with gateway() as rig:
                well, ill = await rig.model(echo), await rig.model(model)
                rig.serve_table(table_of(fleet("f", well, ill)))
                watching = asyncio.create_task(watched(rig))
                reader, writer = await rig.connect()
                statuses = []
                for _ in range(60):
                    writer.write(rig.signed())
                    statuses.append((await read_answer(reader))[0])
                assert statuses.count(424) == 5
                assert set(statuses[-20:]) == {200}
                sick, asked = False, 0
                async with asyncio.timeout(5):
                    while not asked:
                        writer.write(rig.signed())
                        assert (await read_answer(reader))[0] == 200
                        await asyncio.sleep(0.01)
                watching.cancel()
                writer.close()

        run(test)

    def test_a_silent_instance_is_found_by_pings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "EVERY_SECONDS", 0.05)
        monkeypatch.setattr(health, "PING_SECONDS", -0.4)  # the client's sweep adds half a second
        monkeypatch.setattr(instances, "SILENT_SECONDS", -1.0)

        async def test() -> None:
            async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.read()  # takes what it gets, and says nothing
                writer.close()

            async with gateway() as rig:
                rig.serve_table(
                    table_of(fleet("f", await rig.model(echo), await rig.scripted(silent)))
                )
                watching = asyncio.create_task(watched(rig))
                stuck = []
                async with asyncio.timeout(15):
                    while not rig.gateway.instances.ejected:
                        connection = await rig.connect()
                        connection[1].write(rig.signed())
                        stuck.append(connection)
                        await asyncio.sleep(0.05)
                assert list(rig.gateway.instances.ejected) == ["f/1"]
                assert (await rig.invoke(Body=b"x"))["Body"] == b"x"
                watching.cancel()
                for _, writer in stuck:
                    writer.close()

        run(test)

    def test_at_most_half_of_a_fleet_is_ejected(self) -> None:
        four = fleet("f", "a", "b", "c", "d")
        known = Instances()
        for instance in four.instances:
            for _ in range(10):
                known.heard(instance, four, 0, 0.0)
        assert len(known.ejected) == 2
        alone = fleet("g", "a")
        assert not known.eject(alone.instances[0], alone)

    def test_a_500_is_the_requests_fault_and_ejects_nobody(self) -> None:
        pair = fleet("f", "a", "b")
        known = Instances()
        for _ in range(50):
            known.heard(pair.instances[0], pair, 500, 0.0)
        assert not known.ejected
