"""Launches that take long, and launches that fail in a way that nobody foresaw."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config

from inservice.app.assets import KeptAssets
from inservice.artifacts.errors import (
    ArtifactError,
    ArtifactForbidden,
    ArtifactMissing,
    FetchCancelled,
    StorageFailed,
)
from inservice.artifacts.store import ArtifactStore
from inservice.clock import Due, SystemClock
from inservice.controller.endpoints import shortages
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import Launches
from inservice.controller.endpoints.shortages import PAUSE_SECONDS_MAX, pause, shortage
from inservice.hosting.endpoint import Endpoint, EndpointStatus
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.fleet import Fleet
from inservice.hosting.model import Model
from inservice.runtimes.base import (
    AssetUnavailable,
    Handle,
    ImageNotRunnable,
    LaunchFailed,
    LaunchSpec,
)
from inservice.runtimes.launching import seen_through
from inservice.testing.runtime import FakeHost, FakeRuntime

ACCOUNT, REGION = "0" * 12, "us-east-1"

SLOW_FETCHES = 20
"""More than the threads that asyncio keeps for everybody, which are at most 32 and 6 on 2 cores."""


@pytest.fixture
def silent_store() -> Iterator[str]:
    """The URL of an S3 that accepts connections and never says a word."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _s3(url: str) -> Callable[[], Any]:
    config = Config(read_timeout=5, retries={"total_max_attempts": 1}, max_pool_connections=64)
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = partial(boto3.client, "s3", endpoint_url=url, region_name=REGION, config=config)

    def storage() -> SimpleNamespace:
        made = SimpleNamespace(client=client(**keys), name=url, key_id="key", passed_over="")
        made.as_role = lambda _: made
        return made

    return storage


def endpoint_of(number: int, *, artifact: bool = True, **own: str) -> tuple[Endpoint, Fleet]:
    container: dict[str, Any] = {"Image": "python", "Environment": own}
    if artifact:
        container["ModelDataUrl"] = f"s3://bucket/{number}.tar.gz"
    model = Model.from_document(
        {"ModelName": "m", "PrimaryContainer": container}, account=ACCOUNT, region=REGION, now=0.0
    )
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1}
    document = {"EndpointConfigName": "c", "ProductionVariants": [variant]}
    config = EndpointConfig.from_document(document, account=ACCOUNT, region=REGION, now=0.0)
    (only,) = config.variants
    fleet = Fleet(f"g{number}-1-v", "c", only, model, 1, only.initial_weight)
    endpoint = Endpoint(
        account=ACCOUNT,
        region=REGION,
        name=f"e{number}",
        arn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e{number}",
        generation=f"g{number}",
        status=EndpointStatus.CREATING,
        config=config,
        created_at=0.0,
        modified_at=0.0,
    )
    return endpoint, fleet


def _launches(artifacts: ArtifactStore, on_change: Callable[[str], None]) -> Launches:
    clock = SystemClock()
    runtime = FakeRuntime(FakeHost(clock), KeptAssets(artifacts))
    return Launches(Instances(runtime, clock, lambda fleet: None), clock, on_change)


def test_downloads_that_hang_take_no_threads_from_anybody(
    tmp_path: Path, silent_store: str
) -> None:
    """They have threads of their own: were those of the store full of downloads, no endpoint would
    get on."""
    asyncio.run(_fetch_from_silence(tmp_path, silent_store))


def _fetching() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("fetch")}


async def _fetch_from_silence(tmp_path: Path, silent_store: str) -> None:
    before = set(threading.enumerate())
    artifacts = ArtifactStore(tmp_path / "artifacts", s3=_s3(silent_store))
    launches = _launches(artifacts, lambda fleet: None)
    begun = [endpoint_of(number) for number in range(SLOW_FETCHES)]
    for endpoint, fleet in begun:
        launches.begin(endpoint, fleet, [0])
    async with asyncio.timeout(10):
        while len(_fetching() - before) < SLOW_FETCHES:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(lambda: "done") == "done"
    for _, fleet in begun:
        launches.give_up(fleet.id)


def test_a_failure_that_nobody_foresaw_is_told_and_not_tried_at_once_again(
    tmp_path: Path,
) -> None:
    """Without a reason the endpoint would be Creating for ever, and be tried every second."""
    asyncio.run(_fail_unforeseen(tmp_path))


