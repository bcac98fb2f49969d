"""CloudWatch and Logs as control serves them, over HTTP, without endpoints beside them."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import shutil
import socket
import tempfile
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3
from botocore.config import Config

import inservice.operations  # noqa: F401 - fills the registry
from inservice.api.application import Application, load_services
from inservice.aws.service_model import Service
from inservice.clock import SystemClock
from inservice.cloudwatch.alarms.record import trips
from inservice.controller.alarms.evaluating import AlarmEvaluator
from inservice.controller.alarms.webhooks import Webhooks
from inservice.controller.kit.posting import Poster
from inservice.controller.kit.receivers import Networks
from inservice.identity.authority import Authority
from inservice.identity.principal import AccessKey, Account
from inservice.instance_logs.groups import FileGroups
from inservice.operations.live import (
    CapacitySeen,
    DataSeen,
    EngineSeen,
    InstanceSeen,
    Live,
    ProcessSeen,
)
from inservice.operations.sts.provider_keys import NO_KEYS
from inservice.placement.host import Host
from inservice.placement.place import Rules
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.telemetry.database import open_metrics
from inservice.telemetry.happenings import Happenings
from inservice.telemetry.recorder import Recorder
from inservice.threads import Threads
from inservice.transport.server import serve

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY = AccessKey(id="AKIAIOSFODNN7EXAMPLE", secret="a" * 40, principal=Account(ACCOUNT).root)


@dataclass
class Rig:
    """What serves, and what a test needs to move it."""

    url: str
    store: Store
    metrics: Recorder
    evaluator: AlarmEvaluator
    clock: SystemClock
    logs: FileGroups
    webhooks: Webhooks
    started_at: float = 0.0
    log_bytes_max: int = 1 << 40
    own_account: str = ACCOUNT

    def processes(self) -> tuple[ProcessSeen, ...]:
        return ()

    def served(self) -> tuple[str, ...]:
        return ()

    is_strict = False
    takes_unknown_roles = True

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

    def client(
        self,
        service: str = "cloudwatch",
        region: str = REGION,
        secret: str = KEY.secret,
        **config: Any,
    ) -> Any:
        """A boto3 client of the root user, that tries once unless `config` says otherwise."""
        config = {"retries": {"total_max_attempts": 1}, "inject_host_prefix": False, **config}
        made: Any = boto3.client  # the stubs know services by literal names
        return made(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=KEY.id,
            aws_secret_access_key=secret,
            config=Config(**config),
        )

    def tripped(self, names: Collection[str]) -> dict[str, str]:
        """What a turn of an endpoint that watches these alarms is told."""
        with self.store.reading() as reading:
            found = {name: trips(reading.alarms.find(ACCOUNT, REGION, name)) for name in names}
        return {name: how for name, how in found.items() if how is not None}

    def deliver(self, now: float) -> None:
        """One turn of the evaluator, its deliveries included."""

        async def turn() -> None:
            due = self.evaluator.turn(now)
            await asyncio.gather(*(self.evaluator.actions.run(delivery) for delivery in due))

        asyncio.run(turn())


@functools.cache
def _empty_records() -> Path:
    """Made once: to make the tables costs more than most tests do with them."""
    place = Path(tempfile.mkdtemp(prefix="is-"))
    atexit.register(shutil.rmtree, place)
    store, recorder = _opened(place, SystemClock())
    recorder.close()
    store.close()
    return place


@functools.cache
def _models(services: tuple[str, ...]) -> list[Service]:
    """AWS's, megabytes of JSON, read once."""
    return load_services(services)


def _opened(path: Path, clock: SystemClock) -> tuple[Store, Recorder]:
    url = f"sqlite:///{path / 'inservice.db'}"
    store = open_store(url, key_file=path / "secrets.key")
    return store, Recorder(open_metrics(url), clock.now())


@contextlib.contextmanager
def cloudwatch(
    path: Path, poster: Any = None, services: Collection[str] = ("cloudwatch", "logs")
) -> Iterator[Rig]:
    """Serve from a directory. `poster` stands for the network of webhooks."""
    clock = SystemClock()
    if not (path / "inservice.db").exists():
        shutil.copytree(_empty_records(), path, dirs_exist_ok=True)
    store, recorder = _opened(path, clock)
    webhooks = Webhooks(poster or Poster(clock, Networks()), Happenings())
    evaluator = AlarmEvaluator(store, recorder, clock, webhooks)
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    rig = Rig(
        f"http://{host}:{port}",
        store,
        recorder,
        evaluator,
        clock,
        FileGroups(path / "logs"),
        webhooks,
    )
    loop = asyncio.new_event_loop()
    application = Application(
        store=store,
        live=cast(Live, rig),
        clock=clock,
        keys={KEY.id: KEY}.get,
        threads=Threads("api", 2),
        readers=Threads("reads", 2),
        services=_models(tuple(services)),
        beside=(),
        short=lambda: "",
        authority_of=lambda key: Authority(key.principal),
        used=lambda _key, _use: None,
        trail=None,
        provider_keys=NO_KEYS,
    )

    async def start() -> Any:
        return await serve(application, sockets=[listening])

    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield rig
    finally:
        asyncio.run_coroutine_threadsafe(server.drain(5.0, idle_seconds=0.0), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        recorder.close()
        store.close()
