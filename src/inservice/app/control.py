"""Control, put together: which part is which driver, and who wakes whom."""

from __future__ import annotations

import asyncio
import hmac
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from inservice.api.application import create_application
from inservice.api.exposition import with_metrics
from inservice.api.instance_credentials import InstanceCredentials
from inservice.app.assets import KeptAssets
from inservice.app.capacity import Capacity
from inservice.app.denials import told_to
from inservice.app.live import LiveServer
from inservice.app.own_objects import OwnObjects
from inservice.app.runtimes import HostRuntimes, host_runtimes
from inservice.app.whereabouts import for_this_host
from inservice.artifacts.store import ArtifactStore
from inservice.audit.trail import Trail
from inservice.blobs.disk.beside import BlobsBeside
from inservice.channel.publishing import Gateways
from inservice.clock import SystemClock
from inservice.config import ANY_ROLE, ENFORCED, OFF, Settings
from inservice.controller.alarms.evaluating import AlarmEvaluator
from inservice.controller.alarms.webhooks import Webhooks
from inservice.controller.endpoints.act import Actor
from inservice.controller.endpoints.changed_files import ChangedFiles
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import Launches
from inservice.controller.endpoints.observe import Observer
from inservice.controller.endpoints.outcomes import Outcomes
from inservice.controller.endpoints.preparing import Preparing
from inservice.controller.endpoints.reconciler import Reconciler
from inservice.controller.grants import Grants
from inservice.controller.keys import Keys
from inservice.controller.kit.crash import CrashPoints
from inservice.controller.kit.happened import counted_endings, counted_restarts
from inservice.controller.kit.posting import Poster
from inservice.controller.kit.receivers import Networks
from inservice.controller.kit.tables import Tables
from inservice.controller.provider_keys import IssuerKeys
from inservice.controller.upkeep.measuring import Measuring
from inservice.controller.upkeep.scraping import Scraping, scrape_token
from inservice.controller.upkeep.tidying import Tidying
from inservice.deployment.state import Decision
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.fleet import Fleet
from inservice.ids import EndpointKey, generation_of
from inservice.images.environments.built import BuiltEnvironments
from inservice.images.host import HostImages
from inservice.instance_logs.groups import FileGroups
from inservice.reserve import Reserve
from inservice.runtimes.base import InstanceState
from inservice.runtimes.placed import PlacedRuntime
from inservice.runtimes.select import OCI
from inservice.store.base import Store
from inservice.store.collections.set_aside import SetAside
from inservice.telemetry.gpus import find_gpus
from inservice.telemetry.happenings import Happenings
from inservice.telemetry.prometheus import rendering
from inservice.telemetry.recorder import Recorder
from inservice.telemetry.utilization import Utilization
from inservice.threads import Threads
from inservice.transport.server import Answer

if TYPE_CHECKING:
    from inservice.artifacts.s3_client import Storage

API_THREADS = 4
"""Writers wait for one another in the store; more threads would only wait there."""

READING_THREADS = 2
"""For callers who read a great deal: metrics, logs. One interpreter computes, so
more would not be faster; a second lets a short read pass a long one."""