async def _fail_unforeseen(tmp_path: Path) -> None:

    def explode() -> Any:
        raise RuntimeError("the driver is broken")

    told: list[str] = []
    changed = asyncio.Event()
    artifacts = ArtifactStore(tmp_path / "artifacts", s3=explode)

    def on_change(fleet: str) -> None:
        told.append(fleet)
        changed.set()

    launches = _launches(artifacts, on_change)
    endpoint, fleet = endpoint_of(1)
    launches.begin(endpoint, fleet, [0])
    async with asyncio.timeout(10):
        await changed.wait()
    assert told == [fleet.id]
    reason = launches.failure(fleet.id)
    assert reason is not None
    assert "the driver is broken" in reason
    launches.begin(endpoint, fleet, [0])
    assert launches.under_way(fleet.id) == frozenset()
    await launches.close()


class Script(FakeRuntime):
    """A runtime whose launches wait: before anything was started, or when it has been."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.has_started = False

    async def launch(self, spec: LaunchSpec) -> Handle:
        if not self.has_started:
            self.asked.set()
            await self.go_on.wait()
            return await super().launch(spec)
        handle = await super().launch(spec)
        return await seen_through(self._told(handle))

    async def _told(self, handle: Handle) -> Handle:
        self.asked.set()
        await self.go_on.wait()
        return handle


@pytest.mark.parametrize("end", ["give up", "close"])
@pytest.mark.parametrize("when", ["at once", "fetching", "started"])
def test_what_is_not_wanted_any_more_is_not_launched_and_what_was_started_is_known(
    when: str, end: str
) -> None:
    """Whenever it comes to that: no task is left that never ends, no instance that nobody watches,
    no reason why the fleet failed, since it did not, and the fleet can be launched again."""

    async def test() -> None:
        host = FakeHost(SystemClock())
        runtime = Script(host)
        runtime.has_started = when == "started"
        instances = Instances(runtime, SystemClock(), lambda fleet: None)
        changed = asyncio.Event()
        launches = Launches(instances, SystemClock(), lambda fleet: changed.set())
        endpoint, fleet = endpoint_of(1, artifact=False)
        launches.begin(endpoint, fleet, [0, 1])
        async with asyncio.timeout(10):
            if when != "at once":
                await runtime.asked.wait()
            if end == "give up":
                launches.give_up(fleet.id)
                launches.give_up(fleet.id)
            else:
                closing = asyncio.create_task(launches.close())
                await asyncio.sleep(0)
            if when == "started":
                runtime.go_on.set()
            await changed.wait()
            if end == "close":
                await closing
        assert launches.under_way(fleet.id) == frozenset()
        assert launches.failure(fleet.id) is None
        started = [f"{fleet.id}/0"] if when == "started" else []
        assert host.alive() == started
        assert [seen.handle.instance_id for seen in instances.all()] == started
        runtime.go_on.set()
        launches.begin(endpoint, fleet, [0, 1])
        async with asyncio.timeout(10):
            while len(instances.all()) < 2:
                changed.clear()
                await changed.wait()
        assert host.alive() == [f"{fleet.id}/0", f"{fleet.id}/1"]
        await launches.close()
        await instances.close()

    asyncio.run(test())


class Transferring:
    """An artifact store that transfers for as long as anybody wants it to."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()
        self.told_so = False

    def fetch(self, uri: str, *, cancelled: threading.Event, **_: Any) -> Any:
        self.begun.set()
        self.told_so = cancelled.wait(20)
        self.ended.set()
        raise FetchCancelled("It is not wanted any more.", uri=uri)


def test_a_download_that_nobody_wants_any_more_ends() -> None:
    """And not when the time for it is over, which is an hour."""

    async def test() -> None:
        store: Any = Transferring()
        launches = _launches(store, lambda fleet: None)
        endpoint, fleet = endpoint_of(1)
        launches.begin(endpoint, fleet, [0])
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(store.begun.wait, 15)
            await launches.close()
            assert await asyncio.to_thread(store.ended.wait, 15)
        assert store.told_so
        assert launches.failure(fleet.id) is None

    asyncio.run(test())


