"""The parent of every instance on this host: starts them, keeps their output, sees how they end.

It outlives control, so that killing control neither ends a model nor loses an exit code or a line
of log; and a new fork server adopts what an old one left, so that ending it is harmless as well
(only the exit codes of what it adopts are beyond it: they belong to the parent).

One process, one thread, one loop over file descriptors, and nothing imported that it can do
without: it is there as long as InService is, 12 MB of it. It never imports a framework; zygotes do.

A launch:  control ─Launch─▶ fork server ─descriptors─▶ zygote ─fork─▶ newborn
           control ◀─Reply── fork server ◀───pid (gate)─────────────── newborn
                             fork server ── record on disk, then Life ─▶ newborn: runs
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import secrets
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inservice.runtimes import linux, records
from inservice.runtimes.instance_log import Collector
from inservice.runtimes.protocol import (
    LINE_BYTES_MAX,
    Command,
    Hello,
    Launch,
    Life,
    Newborn,
    Prepare,
    Reply,
    Retire,
    ShutDown,
)
from inservice.runtimes.records import Exit, Places, Record

SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""A zygote must have one thread (see `zygote`). It is also the right default for a model: an
endpoint scales by instances, and n instances of n threads each only take turns. A model that wants
more says so in its Environment, and is then started in a new interpreter."""


@dataclass(slots=True, eq=False)
class _Birth:
    """An instance between the request and its record."""

    launch: Launch
    cookie: str
    gate: socket.socket
    asked_at: float  # monotonic seconds
    waiting: list[socket.socket]
    forked: bool  # by a zygote, whose failure is mended by a new interpreter


@dataclass(slots=True, eq=False)
class _Instance:
    """An instance that runs."""

    record: Record
    collector: Collector
    pidfd: int
    adopted: bool  # another fork server was its parent
    oom_kills: int  # of the host, before it ran
    waiting: list[socket.socket] = field(default_factory=list)  # for its end
    kill_at: float | None = None
    killed: bool = False


@dataclass(slots=True, eq=False)
class _Zygote:
    """A process that forks instances."""

    link: socket.socket
    ready: bool = False
    waiting: list[socket.socket] = field(default_factory=list)  # for its imports


