"""Control, put together: the only module that names drivers.

Started by the supervisor with the settings file and a listening socket. SIGTERM stops the instances
too, since the server goes down for good; any other end leaves them serving for the next control.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import secrets
import signal
import socket
import string
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import msgspec
import structlog
import uvloop

from inservice import config, supervisor
from inservice.api.application import create_application
from inservice.api.exposition import with_metrics
from inservice.artifacts.s3 import s3_client
from inservice.artifacts.store import ArtifactStore
from inservice.clock import SystemClock
from inservice.config import Settings
from inservice.controller.act import Actor
from inservice.controller.crash import CrashPoints
from inservice.controller.gateways import Gateways
from inservice.controller.instances import Instances, fleet_of
from inservice.controller.launches import Launches, pins_of
from inservice.controller.monitoring import Monitoring
from inservice.controller.observe import Observer
from inservice.controller.reconciler import Reconciler
from inservice.controller.scraping import Scraping, scrape_token
from inservice.controller.tables import Tables
from inservice.identity.principal import AccessKey, Account
from inservice.logs.groups import LogGroups
from inservice.metrics.base import MetricsRefused
from inservice.metrics.database import open_metrics
from inservice.metrics.names import VariantKey
from inservice.metrics.recorder import Recorder
from inservice.metrics.utilization import RunningInstance
from inservice.operations.live import InstanceSeen, ProcessSeen
from inservice.routing import EndpointKey, KeyRoute
from inservice.runtimes.base import ImageNotRunnable, InstanceState, LaunchFailed
from inservice.runtimes.process import ProcessRuntime
from inservice.store.base import Commit, Store, StoreRefused
from inservice.store.database import open_store
from inservice.transport.server import serve

log = structlog.get_logger()

PARENT_SECONDS = 0.5
"""How often control looks whether its supervisor still lives. Without one it must go, or the next
server could not open the store."""

API_THREADS = 4
"""Writers wait for one another in the store; more threads would only wait there."""

TIDY_SECONDS = 300.0
"""How often artifacts and reports that nobody needs are let go."""

SECRET_CHARACTERS = 40
"""As long as AWS's own secret keys."""