class Impatient(SystemClock):
    """A clock by which every pause is over at once, and which remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def wait(self, event: Due, until: float) -> bool:
        self.pauses.append(round(until - self.now(), 1))
        return await super().wait(event, self.now() + 0.001)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
def test_a_shortage_of_the_host_is_waited_for_and_fails_nothing(number: int) -> None:
    async def test() -> None:
        clock, told = Impatient(), asyncio.Event()
        host = FakeHost(clock)
        instances = Instances(FakeRuntime(host), SystemClock(), lambda fleet: None)
        launches = Launches(instances, clock, lambda fleet: told.set())
        endpoint, fleet = endpoint_of(1, artifact=False)
        host.refuses_to_launch = "it could not start"
        host.refuses_because = OSError(number, os.strerror(number))
        launches.begin(endpoint, fleet, [0, 1])
        async with asyncio.timeout(10):
            await told.wait()
            waits = launches.waits_for(fleet.id)
            assert waits is not None
            assert errno.errorcode[number] in waits
            while len(clock.pauses) < 7:
                await asyncio.sleep(0.001)
            assert launches.under_way(fleet.id) == {0, 1}
            assert launches.failure(fleet.id) is None
            host.refuses_to_launch = None
            while launches.under_way(fleet.id):
                await asyncio.sleep(0.001)
        assert clock.pauses[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        assert host.alive() == [f"{fleet.id}/0", f"{fleet.id}/1"]
        assert launches.failure(fleet.id) is None
        assert launches.waits_for(fleet.id) is None
        await instances.close()

    asyncio.run(test())


def test_each_instance_gets_what_is_its_own() -> None:
    async def test() -> None:
        told = asyncio.Event()
        host = FakeHost(SystemClock())
        instances = Instances(FakeRuntime(host), SystemClock(), lambda fleet: None)
        launches = Launches(
            instances,
            SystemClock(),
            lambda fleet: told.set(),
            lambda endpoint, fleet, instance: {"TOKEN": f"{endpoint.name} {instance}"},
        )
        endpoint, fleet = endpoint_of(1, artifact=False)
        launches.begin(endpoint, fleet, [0, 1])
        async with asyncio.timeout(10):
            await told.wait()
        assert [spec.environment for spec in host.launches] == [
            {"TOKEN": f"e1 {fleet.id}/{ordinal}"} for ordinal in (0, 1)
        ]
        await instances.close()

    asyncio.run(test())


def test_a_launch_that_waits_is_given_up_at_once() -> None:
    async def test() -> None:
        told = asyncio.Event()
        host = FakeHost(SystemClock())
        instances = Instances(FakeRuntime(host), SystemClock(), lambda fleet: None)
        launches = Launches(instances, Never(), lambda fleet: told.set())
        endpoint, fleet = endpoint_of(1, artifact=False)
        host.refuses_to_launch, host.refuses_because = "no", OSError(errno.EMFILE, "files")
        launches.begin(endpoint, fleet, [0])
        async with asyncio.timeout(10):
            await told.wait()
            launches.give_up(fleet.id)
            while launches.under_way(fleet.id):
                await asyncio.sleep(0.001)
        assert host.alive() == []
        launches.begin(endpoint, fleet, [0])
        async with asyncio.timeout(10):
            await launches.close()

    asyncio.run(test())


class Never(SystemClock):
    """A clock by which no pause ends."""

    async def wait(self, event: Due, until: float) -> bool:
        return await event.wait()


def test_a_launch_that_fails_does_not_forget_how_the_last_one_ended() -> None:
    async def test() -> None:
        host, changed = FakeHost(SystemClock()), asyncio.Event()
        instances = Instances(FakeRuntime(host), SystemClock(), lambda fleet: changed.set())
        launches = Launches(instances, Never(), lambda fleet: changed.set())
        endpoint, fleet = endpoint_of(1, artifact=False)
        launches.begin(endpoint, fleet, [0])
        async with asyncio.timeout(10):
            while not host.alive():
                await changed.wait()
                changed.clear()
            host.die(f"{fleet.id}/0", signal="SIGSEGV")
            while [w.sight.signal for w in instances.of_fleet(fleet.id)] != ["SIGSEGV"]:
                await changed.wait()
                changed.clear()
            host.refuses_to_launch, host.refuses_because = "no", OSError(errno.EMFILE, "files")
            launches.begin(endpoint, fleet, [0])
            while launches.waits_for(fleet.id) is None:
                await changed.wait()
                changed.clear()
        assert [w.sight.signal for w in instances.of_fleet(fleet.id)] == ["SIGSEGV"]
        await launches.close()
        await instances.close()

    asyncio.run(test())


def _unavailable(error: BaseException) -> AssetUnavailable:
    """As `app.assets` tells of it: a storage that is slow is no shortage of the host."""
    between, failed = StorageFailed("it does not answer"), AssetUnavailable("no model data")
    between.__cause__, failed.__cause__ = error, between
    return failed


def _wrapped(error: BaseException) -> LaunchFailed:
    between, failed = RuntimeError("in between"), LaunchFailed("it could not start")
    between.__cause__, failed.__cause__ = error, between
    return failed


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "x"), "file descriptors (EMFILE)"),
        (OSError(errno.ENOSPC, "x"), "disk space (ENOSPC)"),
        (BlockingIOError(errno.EAGAIN, "x"), "processes (EAGAIN)"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (_wrapped(OSError(errno.EAGAIN, "x")), "processes"),
        (_wrapped(TimeoutError()), "too busy"),
        (_unavailable(OSError(errno.ENOSPC, "x")), "disk space (ENOSPC)"),
    ],
)
def test_what_a_host_is_short_of_is_found_however_it_is_wrapped(
    error: BaseException, words: str
) -> None:
    assert words in (shortage(error) or "")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "x"),
        FileNotFoundError(errno.ENOENT, "x"),
        ImageNotRunnable("x"),
        LaunchFailed("x"),
        TimeoutError(),
        ValueError("x"),
        _wrapped(OSError(errno.EACCES, "x")),
        _unavailable(TimeoutError()),
    ],
)
def test_what_no_second_try_mends_is_no_shortage(error: BaseException) -> None:
    assert shortage(error) is None


def test_pauses_grow_and_end_somewhere() -> None:
    assert pause(1) < pause(2) < pause(3)
    assert pause(10**9) == PAUSE_SECONDS_MAX


class Storage:
    """Of artifacts, one that fails until it is back."""

    def __init__(self, fails: ArtifactError | None) -> None:
        self.fails = fails
        self.asked = 0

    def fetch(self, uri: str, **_: Any) -> Any:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        return SimpleNamespace(path=Path("/model"))


AWAY = StorageFailed("It answered 503.", uri="s3://bucket/1.tar.gz")


def test_on_the_way_back_a_storage_that_is_away_is_waited_for_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AWS retries its own trouble. What was one failed read would else be UpdateRollbackFailed."""
    monkeypatch.setattr(shortages, "FIRST_PAUSE_SECONDS", 0.01)

    async def test() -> None:
        storage, changed = Storage(AWAY), asyncio.Event()
        launches = _launches(cast(Any, storage), lambda fleet: changed.set())
        endpoint, fleet = endpoint_of(1)
        launches.begin(endpoint, fleet, [0], patient=True)
        async with asyncio.timeout(10):
            await changed.wait()
            assert launches.waits_for(fleet.id) == "the storage of its model data fails"
            assert launches.failure(fleet.id, patient=True) is None
            while storage.asked < 5:
                await asyncio.sleep(0.005)
            assert launches.under_way(fleet.id) == {0}
            storage.fails = None
            while launches.under_way(fleet.id):
                await asyncio.sleep(0.005)
        assert [one.handle.instance_id for one in launches.instances.all()] == [f"{fleet.id}/0"]
        await launches.instances.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("fails", "passes"),
    [
        (AWAY, True),
        (ArtifactMissing("There is no such object.", uri="s3://bucket/1.tar.gz"), False),
        (ArtifactForbidden("It answered 403.", uri="s3://bucket/1.tar.gz"), False),
    ],
    ids=["away", "missing", "forbidden"],
)
def test_what_failed_before_fails_a_way_back_only_if_it_stays(
    fails: ArtifactError, passes: bool
) -> None:
    """An old fleet whose instance died while the storage was away, and then an alarm."""

    async def test() -> None:
        storage = Storage(fails)
        launches = _launches(cast(Any, storage), lambda fleet: None)
        endpoint, fleet = endpoint_of(1)
        launches.begin(endpoint, fleet, [0])
        async with asyncio.timeout(10):
            while launches.under_way(fleet.id):
                await asyncio.sleep(0.005)
        assert launches.failure(fleet.id) == fails.reason, "on the way forward it is a failure"
        assert launches.failure(fleet.id, patient=True) == (None if passes else fails.reason)
        launches.begin(endpoint, fleet, [0], patient=True)
        assert launches.under_way(fleet.id) == ({0} if passes else frozenset())
        await launches.close()

    asyncio.run(test())