class ForkServer:
    """The loop and everything it knows."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._births: dict[str, _Birth] = {}
        self._instances: dict[str, _Instance] = {}
        self._zygotes: dict[tuple[str, ...], _Zygote] = {}
        self._shutting_down: list[socket.socket] | None = None
        self._stopping = False
        self._listen()
        self._catch_signals()
        self._adopt()

    def run(self) -> None:
        """Serve until told to stop. Instances are left as they are."""
        while not self._stopping:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(wait):
                key.data()
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()
        self._places.fork_server_socket.unlink(missing_ok=True)

    def _watch(self, fd: int, ready: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, ready)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._count), act))

    # ── control's commands ───────────────────────────────────────────────────────────────────

    def _listen(self) -> None:
        path = self._places.fork_server_socket
        path.unlink(missing_ok=True)  # a dead one's: the lock says that we are the only one
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._watch(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            received = bytearray()
            self._watch(client.fileno(), lambda: self._receive(client, received))

    def _receive(self, client: socket.socket, received: bytearray) -> None:
        try:
            chunk = client.recv(LINE_BYTES_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            chunk = b""
        received += chunk
        if chunk and len(received) <= LINE_BYTES_MAX and not received.endswith(b"\n"):
            return
        self._selector.unregister(client)
        if not received.endswith(b"\n"):
            client.close()
            return
        try:
            command: Command = msgspec.json.decode(received, type=Command)
            self._obey(command, client)
        except (msgspec.MsgspecError, OSError) as error:
            self._answer([client], error=f"{type(error).__name__}: {error}")

    def _obey(self, command: Command, client: socket.socket) -> None:
        match command:
            case Hello():
                self._answer([client])
            case Prepare(preimports=preimports):
                zygote = self._zygote(preimports)
                if zygote.ready:
                    self._answer([client])
                else:
                    zygote.waiting.append(client)
            case Launch():
                self._launch(command, client)
            case Retire(instance_id=instance_id, grace_seconds=grace_seconds):
                self._retire(instance_id, grace_seconds, [client])
            case ShutDown(grace_seconds=grace_seconds):
                self._shutting_down = [*(self._shutting_down or ()), client]
                for instance_id in (*self._instances, *self._births):
                    self._retire(instance_id, grace_seconds, [])
                self._stop_if_empty()

    def _answer(
        self,
        clients: list[socket.socket],
        *,
        record: Record | None = None,
        error: str | None = None,
    ) -> None:
        line = msgspec.json.encode(Reply(pid=os.getpid(), record=record, error=error)) + b"\n"
        for client in clients:
            with client, contextlib.suppress(OSError):  # it may have died; the deed is done
                client.sendall(line)
        clients.clear()

    # ── birth ────────────────────────────────────────────────────────────────────────────────

    def _launch(self, launch: Launch, client: socket.socket) -> None:
        if (instance := self._instances.get(launch.instance_id)) is not None:
            self._answer([client], record=instance.record)
        elif (birth := self._births.get(launch.instance_id)) is not None:
            birth.waiting.append(client)
        elif self._shutting_down is not None:
            self._answer([client], error="the fork server is shutting down")
        else:
            self._conceive(launch, [client], time.monotonic(), forked=not launch.fresh)

    def _conceive(
        self, launch: Launch, waiting: list[socket.socket], asked_at: float, *, forked: bool
    ) -> None:
        places, instance_id = self._places, launch.instance_id
        places.exit(instance_id).unlink(missing_ok=True)
        places.ready(instance_id).unlink(missing_ok=True)
        places.socket(instance_id).unlink(missing_ok=True)
        places.scratch(instance_id).mkdir(exist_ok=True)
        places.output(instance_id).unlink(missing_ok=True)
        os.mkfifo(places.output(instance_id), 0o600)
        # For reading too, so that a write never finds a pipe without a reader and gets SIGPIPE;
        # without blocking, which the descriptors made from it inherit.
        output = os.open(places.output(instance_id), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        birth = _Birth(launch, secrets.token_hex(8), ours, asked_at, waiting, forked)
        try:
            with theirs:
                if not (forked and self._fork(launch, theirs, output)):
                    birth.forked = False
                    self._start_interpreter(birth, theirs, output)
        except OSError:
            ours.close()
            raise
        finally:
            os.close(output)
        self._births[instance_id] = birth
        self._watch(ours.fileno(), lambda: self._gate(birth))

    def _fork(self, launch: Launch, gate: socket.socket, output: int) -> bool:
        try:
            zygote = self._zygote(launch.preimports)
            socket.send_fds(zygote.link, [b"fork"], [gate.fileno(), output])
        except OSError:  # it has died, or has too many waiting: a new interpreter always works
            return False
        return True

    def _start_interpreter(self, birth: _Birth, gate: socket.socket, output: int) -> None:
        gate.set_inheritable(True)
        title = self._title(birth)
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "inservice.runtimes.instance", str(gate.fileno()), title],
            self._environment(birth.launch),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE],
        )

    def _gate(self, birth: _Birth) -> None:
        """A newborn says who it is, or will never say it."""
        try:
            said = birth.gate.recv(4096)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            said = b""
        self._selector.unregister(birth.gate)
        del self._births[birth.launch.instance_id]
        with birth.gate:
            try:
                if said:
                    newborn = msgspec.json.decode(said, type=Newborn)
                    self._let_in(birth, newborn.pid)
                elif birth.forked:
                    self._conceive(birth.launch, birth.waiting, birth.asked_at, forked=False)
                else:
                    self._answer(birth.waiting, error="the process ended before it could begin")
            except OSError as error:
                self._answer(birth.waiting, error=f"{type(error).__name__}: {error}")

    def _let_in(self, birth: _Birth, pid: int) -> None:
        """Put the newborn on record; only then may it run."""
        launch, places = birth.launch, self._places
        ticks = records.start_ticks(pid)
        if ticks is None:
            raise ProcessLookupError(f"process {pid} ended before it could begin")
        record = Record(
            instance_id=launch.instance_id,
            pid=pid,
            start_ticks=ticks,
            boot_id=records.boot_id(),
            cookie=birth.cookie,
            started_at=time.time(),
            fork_seconds=time.monotonic() - birth.asked_at,
            address=f"unix:{places.socket(launch.instance_id)}",
            log_path=launch.log_path,
        )
        instance = self._attend(record, adopted=False)
        records.write(places.record(launch.instance_id), record)
        life = Life(
            title=self._title(birth),
            entry=launch.entry,
            socket_path=str(places.socket(launch.instance_id)),
            scratch_dir=str(places.scratch(launch.instance_id)),
            model_dir=launch.model_dir,
            environment=self._environment(launch),
            network_isolation=launch.network_isolation,
        )
        birth.gate.setblocking(True)  # at most LINE_BYTES_MAX, to a process that only reads
        with contextlib.suppress(ConnectionError):  # it died just now: its exit will tell
            birth.gate.sendall(msgspec.json.encode(life) + b"\n")
        self._answer(birth.waiting, record=instance.record)

    def _title(self, birth: _Birth) -> str:
        return f"{records.TITLE} {birth.cookie} {birth.launch.instance_id}"

    def _environment(self, launch: Launch) -> dict[str, str]:
        """The fork server's own, which is clean, a home that is nobody's, then the model's."""
        scratch = str(self._places.scratch(launch.instance_id))
        ours = {**os.environ, **SINGLE_THREADED, "HOME": scratch, "TMPDIR": scratch}
        return ours | launch.environment

    # ── life and death ───────────────────────────────────────────────────────────────────────

    def _attend(self, record: Record, *, adopted: bool) -> _Instance:
        """Begin to keep its output and to watch for its end."""
        pidfd = os.pidfd_open(record.pid)
        collector = Collector(self._places.output(record.instance_id), Path(record.log_path))
        instance = _Instance(record, collector, pidfd, adopted, linux.oom_kills())
        self._instances[record.instance_id] = instance
        self._watch(collector.fd, lambda: self._collect(instance))
        if adopted:  # a child's end comes as SIGCHLD, and only with it the exit code
            self._watch(pidfd, lambda: self._ended(instance, Exit(at=time.time())))
        return instance

    def _adopt(self) -> None:
        """Take over what an earlier fork server started and left alive."""
        for record in self._places.records():
            if records.is_alive(record):
                with contextlib.suppress(OSError):  # it ended between the two looks
                    self._attend(record, adopted=True)

    def _collect(self, instance: _Instance) -> None:
        if (pause := instance.collector.collect()) > 0:
            self._selector.unregister(instance.collector.fd)
            self._after(pause, lambda: self._collect_again(instance))

    def _collect_again(self, instance: _Instance) -> None:
        if self._instances.get(instance.record.instance_id) is instance:
            self._watch(instance.collector.fd, lambda: self._collect(instance))

    def _retire(self, instance_id: str, grace_seconds: float, clients: list[socket.socket]) -> None:
        if (birth := self._births.pop(instance_id, None)) is not None:
            self._selector.unregister(birth.gate)
            birth.gate.close()
            self._answer(birth.waiting, error="retired before it could begin")
        instance = self._instances.get(instance_id)
        if instance is None:
            self._answer(clients)
            return
        instance.waiting += clients
        deadline = time.monotonic() + grace_seconds
        if instance.kill_at is None:
            # Its children are not told: a model that drains may still need its workers.
            records.send(instance.pidfd, signal.SIGTERM)
        if instance.kill_at is None or deadline < instance.kill_at:
            instance.kill_at = deadline
            self._after(grace_seconds, lambda: self._kill(instance))

    def _kill(self, instance: _Instance) -> None:
        if self._instances.get(instance.record.instance_id) is instance:
            instance.killed = True
            records.send(instance.pidfd, signal.SIGKILL)

    def _ended(self, instance: _Instance, end: Exit) -> None:
        """What an instance leaves: nothing running, its last lines, how it ended."""
        instance_id = instance.record.instance_id
        del self._instances[instance_id]
        if instance.adopted:
            self._selector.unregister(instance.pidfd)
        with contextlib.suppress(KeyError):  # it may be paused
            self._selector.unregister(instance.collector.fd)
        linux.kill_session(instance.record.pid)
        instance.collector.finish()
        os.close(instance.pidfd)
        with contextlib.suppress(OSError):  # a full disk must not keep anybody waiting
            records.write(self._places.exit(instance_id), end)
        for path in (self._places.socket(instance_id), self._places.output(instance_id)):
            path.unlink(missing_ok=True)
        self._answer(instance.waiting)
        self._stop_if_empty()

    def _stop_if_empty(self) -> None:
        if self._shutting_down is not None and not self._instances:
            self._answer(self._shutting_down)
            self._stopping = True

    def _reap(self) -> None:
        """Look at each dead child before its pid is given back, then give it back."""
        by_pid = {instance.record.pid: instance for instance in self._instances.values()}
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            instance = by_pid.get(dead.si_pid)
            if instance is not None and not instance.adopted:
                self._ended(instance, _exit(dead, instance))
            os.waitpid(dead.si_pid, 0)

    # ── zygotes and signals ──────────────────────────────────────────────────────────────────

    def _zygote(self, preimports: tuple[str, ...]) -> _Zygote:
        if (zygote := self._zygotes.get(preimports)) is not None:
            return zygote
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            theirs.set_inheritable(True)
            os.posix_spawn(
                sys.executable,
                [
                    *(sys.executable, "-I", "-m", "inservice.runtimes.zygote"),
                    *(str(theirs.fileno()), *preimports),
                ],
                {**os.environ, **SINGLE_THREADED},
                setsid=True,
                setsigdef=[signal.SIGPIPE],
            )
        zygote = self._zygotes[preimports] = _Zygote(ours)
        self._watch(ours.fileno(), lambda: self._hear(preimports, zygote))
        return zygote

    def _hear(self, preimports: tuple[str, ...], zygote: _Zygote) -> None:
        """A zygote is ready, or dead. A dead one is started again when it is next asked for."""
        try:
            zygote.ready = bool(zygote.link.recv(16))
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            zygote.ready = False
        if zygote.ready:
            self._answer(zygote.waiting)
            return
        self._selector.unregister(zygote.link)
        zygote.link.close()
        del self._zygotes[preimports]
        self._answer(
            zygote.waiting, error=f"a process that imports {preimports} ended; see its log"
        )

    def _catch_signals(self) -> None:
        awake, wakes = socket.socketpair()
        awake.setblocking(False)
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._awake, self._wakes = awake, wakes
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._watch(awake.fileno(), self._signalled)

    def _signalled(self) -> None:
        numbers = self._awake.recv(4096)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stopping = True
        self._reap()


def _exit(dead: os.waitid_result, instance: _Instance) -> Exit:
    if dead.si_code == os.CLD_EXITED:
        return Exit(at=time.time(), exit_code=dead.si_status)
    number = signal.Signals(dead.si_status)
    out_of_memory = (
        number is signal.SIGKILL and not instance.killed and linux.oom_kills() > instance.oom_kills
    )
    return Exit(at=time.time(), signal=number.name, out_of_memory=out_of_memory)