class Control:
    """The parts of control and how they are joined."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.clock = SystemClock()
        self.metrics = Recorder(open_metrics(settings.database), self.clock.now())
        self.logs = LogGroups(settings.log_dir / "endpoints")
        self.started_at = self.clock.now()
        self._keys: dict[str, AccessKey] = {}
        self._preparing: set[asyncio.Task[None]] = set()
        self.runtime = _runtime(settings)
        crash_point = CrashPoints(settings.crash_at, settings.run_dir)
        self.gateways = Gateways(
            settings.run_dir,
            self.clock,
            on_worker=lambda: self.reconciler.wake_all(),
            on_acknowledged=lambda: self.reconciler.wake_each(self.tables.newly_agreed()),
            on_metrics=lambda worker, seq, rows: self.metrics.record_gateway_rows(
                worker, seq, rows, now=self.clock.now()
            ),
        )
        self.tables = Tables(self.gateways)
        self.instances = Instances(self.runtime, self.clock, self.wake_fleet)
        artifacts = ArtifactStore(
            settings.data_dir / "artifacts",
            s3=s3_client,
            file_roots=[Path("/")],
            private=[settings.data_dir, settings.run_dir],
        )
        self.artifacts = artifacts
        self.launches = Launches(self.instances, artifacts, self.clock, self.wake_fleet)
        self.actor = Actor(
            self.instances, self.launches, self.tables, settings.drain_seconds, crash_point
        )
        self.monitoring = Monitoring(
            store=store,
            recorder=self.metrics,
            clock=self.clock,
            data_dir=settings.data_dir,
            in_service=lambda: list(self.variants().values()),
            running=self.running,
            on_alarm=lambda: self.reconciler.wake_all(),
        )
        observer = Observer(
            self.instances, self.launches, self.tables, self.monitoring.alarms.tripped
        )
        self.reconciler = Reconciler(store, observer, self.actor, self.clock, crash_point)

    def wake_fleet(self, fleet: str) -> None:
        """An instance changed: its endpoint is due."""
        self.reconciler.wake_generation(fleet.partition("-")[0])

    def generations(self) -> dict[EndpointKey, str]:
        """The present incarnation of every endpoint."""
        with self.store.reading() as reading:
            records = [(key, reading.find_endpoint(key)) for key in reading.endpoint_keys()]
        return {key: record.endpoint.generation for key, record in records if record is not None}

    async def start(self) -> None:
        """Find what runs, then begin to decide."""
        await self.gateways.start()
        self.publish_keys()
        await self.instances.adopt()
        loop = asyncio.get_running_loop()
        self.store.on_commit(lambda commit: _later(loop, self.heed, commit))
        generations = self.generations()
        self.actor.retire_strays(frozenset(generations.values()))
        for key in self.tables.keys() - generations.keys():
            self.actor.forget(key)
        for key in generations:
            self.reconciler.wake(key)

    def heed(self, commit: Commit) -> None:
        """Something was committed by an API call."""
        if commit.access_keys:
            self.publish_keys()
        for key in commit.endpoints:
            self.reconciler.wake(key)
        for image in commit.images:
            task = asyncio.create_task(self.prepare(image))
            self._preparing.add(task)
            task.add_done_callback(self._preparing.discard)

    async def prepare(self, image: str | None = None) -> None:
        """Have the fork server up and, for an image, its frameworks imported: a model was created,
        and the second that importing takes is over before its first endpoint is."""
        try:
            await self.runtime.prepare(image)
        except ImageNotRunnable:
            log.info("no runtime for image", image=image)
        except LaunchFailed as failed:
            log.warning("not prepared", image=image, why=str(failed))

    async def prepared(self) -> None:
        """Wait for preparations: a fork server that is starting must be there to be stopped."""
        await asyncio.gather(*self._preparing)

    def key(self, key_id: str) -> AccessKey | None:
        """An access key by its id."""
        return self._keys.get(key_id)

    def publish_keys(self) -> None:
        """Know the access keys, and tell the gateways whom to believe."""
        with self.store.reading() as reading:
            keys = reading.access_keys()
        self._keys = {key.id: key for key in keys}
        self.tables.publish_keys({key.id: _route_of(key) for key in keys})

    def processes(self) -> Sequence[ProcessSeen]:
        """What the supervisor says that it keeps running."""
        document = msgspec.json.decode((self.settings.run_dir / "processes.json").read_bytes())
        return [
            ProcessSeen(child["name"], child["pid"], child["started_at"])
            for child in document["children"]
        ]

    def instances_seen(self) -> Sequence[InstanceSeen]:
        """Every instance on this host."""
        return [
            InstanceSeen(
                id=watched.handle.instance_id,
                fleet=fleet_of(watched.handle.instance_id),
                pid=watched.handle.pid,
                state=watched.sight.state,
                started_at=watched.handle.started_at,
            )
            for watched in self.instances.all()
        ]

    def variants(self) -> dict[str, VariantKey]:
        """Whose metrics an instance's or an invocation's are, by fleet, of all that serve."""
        return {
            fleet.fleet: VariantKey(
                route.account, route.region, route.name, fleet.variant, fleet.config_name
            )
            for route in self.gateways.table.endpoints.values()
            for fleet in route.fleets
        }

    def running(self) -> list[RunningInstance]:
        """The processes whose load is measured."""
        variants = self.variants()
        return [
            RunningInstance(
                variant, watched.handle.pid, watched.handle.started_at, watched.sight.ready_at
            )
            for watched in self.instances.all()
            if (variant := variants.get(fleet_of(watched.handle.instance_id)))
            and watched.sight.state != InstanceState.GONE
        ]

    async def tidy(self) -> None:
        """Let go of artifacts that no fleet needs, and of reports of endpoints that are gone."""
        while True:
            await self.clock.sleep(TIDY_SECONDS)
            await asyncio.to_thread(self._forget_reports)
            with self.store.reading() as reading:
                records = [reading.find_endpoint(key) for key in reading.endpoint_keys()]
            pins = {
                pin
                for record in records
                if record is not None
                for fleet in (
                    *record.endpoint.fleets,
                    *record.endpoint.previous_fleets,
                    *record.deployment.new,
                )
                for pin in pins_of(fleet)
            }
            await asyncio.to_thread(self.artifacts.release, pins)

    def _forget_reports(self) -> None:
        counted = self.metrics.counted_generations()  # first: none of a newer one is forgotten
        self.metrics.forget_step_counts(counted - set(self.generations().values()))

    async def stop(self, *, instances_too: bool) -> None:
        """Decide nothing more; then, going down for good, stop what runs."""
        await self.reconciler.close()
        if instances_too:
            await self.actor.stop_everything()
            await self.runtime.shut_down(self.settings.drain_seconds)
        else:
            await self.launches.close()
        await self.instances.close()
        await self.gateways.close()
        await asyncio.to_thread(self.metrics.close)


def _runtime(settings: Settings) -> ProcessRuntime:
    return ProcessRuntime(settings.run_dir, settings.log_dir / "endpoints")


def _later(loop: asyncio.AbstractEventLoop, call: Callable[[Commit], None], commit: Commit) -> None:
    """From the thread that committed into the loop; a loop that has ended needs no telling."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, commit)


