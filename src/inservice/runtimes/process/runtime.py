"""Instances as operating-system processes of this host, forked from a pre-imported process.

This is control's side: it reads the records that the fork server writes and asks it to launch and
to retire. It holds nothing that matters in memory, so a ProcessRuntime that is thrown away and made
anew, in another process or after a crash, knows every instance again.

    runtime = ProcessRuntime(
        run_dir, log_dir, images=images, environments=environments, assets=assets
    )
    handle = await runtime.launch(spec)
    sight = await runtime.look(handle)              # a ping, now
    sight = await runtime.next_sight(handle, sight)  # Starting … Ready, once it is
    await runtime.retire(handle, grace_seconds=30)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from inservice.images.base import Images, NoImages
from inservice.instance_logs import places, writer
from inservice.linux import boot_id
from inservice.runtimes.base import (
    Assets,
    Environments,
    Handle,
    InstanceState,
    LaunchFailed,
    LaunchSpec,
    LimitsUnavailable,
    NoAssets,
    OwnPython,
    Sight,
    only_container,
)
from inservice.runtimes.launching import fetched, seen_through
from inservice.runtimes.process import cgroups, files, records, remains
from inservice.runtimes.process.following import Following, end_of
from inservice.runtimes.process.protocol import (
    ALREADY_RUNNING,
    TMP_BYTES,
    CheckLimits,
    Command,
    Hello,
    Launch,
    Limit,
    Look,
    Prepare,
    Pulse,
    Reply,
    Retire,
    ShutDown,
)
from inservice.runtimes.process.pythons import Pythons
from inservice.runtimes.process.records import Exit, Places, Ready, Record
from inservice.runtimes.process.zygotes import IMPORT_SECONDS_MAX
from inservice.threads import Threads

ENTRY = "inservice.modelserver.main:run"
"""What an instance runs. Named, not imported: only the new process ever loads the model server."""

_FORK_SERVER = (
    *(sys.executable, "-I", "-m", "inservice.starting"),
    "inservice.runtimes.process.daemon",
)
"""Named, not imported, either."""

KEPT_FROM_HOST = frozenset({"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH"})
"""What of control's environment the fork server, and so every model, may see. Everything else, AWS
credentials and our own settings above all, stays with control."""

_log = logging.getLogger(__name__)

LINES_SHOWN = 120
"""A traceback through a framework has a hundred lines, and the user's own is among the first."""

_FORK_SERVER_SECONDS = 20.0
"""A new fork server listens after 0.1 s; this is for a host that is busy or cold."""

_FORK_SERVERS_ASKED = 4
"""The first may not be there, and the next two be killed before they answer."""

_LAUNCH_SECONDS = IMPORT_SECONDS_MAX + 60.0
"""A launch waits for the zygote's imports if it is the first: 1 s for scikit-learn with warm files,
several without .pyc files, half a minute for Transformers on a busy host. Where they take too long
the fork server does without."""

_END_SECONDS = 60.0
"""What the end of an instance may take beyond its grace."""

_LOOK_SECONDS = 3.0
"""What a look waits for the fork server: for its ping, and half as long again."""

_EXIT_SECONDS = 5.0
"""From the fork server's last answer until it is gone."""

_EXIT_RECORD_SECONDS = 1.0
"""Between the end of a process and its record: the fork server first drains its output."""

_TOLD_SECONDS = 4.0
"""How long somebody who begins to watch waits for what the fork server knows already."""

_ERRNO = re.compile(r"\[Errno (\d{1,3})\]")
"""What a fork server that could not begin says of it on its last line, if it was the system."""


class _NotStartedError(Exception):
    """A fork server that was started has ended before it listened."""