class Control:
    """The parts of control and how they are joined."""

    def __init__(
        self, settings: Settings, store: Store, metrics: Recorder, reserve: Reserve, trail: Trail
    ) -> None:
        self._settings, self._reserve = settings, reserve
        self._store, self._trail = store, trail
        self._clock = clock = SystemClock()
        self._metrics = metrics
        self._happenings = Happenings()
        self._artifacts = self._kept_artifacts()
        self._environments = self._built_environments()
        self._images = HostImages(settings.data_dir / "images.json", self._environments, clock.now)
        runtimes = self._host_runtimes()
        self._runtime, self._processes = runtimes.selected, runtimes.processes
        self._gpus = find_gpus()
        self._capacity = Capacity(settings, self._gpus)
        self._preparing = Preparing(self._runtime, store)
        self._gateways = Gateways(
            settings.run_dir,
            clock,
            on_acknowledged=lambda: self._reconciler.wake_each(self._tables.newly_agreed()),
            on_metrics=lambda worker, seq, rows: self._metrics.record_gateway_rows(
                worker, seq, rows, now=clock.now()
            ),
            on_denials=told_to(trail),
            room=reserve.giving,
        )
        self._tables = Tables(self._gateways)
        self._keys = Keys(store, self._tables)
        self._grants = Grants(store, self._tables)
        self._instances = Instances(
            self._placed(), clock, self._wake_fleet, counted_restarts(self._happenings)
        )
        self._live = LiveServer(
            settings=settings,
            started_at=clock.now(),
            instances=self._instances,
            gateways=self._gateways,
            tables=self._tables,
            metrics=self._metrics,
            logs=FileGroups(settings.log_dir / "endpoints"),
            runtimes=runtimes,
            host=self._capacity,
            artifacts=self._artifacts,
            images=self._images,
        )
        poster = Poster(clock, Networks(settings.webhook_allow))
        self._outcomes = Outcomes(
            store, poster, self._happenings, clock, settings.deployment_webhook, settings.data_dir
        )
        webhooks = Webhooks(poster, self._happenings)
        self._alarms = AlarmEvaluator(store, self._metrics, clock, webhooks)
        self._measuring = Measuring(
            metrics=self._metrics,
            host_use=self._host_use(),
            clock=clock,
            in_service=lambda: list(self._live.variants().values()),
            running=self._live.running,
            hurried=self._alarms.watched.hurried,
        )
        self._first_due: tuple[EndpointKey, ...] = ()
        self._decide_and_act()
        self._tidying = self._tidier(runtimes)

    def _tidier(self, runtimes: HostRuntimes) -> Tidying:
        """What lets go of what nobody needs any more."""
        return Tidying(
            self._store,
            self._artifacts,
            self._metrics,
            self._clock,
            log_dir=self._settings.log_dir,
            running=lambda: [seen.handle for seen in self._instances.all()],
            short=self._reserve.short,
            fleets_left=runtimes.containers.release,
        )

    def _placed(self) -> PlacedRuntime:
        """What starts instances where there is room for them."""
        capacity = self._capacity
        return PlacedRuntime(
            self._runtime, capacity.claims, host=capacity.host, rules=capacity.rules
        )

    def _host_use(self) -> Utilization:
        """What measures the instances on this host."""
        told = self._happenings.instance_ready
        return Utilization(
            self._settings.data_dir, self._clock.now(), gpus=self._gpus, on_ready=told
        )

    def _kept_artifacts(self) -> ArtifactStore:
        """The artifacts of this host."""
        settings = self._settings
        return ArtifactStore(
            settings.data_dir / "artifacts",
            s3=self._s3_storage,
            own=self._own_objects(),
            file_roots=[Path("/")],
            private=[settings.data_dir, settings.run_dir],
            on_changed=ChangedFiles(self._store, self._clock).tell,
        )

    def _built_environments(self) -> BuiltEnvironments:
        """The Pythons of this host that stand in for images."""
        settings = self._settings
        return BuiltEnvironments(
            settings.data_dir / "environments",
            requirements=settings.requirements,
            timeout_seconds=settings.image_build_timeout,
            apart=(sys.executable, "-I", "-m", "inservice.runtimes.process.apart"),
            hidden=(settings.data_dir, settings.run_dir),
        )

    def _host_runtimes(self) -> HostRuntimes:
        """What runs instances on this host."""
        return host_runtimes(
            self._settings,
            KeptAssets(self._artifacts, self._settings.file_roots_of),
            self._images,
            self._environments,
        )

    def _own_objects(self) -> OwnObjects | None:
        """The objects of this server, which the process of the storage has open."""
        settings = self._settings
        if settings.storage == OFF:
            return None
        return OwnObjects(
            BlobsBeside(settings.storage_dir),
            self._store,
            self._clock,
            takes_unknown_roles=settings.execution_roles == ANY_ROLE,
        )

    def _s3_storage(self) -> Storage:
        """Where other artifacts come from: any store but this server, with any key but its own."""
        # Imported here: botocore is 200 modules, and a model may come from a file.
        from inservice.artifacts.s3_client import OwnServer, s3_client

        settings = self._settings
        own = OwnServer(
            lambda key_id: self._keys.find(key_id) is not None, settings.host, settings.port
        )
        return s3_client(profile=settings.s3_profile, own=own)

    def _decide_and_act(self) -> None:
        """Look → decide → remember → do."""
        settings, clock = self._settings, self._clock
        self._credentials = self._instance_credentials()
        crash_point = CrashPoints(settings.crash_at, settings.run_dir)
        self._launches = Launches(self._instances, clock, self._wake_fleet, self._environment)
        self._actor = Actor(
            self._instances, self._launches, self._tables, settings.drain_seconds, crash_point
        )
        observer = Observer(self._instances, self._launches, self._tables)
        self._reconciler = Reconciler(
            self._store,
            observer,
            self._actor,
            clock,
            crash_point,
            self._ended,
        )

    def _instance_credentials(self) -> InstanceCredentials:
        """What gives models' own code the credentials of their execution roles."""
        key = (self._settings.data_dir / "secrets.key").read_bytes()
        return InstanceCredentials(
            self._store,
            self._clock,
            key=hmac.digest(key, b"instance credentials", "sha256"),
            url=_loopback_url(self._settings),
            running=self._is_running,
        )

    def _environment(self, endpoint: Endpoint, fleet: Fleet, instance_id: str) -> Mapping[str, str]:
        """What an instance is started with beside its model's own environment."""
        model = fleet.model
        if model is None or model.network_isolation:
            return {}
        return self._credentials.environment(
            instance_id,
            model=ResourceArn(ResourceKind.MODEL, endpoint.account, endpoint.region, model.name),
            role_arn=model.document.get("ExecutionRoleArn"),
            own=model.containers[0].environment,
        )

    def _is_running(self, instance_id: str) -> bool:
        """Whether it is there, or being started: a model may ask while it loads."""
        fleet, _, ordinal = instance_id.rpartition("/")
        return int(ordinal) in self._launches.under_way(fleet) or any(
            seen.handle.instance_id == instance_id and seen.sight.state is not InstanceState.GONE
            for seen in self._instances.all()
        )

    def _ended(self, key: EndpointKey, decision: Decision) -> None:
        """A deployment came to its outcome."""
        counted_endings(self._happenings)(key, decision.deployment)
        self._outcomes.ended(key, decision)

    # ── life ────────────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        """Find what runs, then begin to decide. Nobody else changes the records until then.

        Raises LimitsUnavailable where instances are to be limited and cannot be.
        """
        if self._settings.limits == ENFORCED and self._settings.runtime != OCI:
            await self._processes.check_limits()
        self._images.begin()
        self._preparing.follow()
        generations, told = await Threads("starting").run(self._read)
        if generations:
            self._preparing.begin()
        await self._gateways.start(serving=bool(generations))
        self._tables.adopt()
        await self._keys.follow()
        await self._grants.follow()
        await self._instances.adopt()
        self._reconciler.follow(self._store.feed)
        if not any(each.table == "endpoints" for each in told):
            # Of an endpoint whose record cannot be read the generation may be unknown too, and its
            # instances serve on.
            self._actor.retire_strays(frozenset(generations.values()))
        await self._outcomes.recover()
        # Also what is in the table and no more on record: its turn takes it out, again and again
        # where that cannot be written down.
        self._first_due = tuple({**generations, **dict.fromkeys(self._tables.keys())})

    def answer(self) -> Answer:
        """What answers requests: AWS's APIs, InService's own, and Prometheus."""
        settings = self._settings
        application = create_application(
            store=self._store,
            live=self._live,
            clock=self._clock,
            keys=self._keys.find,
            authority_of=self._grants.authority_of,
            beside=() if self._settings.storage == OFF else ("s3",),
            threads=Threads("api", API_THREADS),
            readers=Threads("reads", READING_THREADS),
            short=self._reserve.short,
            used=self._keys.note_use,
            trail=self._trail,
            provider_keys=IssuerKeys(
                self._clock, Networks(settings.webhook_allow), settings.oidc_jwks_files
            ),
        )
        scraping = Scraping(
            self._store,
            rendering(self._metrics.totals, self._happenings),
            self._clock,
            self._alarms.states,
            table=lambda: self._gateways.table,
            instances=lambda: [(seen.fleet, seen.state) for seen in self._live.instances_seen()],
            workers=lambda: [process.pid for process in self._live.processes()],
            storage=lambda: self._gateways.storage,
            capacity=self._capacity.held,
        )
        return with_metrics(
            self._credentials.before(application, Threads("credentials")),
            token=scrape_token(self._settings.data_dir / "metrics.token"),
            page=scraping.page,
            threads=Threads("scrapes"),
        )

    async def watch(self) -> None:
        """Decide, evaluate alarms, measure, tidy, and tell what was not told, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_first_turns())
            tasks.create_task(self._tidying.run())
            tasks.create_task(self._alarms.run())
            tasks.create_task(self._measuring.run())
            tasks.create_task(self._outcomes.run())
            tasks.create_task(self._keys.keep_told())
            tasks.create_task(self._grants.keep_told())
            tasks.create_task(self._keys.keep_uses())

    async def _take_first_turns(self) -> None:
        """Every endpoint is due when control begins, one after the other: who asks for something
        meanwhile does not wait until hundreds have been looked at."""
        for key in self._first_due:
            self._reconciler.wake(key)
            await asyncio.sleep(0)

    async def stop(self, *, grace_seconds: float) -> None:
        """Decide nothing more, and stop what runs: the server goes down for good."""
        await self._decide_nothing_more()
        await self._actor.stop_everything(grace_seconds)
        await self._runtime.shut_down(grace_seconds)
        await self._close()

    async def step_aside(self) -> None:
        """Decide nothing more; what runs serves on."""
        await self._decide_nothing_more()
        await self._launches.close()
        await self._close()

    async def _decide_nothing_more(self) -> None:
        self._keys.close()
        self._grants.close()
        await self._preparing.finish()
        await self._reconciler.close()

    async def _close(self) -> None:
        await self._images.close()
        await self._environments.close()
        await self._instances.close()
        await self._runtime.close()
        await self._gateways.close()
        await Threads("closing").run(self._metrics.close)

    # ── who wakes whom ──────────────────────────────────────────────────────────────────────────
    def _wake_fleet(self, fleet: str) -> None:
        """An instance changed: its endpoint is due."""
        self._reconciler.wake_generation(generation_of(fleet))

    def _read(self) -> tuple[dict[EndpointKey, str], Sequence[SetAside]]:
        """The present incarnation of every endpoint, and what could not be read."""
        with self._store.reading() as reading:
            records = reading.endpoints.all()
            return {each.key: each.endpoint.generation for each in records}, reading.set_aside.all()


def _loopback_url(settings: Settings) -> str | None:
    """Where this host finds the server by a loopback address, if it listens on one."""
    host = for_this_host(settings.host)
    if host != "localhost" and not ip_address(host.strip("[]")).is_loopback:
        return None
    return f"http://{host}:{settings.port}"
