"""Instances as containers that Podman or Docker runs: SageMaker's contract, in anybody's image.

The containers are the engine's and outlive control. What is known of them is on disk (`records`),
written before a container is created, and on the containers themselves, as labels. So whatever
control was killed at, the next one finds its containers, goes on watching and reading them, ends
those that were being ended, and removes those that nobody knows; nobody else's are ever touched.

    runtime = OciRuntime(run_dir, state_dir, log_dir, engine=Engine(run_dir), assets=assets)
    handle = await runtime.launch(spec)              # pulled, its files fetched, started
    sight = await runtime.next_sight(handle, None)
    await runtime.retire(handle, grace_seconds=30)

An instance is reached at a port of this host's loopback or, where the network is isolated, by the
`doors` of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inservice import linux
from inservice.ids import fleet_of
from inservice.instance_logs import places as log_places
from inservice.runtimes import memory
from inservice.runtimes.base import (
    Assets,
    EngineMissing,
    Handle,
    ImageNotRunnable,
    InstanceState,
    LaunchFailed,
    LaunchSpec,
    NoAssets,
    Sight,
    only_container,
)
from inservice.runtimes.launching import Files, fetched, seen_through
from inservice.runtimes.logins import Logins
from inservice.runtimes.oci import configuration, containers, reasons, records
from inservice.runtimes.oci.engine import Engine, EngineTrouble, EngineUnavailable, Found
from inservice.runtimes.oci.gates import DoorsClosed, Gates
from inservice.runtimes.oci.logs import Logs
from inservice.runtimes.oci.pins import Pins
from inservice.runtimes.oci.pulling import Pulling, RegistryLogin
from inservice.runtimes.oci.records import Exit, Places, Record
from inservice.runtimes.oci.watching import Watch, last_lines
from inservice.runtimes.standing import stands
from inservice.workload.container import Container

_log = logging.getLogger(__name__)

KILL_SECONDS = 10.0
"""From SIGKILL until a process is gone: one in a read from a storage that is away takes long."""

DOORS_RETRY_SECONDS = 1.0

_GIVEN_UP = "What the instance had claimed of this host was given up."


class OciRuntime:
    """Runs instances as containers. Implements `runtimes.base.WatchedRuntime`."""

    def __init__(
        self,
        run_dir: Path,
        state_dir: Path,
        log_dir: Path,
        *,
        engine: Engine,
        assets: Assets | None = None,
        registry_login: RegistryLogin | None = None,
    ) -> None:
        """`state_dir` holds what outlives a reboot; the others are as those of the process runtime.
        `registry_login` says who asks a registry that nobody has logged in to."""
        self._places = Places(run_dir.absolute(), state_dir.absolute())
        self._log_dir = log_dir.absolute()
        self._engine = engine
        self._assets = assets or NoAssets()
        self._pins = Pins(self._places.state)
        self._pulling = Pulling(engine, self._pins, Logins(state_dir), registry_login)
        self._logs = Logs(self._places, engine)
        self._gates = Gates()
        self._run_dir = run_dir
        self._watches: dict[str, Watch] = {}  # by cookie
        self._locks: dict[str, asyncio.Lock] = {}
        self._launching: set[str] = set()
        self._settling: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def engine(self) -> Found | None:
        """The engine as it was found last; None before anything was asked of it."""
        return self._engine.known

    # ── the four verbs, and handles ──────────────────────────────────────────────────────────
    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start the instance, or find it running, with its image and its files brought here.

        Raises ImageNotRunnable, AssetUnavailable, and LaunchFailed when the engine cannot start
        one now.
        """
        container = only_container(spec.workload)
        await self._settled()
        if (record := self._places.read(spec.instance_id)) and records.is_alive(record):
            return records.handle_of(record)
        try:
            engine = await self._engine.found()
            fleet = fleet_of(spec.instance_id)
            image_id = await self._pulling.settled(fleet, container.image, spec.tell)
        except EngineUnavailable as error:
            raise EngineMissing(reasons.no_engine(container.image, str(error))) from error
        except EngineTrouble as error:
            raise LaunchFailed(f"The container engine failed: {error}") from error
        if spec.accelerators and (why := configuration.why_no_gpus(engine)):
            raise ImageNotRunnable(reasons.no_gpus(container.image, why))
        here = await fetched(container, self._assets, spec.download_timeout_seconds)
        return await seen_through(self._launch(spec, container, engine, image_id, here))

    async def handles(self) -> Sequence[Handle]:
        """Every instance on record, alive or not yet retired."""
        await self._settled()
        return [records.handle_of(each) for each in self._places.records() if each.started_at]

    async def recover(self, handle: Handle) -> Handle | None:
        """The same instance if its process is still the one we started."""
        record = self._record(handle)
        return handle if record is not None and records.is_alive(record) else None

    async def look(self, handle: Handle) -> Sight:
        """Whether it lives, and what it answers to GET /ping within 2 s."""
        await self._settled()
        watch = self._watch_of(handle)
        if watch is None:
            return Sight(InstanceState.GONE)
        await watch.look()
        if not records.is_alive(watch.record):
            await watch.over()
        return watch.sight()

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        """How it is, once that is something else than `last`."""
        await self._settled()
        watch = self._watch_of(handle)
        if watch is None:
            return Sight(InstanceState.GONE)
        if not records.is_alive(watch.record):
            await watch.over()
        else:
            await watch.news(last)
        return watch.sight()

    async def retire(self, handle: Handle, grace_seconds: float) -> None:
        """End it, then forget it. Its log stays. Raises LaunchFailed."""
        async with self._lock(handle.instance_id):
            if (record := self._record(handle)) is not None:
                await self._end(record, grace_seconds)

    async def close(self) -> None:
        """Watch nothing any more. What runs is left as it is."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        watches = list(self._watches.values())
        self._watches.clear()
        await asyncio.gather(*(watch.stop() for watch in watches))
        self._logs.close()

    # ── more ─────────────────────────────────────────────────────────────────────────────────
    def release(self, fleets: Iterable[str]) -> None:
        """Forget what was settled for fleets other than these."""
        self._pins.release(frozenset(fleets))

    async def shut_down(self, grace_seconds: float) -> None:
        """End every container, and the engine's service if it was started from here."""
        known = [each for each in self._places.records() if each.started_at]
        ending = (self.retire(records.handle_of(each), grace_seconds) for each in known)
        failed = [each for each in await asyncio.gather(*ending, return_exceptions=True) if each]
        if self._is_used():
            with contextlib.suppress(EngineTrouble, EngineUnavailable):
                for each in await containers.of_server(self._engine, self._places.server_id()):
                    await containers.remove(self._engine, each["Id"])
        await self.close()
        await self._engine.end_service()
        for error in failed:
            assert error is not None
            raise error

    # ── launching ────────────────────────────────────────────────────────────────────────────
    async def _launch(
        self, spec: LaunchSpec, container: Container, engine: Found, image_id: str, here: Files
    ) -> Handle:
        async with self._lock(spec.instance_id):
            dead = self._places.read(spec.instance_id)
            if dead is not None and records.is_alive(dead):
                return records.handle_of(dead)
            self._launching.add(spec.instance_id)
            try:
                if dead is not None:
                    await self._forget(dead)
                server_id = self._places.server_id()
                record = self._begun(spec, container, server_id, image_id)
                self._places.write(record)
                if spec.claim and not stands(self._run_dir, spec.instance_id, spec.claim):
                    self._places.forget(spec.instance_id)
                    raise LaunchFailed(_GIVEN_UP)
                body = configuration.created_with(
                    record,
                    container,
                    configuration.environment(container, here, spec.region, spec.environment),
                    server_id=server_id,
                    engine=engine,
                    files=here,
                    output=self._places.output(spec.instance_id),
                    allowance=configuration.allowance(spec),
                )
                return await self._start(record, body, configuration.way_out(spec))
            except EngineUnavailable as error:
                raise LaunchFailed(str(error)) from error
            finally:
                self._launching.discard(spec.instance_id)

    def _begun(
        self, spec: LaunchSpec, container: Container, server_id: str, image_id: str
    ) -> Record:
        path = log_places.log_path(
            self._log_dir,
            *(spec.account, spec.region, spec.endpoint, spec.variant, spec.instance_id),
        )
        return Record(
            instance_id=spec.instance_id,
            cookie=secrets.token_hex(8),
            name=records.container_name(server_id, spec.instance_id),
            log_path=str(path),
            image=container.image,
            image_id=image_id,
            port=configuration.port_of(container),
            isolated=spec.workload.network_isolation,
            began_at=time.time(),
        )

    async def _start(self, record: Record, body: dict[str, Any], way_out: int) -> Handle:
        """Create and start it; if that fails, nothing is left of it."""
        try:
            record = await self._started(record, body)
            await self._open_doors(record, way_out)
            self._places.write(record)
        except BaseException as error:
            with contextlib.suppress(EngineTrouble, EngineUnavailable):  # tried again before long
                await self._forget(record)
            if isinstance(error, DoorsClosed):
                words = reasons.not_isolated(record.image, str(error))
                raise ImageNotRunnable(words) from error
            if isinstance(error, EngineTrouble):
                words = reasons.not_started(record.image, str(error))
                kind = LaunchFailed if reasons.is_of_the_host(words) else ImageNotRunnable
                raise kind(words) from error
            raise
        self._watch(record)
        return records.handle_of(record)

    async def _started(self, record: Record, body: dict[str, Any]) -> Record:
        container = await containers.create(self._engine, body, record.name)
        await self._engine.ask(lambda client: client.start(container))
        deadline = time.monotonic() + containers.SETTLE_SECONDS
        while True:
            seen = await containers.inspect(self._engine, container)
            if seen is None:
                words = f"The container of '{record.instance_id}' was removed at once."
                raise LaunchFailed(words)
            started = records.started(record, seen, self._address(record, seen))
            if started.pid or not seen["State"].get("Running"):
                return started
            # Said to run, and not there: it has just ended, or was never on this host.
            if time.monotonic() > deadline:
                raise ImageNotRunnable(reasons.ELSEWHERE)
            await asyncio.sleep(containers.PAUSE_SECONDS)

    def _address(self, record: Record, seen: Any) -> str:
        if record.isolated:
            return f"unix:{self._places.socket(record.instance_id)}"
        published = (seen["NetworkSettings"].get("Ports") or {}).get(f"{record.port}/tcp") or ()
        port = next((each["HostPort"] for each in published), "0")  # one that has ended has none
        return f"tcp:127.0.0.1:{port}"

    async def _open_doors(self, record: Record, way_out: int) -> None:
        """Raises DoorsClosed where an instance could not be reached without."""
        kept_at = self._places.doors(record.instance_id)
        entry = self._places.socket(record.instance_id)
        try:
            await self._gates.open(record, kept_at, entry, way_out)
        except DoorsClosed as closed:
            if not records.is_alive(record):
                return  # it has ended: then that is what is to be told
            if record.isolated:
                raise
            _log.warning("code in a container does not reach this server: %s", closed)

    # ── watching ─────────────────────────────────────────────────────────────────────────────
    def _watch_of(self, handle: Handle) -> Watch | None:
        record = self._record(handle)
        return None if record is None else self._watch(record)

    def _watch(self, record: Record) -> Watch:
        watch = self._watches.get(record.cookie)
        if watch is None:
            watch = Watch(record, self._places.write, self._ended)
            self._watches[record.cookie] = watch
            if record.exit is None:
                self._begin(self._attend(record))
        return watch

    async def _attend(self, record: Record) -> None:
        """Keep its output, and its doors open, for as long as it lives."""
        with contextlib.suppress(EngineUnavailable):
            engine = await self._engine.found()
            self._logs.follow(record, engine.name)
        kept_at = self._places.doors(record.instance_id)
        while record.isolated and records.is_alive(record):
            keeper = self._gates.keeper(kept_at)
            if keeper is not None:
                await _ended(keeper)
            elif records.is_alive(record):
                with contextlib.suppress(DoorsClosed, OSError):
                    await self._open_doors(record, 0)
                await asyncio.sleep(DOORS_RETRY_SECONDS)

    async def _ended(self, record: Record) -> Record:
        """The record of one that has ended, with how, and all that it printed in its log."""
        if record.exit is not None:
            return record
        of_now = record.start_ticks and record.boot_id == linux.boot_id()
        lived = records.age_seconds(record.start_ticks) if of_now else None
        end = await containers.how_it_ended(self._engine, record)
        await self._logs.finish(record)
        lines = last_lines(record)[-1:]
        ended = replace(end or Exit(at=time.time()), lived_seconds=lived)
        killed = ended.signal == "SIGKILL" and record.kill_at is None
        # Not every engine hears of it, and none of one whose first process was not the victim.
        if (killed and memory.is_in_kernel_log(record.pid, record.start_ticks)) or any(
            "MemoryError" in line for line in lines
        ):
            ended = replace(ended, out_of_memory=True)
        record = replace(record, exit=ended)
        if end is not None:  # else the next who asks may hear how
            with contextlib.suppress(OSError):
                self._keep_if_known(record)
        return record

    def _keep_if_known(self, record: Record) -> None:
        known = self._places.read(record.instance_id)
        if known is not None and known.cookie == record.cookie:
            self._places.write(replace(record, kill_at=known.kill_at))

    # ── ending ───────────────────────────────────────────────────────────────────────────────
    async def _end(self, record: Record, grace_seconds: float) -> None:
        kill_at = time.time() + grace_seconds
        try:
            if records.is_alive(record):
                if record.kill_at is None or kill_at < record.kill_at:
                    # Before it is asked: who comes after a control that was killed here goes on.
                    with contextlib.suppress(OSError):
                        self._places.write(replace(record, kill_at=kill_at))
                watch = self._watch(record)
                await containers.send(self._engine, record, signal.SIGTERM)
                if not await watch.over(max(0.0, kill_at - time.time())):
                    await containers.send(self._engine, record, signal.SIGKILL)
                    await watch.over(KILL_SECONDS)
            await self._forget(record)
        except (EngineTrouble, EngineUnavailable) as error:
            words = f"Instance '{record.instance_id}' could not be ended: {error}"
            raise LaunchFailed(words) from error

    async def _forget(self, record: Record) -> None:
        """Have nothing of it any more but its log. Raises EngineTrouble, EngineUnavailable."""
        await containers.remove(self._engine, record.container_id or record.name)
        watch = self._watches.pop(record.cookie, None)
        if watch is not None:
            await watch.over(containers.SETTLE_SECONDS)
            await watch.stop()
        self._gates.close(self._places.doors(record.instance_id))
        self._places.forget(record.instance_id)

    # ── what an earlier control left ─────────────────────────────────────────────────────────
    async def _settled(self) -> None:
        """Once for each control: what was left half done is done."""
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())
        await asyncio.shield(self._settling)

    def _is_used(self) -> bool:
        """Whether there ever was a container of this server; an engine that nobody needs is not
        even looked for."""
        return (self._places.state / "server-id").exists()

    async def _settle(self) -> None:
        if not self._is_used():
            return
        known = {record.instance_id: record for record in self._places.records()}
        for record in known.values():
            if record.kill_at is not None:
                grace = max(0.0, record.kill_at - time.time())
                self._begin(self._go_on_ending(record, grace))
        try:
            await self._remove_strays(known)
        except (EngineTrouble, EngineUnavailable) as error:
            _log.warning("containers of this server were not looked for: %s", error)

    async def _remove_strays(self, known: dict[str, Record]) -> None:
        cookies = {record.cookie for record in known.values() if record.started_at}
        for record in known.values():
            if not record.started_at and record.instance_id not in self._launching:
                await self._forget(record)  # control was killed while it started it
        for seen in await containers.of_server(self._engine, self._places.server_id()):
            labels = seen.get("Labels") or {}
            starting = labels.get(records.INSTANCE) in self._launching
            if not starting and labels.get(records.COOKIE) not in cookies:
                await containers.remove(self._engine, seen["Id"])

    async def _go_on_ending(self, record: Record, grace_seconds: float) -> None:
        """The record stays, as that of one that is gone, for whoever retires it."""
        try:
            watch = self._watch(record)
            if records.is_alive(record) and not await watch.over(grace_seconds):
                await containers.send(self._engine, record, signal.SIGKILL)
        except (EngineTrouble, EngineUnavailable) as error:
            _log.warning("instance '%s' could not be ended: %s", record.instance_id, error)

    # ── the small things ─────────────────────────────────────────────────────────────────────
    def _record(self, handle: Handle) -> Record | None:
        record = self._places.read(handle.instance_id)
        return record if record is not None and records.is_same(handle, record) else None

    def _lock(self, instance_id: str) -> asyncio.Lock:
        return self._locks.setdefault(instance_id, asyncio.Lock())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _ended(pidfd: int) -> None:
    """Wait for a process, by a pidfd that is closed then."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