class ProcessRuntime:
    """Runs instances as processes. Implements `runtimes.base.WatchedRuntime`.

    `run_dir` holds sockets and records and must be short (ValueError otherwise); `log_dir` holds
    output, in `<account>/<region>/<endpoint>/<variant>/<instance id, quoted>.log`.
    """

    def __init__(
        self,
        run_dir: Path,
        log_dir: Path,
        *,
        images: Images | None = None,
        environments: Environments | None = None,
        assets: Assets | None = None,
        entry: str = ENTRY,
        user: str = "",
        hidden: Sequence[Path] = (),
        limits: bool = False,
        tmp_bytes: int = TMP_BYTES,
    ) -> None:
        """`images` says what images are; without it, none is known. `environments` has the Pythons
        that stand in for them; without, there is the server's own, and what it has. `assets` is
        where the files of models come from; without it, none that has any can be launched. `user`
        is who models run as, see `isolation`; `hidden` are directories beside the run directory
        that they must not see. With `limits` instances can be limited to what their type has, see
        `check_limits`; `tmp_bytes` is what the /tmp of each holds."""
        self._places = Places(run_dir.absolute())
        self._log_dir = log_dir.absolute()
        self._pythons = Pythons(images or NoImages(), environments or OwnPython())
        self._assets = assets or NoAssets()
        self._entry = entry
        self._user = user
        self._limits = limits
        self._tmp_bytes = tmp_bytes
        self._hidden = tuple(str(path.absolute()) for path in hidden)
        self.unprotected = ""
        """Why models run with all the rights of this server; empty if they do not, or if none was
        launched yet."""
        self.isolation = ""
        """As whom the instance of the latest launch runs, an `isolation.Level`; empty before."""
        self.unplaced = ""
        """Why its files are not where a container has them; empty if they are."""
        self._starting = asyncio.Lock()
        self._threads = Threads("instances", 2)
        self._following = Following(
            self._places.fork_server_socket, lambda: self._tell(Hello(), _FORK_SERVER_SECONDS)
        )

    # ── the four verbs, and handles ──────────────────────────────────────────────────────────

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start the instance, or find it running, with its files fetched here.

        Raises ImageNotRunnable, AssetUnavailable, EnvironmentUnavailable, and LaunchFailed when
        this host cannot start a process now.
        """
        container = only_container(spec.workload)
        image = self._pythons.image(container.image)
        here = await fetched(container, self._assets, spec.download_timeout_seconds)
        code = files.code_directory(container, here)
        chosen = await self._pythons.choose(image, code, spec.tell)
        command = Launch(
            instance_id=spec.instance_id,
            entry=self._entry,
            python=chosen.python,
            layer=chosen.layer,
            roots=chosen.roots,
            log_path=str(self.log_path(spec)),
            model_dir=None if here.model is None else str(here.model),
            environment=files.environment(
                container, here, spec.region, chosen.variables, spec.environment
            ),
            network_isolation=spec.workload.network_isolation,
            fresh=chosen.fresh or files.needs_an_interpreter(container),
            user=self._user,
            hidden=self._hidden,
            code_dir=None if here.code is None else str(here.code),
            claim=spec.claim,
            limit=Limit.of(spec),
            tmp_bytes=self._tmp_bytes,
        )
        return await seen_through(self._launch(command))

    async def _launch(self, command: Launch) -> Handle:
        reply = await self._tell(command, _LAUNCH_SECONDS)
        if reply.record is None:
            words = f"Instance '{command.instance_id}' could not start: {reply.error}"
            raise LaunchFailed(words) from _cause(reply)
        return records.handle_of(reply.record)

    async def handles(self) -> Sequence[Handle]:
        """Every instance on record, alive or not yet retired."""
        return [records.handle_of(record) for record in self._places.records()]

    async def recover(self, handle: Handle) -> Handle | None:
        """The same instance if its process is still the one we started."""
        record = self._record(handle)
        return handle if record is not None and records.is_alive(record) else None

    async def look(self, handle: Handle) -> Sight:
        """Whether the process lives, and what it answers to GET /ping within 2 s. If the fork
        server does not say, what it last saw, or else what is on disk."""
        record = self._record(handle)
        if record is None:
            return Sight(InstanceState.GONE)
        pulse = self._following.pulse(record)
        if records.is_alive(record):
            look = Look(instance_id=record.instance_id, cookie=record.cookie)
            try:
                pulse = (await self._tell(look, _LOOK_SECONDS)).pulse or pulse
            except LaunchFailed as error:
                _log.warning("an instance was not pinged: %s", error)
        if not records.is_alive(record):
            return await self._post_mortem(record)
        return self._sight(record, pulse)

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        """How it is, once that is something else than `last`. Nothing is asked again and again:
        the fork server tells what its pings bring, and the kernel of an end."""
        record = self._record(handle)
        if record is None:
            return Sight(InstanceState.GONE)
        with self._following.listening(record.instance_id) as stirred:
            async with end_of(record, stirred) as has_ended:
                self._following.begin()
                if not (self._following.is_told or has_ended()):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_TOLD_SECONDS):
                            await stirred.wait()
                while not has_ended():
                    stirred.clear()
                    pulse = self._following.pulse(record)
                    if last is None or (pulse is not None and pulse.is_news_after(last)):
                        return self._sight(record, pulse)
                    await stirred.wait()
        return await self._post_mortem(record)

    async def retire(self, handle: Handle, grace_seconds: float) -> None:
        """End it, then forget it. Its log stays.

        An instance of the same id that was launched since is another one, and is left alone.
        """
        record = self._record(handle)
        if record is None:
            return
        command = Retire(
            instance_id=record.instance_id, cookie=record.cookie, grace_seconds=grace_seconds
        )
        reply = await self._tell(command, grace_seconds + _END_SECONDS)
        if reply.error is not None:
            words = f"Instance '{record.instance_id}' could not be ended: {reply.error}"
            raise LaunchFailed(words) from _cause(reply)
        self._following.forget(record)
        abandoned = self._places.abandoned(record.instance_id, record.cookie)
        await self._threads.run(shutil.rmtree, abandoned, ignore_errors=True)

    async def close(self) -> None:
        """Watch nothing any more. What runs is left as it is."""
        await self._following.end()

    # ── the fork server ──────────────────────────────────────────────────────────────────────

    async def prepare(self, image: str | None = None) -> None:
        """Have the fork server running and, for an image, its Python at hand, with what models of
        it need imported.

        Worth calling in the background when a model is created: it takes what importing its
        framework costs out of the first launch, and the build of its environment as well, which
        takes minutes: whoever does not want that any more cancels. Raises ImageNotRunnable,
        EnvironmentUnavailable, LaunchFailed.
        """
        command: Command = Hello()
        if image is not None:
            command = Prepare(python=await self._pythons.prepare(image))
        # A fork server that is starting must be there to be stopped, whoever wanted it.
        await seen_through(self._tell(Hello(), _FORK_SERVER_SECONDS))
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError
        reply = await self._tell(command, _LAUNCH_SECONDS)
        if reply.error is not None:
            raise LaunchFailed(reply.error) from _cause(reply)

    async def check_limits(self) -> None:
        """Be sure that instances can be limited. Raises LimitsUnavailable, LaunchFailed."""
        reply = await self._tell(CheckLimits(), _LAUNCH_SECONDS)
        if reply.error is not None:
            if not any(map(records.is_alive, self._places.records())):
                await self.shut_down(0.0)  # nobody will come to do it
            raise LimitsUnavailable(f"No instance can be limited here: {reply.error}.")

    async def shut_down(self, grace_seconds: float) -> None:
        """End every instance and the fork server itself; nothing of this runtime is left running.

        Records of instances stay, as those of instances that are gone. If the fork server died and
        left instances, or what they had started, a new one is started to end them.
        """
        await self.close()
        command = ShutDown(grace_seconds=grace_seconds)
        seconds = grace_seconds + _END_SECONDS
        known = list(self._places.records())
        if any(map(records.is_alive, known)) or (known and remains.are_left(known)):
            reply = await self._tell(command, seconds)
        else:
            try:
                reply = await self._ask(command, seconds)
            except (FileNotFoundError, ConnectionRefusedError, EOFError):
                return
        deadline = time.monotonic() + _EXIT_SECONDS
        while records.start_ticks(reply.pid) is not None:
            if time.monotonic() > deadline:
                raise LaunchFailed(f"The fork server, process {reply.pid}, does not end.")
            await asyncio.sleep(0.005)

    def fork_server_pid(self) -> int | None:
        """The pid of the fork server that was started last in the run directory."""
        try:
            return int(self._places.fork_server_lock.read_text())
        except (OSError, ValueError):
            return None

    async def _tell(self, command: Command, seconds: float) -> Reply:
        """Have a command carried out, starting the fork server if there is none.

        Commands are safe to repeat, so when a fork server dies under one, the next is asked. Each
        may be killed from outside; a command that itself is the death of it comes to an end.
        """
        gone: Exception | None = None
        for _ in range(_FORK_SERVERS_ASKED):
            try:
                if gone is not None:
                    await self._start_fork_server()
                return await self._ask(command, seconds)
            except (OSError, EOFError, _NotStartedError) as error:
                gone = error
        raise LaunchFailed(f"The fork server does not answer: {gone}") from gone

    async def _ask(self, command: Command, seconds: float) -> Reply:
        """Raises OSError or EOFError when there is no fork server, or no longer; LaunchFailed when
        there is one and it is stuck."""
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(self._places.fork_server_socket)
                with contextlib.closing(writer):
                    writer.write(msgspec.json.encode(command) + b"\n")
                    line = await reader.readline()
        except TimeoutError as error:
            words = f"The fork server did not answer within {seconds:g} seconds."
            raise LaunchFailed(words) from error
        if not line:
            raise EOFError("the fork server ended before it answered")
        reply = msgspec.json.decode(line, type=Reply)
        if reply.unprotected not in ("", self.unprotected):
            _log.warning(
                "models run with all the rights of this server, because %s", reply.unprotected
            )
        self.unprotected, self.isolation = reply.unprotected, reply.isolation
        self.unplaced = reply.unplaced
        return reply

    async def _start_fork_server(self) -> None:
        async with self._starting:
            with contextlib.suppress(OSError, EOFError):
                await self._ask(Hello(), _FORK_SERVER_SECONDS)
                return  # another task was here first
            await self._threads.run(self._spawn_fork_server)

    def _spawn_fork_server(self) -> None:
        for abandoned in self._places.instances.glob("*.gone"):
            shutil.rmtree(abandoned, ignore_errors=True)
        kept = {name: value for name, value in os.environ.items() if name in KEPT_FROM_HOST}
        scope = cgroups.scope() if self._limits else ()
        kept |= {name: os.environ[name] for name in cgroups.SESSION if scope and name in os.environ}
        command = [*scope, *_FORK_SERVER, str(self._places.run_dir)]
        try:
            started = subprocess.run(  # noqa: S603  # our own interpreter and module
                command,
                env=kept,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_FORK_SERVER_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            words = f"it did not start within {_FORK_SERVER_SECONDS:g} seconds"
            raise _NotStartedError(words) from TimeoutError(str(late))
        if started.returncode not in (0, ALREADY_RUNNING):
            last = started.stderr.decode(errors="replace").strip().splitlines()[-1:]
            number = _ERRNO.search(" ".join(last))
            cause = OSError(int(number[1]), os.strerror(int(number[1]))) if number else None
            raise _NotStartedError(" ".join(["it did not start", *last])) from cause

    # ── what is on disk ──────────────────────────────────────────────────────────────────────

    def log_path(self, spec: LaunchSpec) -> Path:
        """Where the output of an instance goes."""
        names = (spec.account, spec.region, spec.endpoint, spec.variant, spec.instance_id)
        return places.log_path(self._log_dir, *names)

    def _record(self, handle: Handle) -> Record | None:
        """The record of the handle's own incarnation."""
        record = records.read(self._places.record(handle.instance_id), Record)
        return record if record is not None and records.is_same(handle, record) else None

    def _sight(self, record: Record, pulse: Pulse | None) -> Sight:
        """Of one that lives. Not to have been told is no reason to think it ill."""
        if pulse is None:
            ready = records.read(self._places.ready(record.instance_id), Ready)
            pulse = Pulse(
                instance_id=record.instance_id,
                cookie=record.cookie,
                well=ready is not None,
                ready=ready,
            )
        return Sight(
            pulse.state,
            age_seconds=records.age_seconds(record),
            ready_at=pulse.ready.at if pulse.ready else None,
            last_lines=() if pulse.well else _last_lines(record),
            probes=pulse.probes,
            phases=pulse.ready.phases if pulse.ready else {"fork": record.fork_seconds},
        )

    async def _post_mortem(self, record: Record) -> Sight:
        end = await self._exit(record)
        lived = end.lived_seconds
        lines = _last_lines(record)
        pulse = self._following.pulse(record)
        # What the host saw may be on no disk, if that was full.
        ready = (pulse.ready if pulse else None) or records.read(
            self._places.ready(record.instance_id), Ready
        )
        return Sight(
            InstanceState.GONE,
            ready_at=ready.at if ready else None,
            age_seconds=max(0.0, end.at - record.started_at) if lived is None else lived,
            exit_code=end.exit_code,
            signal=end.signal,
            memory_bytes_max=end.memory_bytes_max,
            out_of_memory=end.out_of_memory or any("MemoryError" in line for line in lines[-1:]),
            last_lines=lines,
            probes=pulse.probes if pulse else (),
            phases=ready.phases if ready else {"fork": record.fork_seconds},
        )

    async def _exit(self, record: Record) -> Exit:
        """How it ended; waits a moment for the fork server to write it down."""
        deadline = time.monotonic() + _EXIT_RECORD_SECONDS
        while (end := records.read(self._places.exit(record.instance_id), Exit)) is None:
            if record.boot_id != boot_id():
                return Exit(at=time.time())
            if time.monotonic() > deadline:
                return Exit(at=time.time(), lived_seconds=records.age_seconds(record))
            await asyncio.sleep(0.005)
        return end


def _cause(reply: Reply) -> OSError | None:
    return None if reply.errno is None else OSError(reply.errno, os.strerror(reply.errno))


def _last_lines(record: Record) -> tuple[str, ...]:
    """Of this incarnation only: the log is that of the id."""
    return writer.tail(Path(record.log_path), LINES_SHOWN, since=record.started_at)