def _route_of(key: AccessKey) -> KeyRoute:
    return KeyRoute(
        id=key.id,
        secret=key.secret,
        account=key.principal.account,
        principal=key.principal.arn,
        session_token=key.session_token,
        expires_at=key.expires_at,
    )


# ── the first start ─────────────────────────────────────────────────────────────────────────────
def ensure_root_key(store: Store, settings: Settings) -> None:
    """Make the root access key of the account at first start, and write it down, mode 0600.

    The store is the authority; the file is for people and for `inservice env`.
    """
    root = Account(settings.account_id).root
    with store.transaction() as transaction:
        key = next((k for k in transaction.access_keys() if k.principal == root), None)
        if key is None:
            key = AccessKey(id=_random_key_id(), secret=_random_secret(), principal=root)
            transaction.add_access_key(key)
    document = {"access_key_id": key.id, "secret_access_key": key.secret}
    supervisor.write_private(settings.credentials_file, document)


def _random_key_id() -> str:
    """Twenty characters that begin with AKIA, as those of AWS's long-term keys."""
    alphabet = string.ascii_uppercase + "234567"
    return "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16))


def _random_secret() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(SECRET_CHARACTERS))


# ── the process ─────────────────────────────────────────────────────────────────────────────────
async def run(settings: Settings, listening: socket.socket) -> None:
    """Serve until told to stop, or until the supervisor is gone."""
    store = open_store(settings.database, key_file=settings.data_dir / "secrets.key")
    try:
        ensure_root_key(store, settings)
        control = Control(settings, store)
        await control.start()
        threads = ThreadPoolExecutor(API_THREADS, thread_name_prefix="api")
        application = create_application(
            store=store,
            live=control,
            clock=control.clock,
            keys=control.key,
            threads=threads,
        )
        scraping = Scraping(
            store,
            control.metrics,
            control.monitoring.alarms,
            table=lambda: control.gateways.table,
            instances=lambda: [(seen.fleet, seen.state) for seen in control.instances_seen()],
        )
        answer = with_metrics(
            application,
            token=scrape_token(settings.data_dir / "metrics.token"),
            page=scraping.page,
            threads=threads,
        )
        server = await serve(answer, sockets=[listening])
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        endpoint = {
            "pid": os.getppid(),
            "url": f"http://{host}:{settings.port}",
            "region": settings.region,
            "account_id": settings.account_id,
        }
        supervisor.write_private(settings.endpoint_file, endpoint)
        log.info("serving", **endpoint)
        background = [
            asyncio.create_task(control.tidy()),
            asyncio.create_task(control.monitoring.run()),
        ]
        await control.prepare()
        told = await _until_told_or_orphaned()
        for task in background:
            task.cancel()
        await asyncio.gather(control.prepared(), *background, return_exceptions=True)
        await server.drain(deadline_seconds=5.0)
        await control.stop(instances_too=told)
    finally:
        store.close()


async def _until_told_or_orphaned() -> bool:
    """True for SIGTERM: everything goes. False when the supervisor is gone: instances stay."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see Supervisor._start_control
    parent = os.getppid()
    while not told.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), PARENT_SECONDS)
    return told.is_set()


def main(argv: list[str] | None = None) -> int:
    """`python -m inservice.app --settings FILE (--listen-fd N | --stop-instances)`."""
    parser = argparse.ArgumentParser(prog="inservice.app")
    parser.add_argument("--settings", type=Path, required=True)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--listen-fd", type=int)
    task.add_argument("--stop-instances", action="store_true", help="and do nothing else")
    options = parser.parse_args(argv)
    settings = config.from_document(msgspec.json.decode(options.settings.read_bytes()))
    configure_logging()
    if options.stop_instances:
        asyncio.run(_runtime(settings).shut_down(settings.drain_seconds))
        return 0
    try:
        uvloop.run(run(settings, socket.socket(fileno=options.listen_fd)))
    except (StoreRefused, MetricsRefused) as refused:
        log.critical("the store cannot be used", why=str(refused))
        return supervisor.RECORDS_REFUSED
    return 0


def configure_logging() -> None:
    """One JSON object a line on stderr; coloured lines where a person reads along."""
    for_machines = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    for_people = (structlog.dev.ConsoleRenderer(),)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(for_people if sys.stderr.isatty() else for_machines),
        ],
        logger_factory=structlog.PrintLoggerFactory(_Forgiving(sys.stderr)),
        cache_logger_on_first_use=True,
    )


class _Forgiving(io.StringIO):
    """A log that loses what there is no room for: a full disk must not end who tells of it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


if __name__ == "__main__":
    sys.exit(main())
