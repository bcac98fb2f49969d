"""The parent of every instance on this host: starts them, pings them, keeps their output, sees how
they end.

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
import errno
import os
import secrets
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inservice.instance_logs.writer import Collector
from inservice.linux import boot_id
from inservice.runtimes.process import container_paths, records, remains
from inservice.runtimes.process.cgroups import Cgroups, NoCgroups
from inservice.runtimes.process.commands import Commands
from inservice.runtimes.process.confinement import Confinement
from inservice.runtimes.process.endings import Endings
from inservice.runtimes.process.isolation import Isolation
from inservice.runtimes.process.protocol import (
    CheckLimits,
    Command,
    Follow,
    Hello,
    Launch,
    Life,
    Look,
    Newborn,
    Prepare,
    Python,
    Retire,
    ShutDown,
)
from inservice.runtimes.process.pulses import Pulses
from inservice.runtimes.process.records import Places, Record
from inservice.runtimes.process.watch import Watch
from inservice.runtimes.process.zygotes import SINGLE_THREADED, Zygotes, environment
from inservice.runtimes.standing import stands

REST_SECONDS = 60.0
"""How often zygotes that nobody used are let go."""

ABANDONED_SECONDS = 10.0
"""How often it is made sure that the run directory is still there."""

ABANDONED_GRACE_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class _Birth:
    """An instance between the request and its record."""

    launch: Launch
    cookie: str
    gate: socket.socket
    asked_at: float  # monotonic seconds
    waiting: list[socket.socket]
    forked: bool  # by a zygote, whose failure is mended by a new interpreter
    confinement: Confinement | None


@dataclass(slots=True, eq=False)
class _Instance:
    """An instance that runs."""

    record: Record
    collector: Collector
    pidfd: int
    adopted: bool  # another fork server was its parent
    python: Python | None = None  # None: not known any more
    waiting: list[socket.socket] = field(default_factory=list)  # for its end
    retired: bool = False  # to be forgotten when it has ended
    kill_at: float | None = None
    killed: bool = False


class ForkServer:
    """The loop and everything it knows."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._watch = Watch()
        self._births: dict[str, _Birth] = {}
        self._instances: dict[str, _Instance] = {}
        self._zygotes = Zygotes(self._watch)
        self._endings = Endings()
        self._isolation = Isolation(places)
        self._cgroups = Cgroups(places.run_dir)
        self._shutting_down: list[socket.socket] | None = None
        path = places.fork_server_socket
        self._commands = Commands(self._watch, path, self._obey, self._isolation)
        self._answer, self._answer_failure = self._commands.answer, self._commands.answer_failure
        self._pulses = Pulses(self._watch, places)
        self._watch.on_signals(self._signalled, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
        self._adopt()
        self._watch.after(REST_SECONDS, self._rest)
        self._watch.after(ABANDONED_SECONDS, self._look_around)

    def run(self) -> None:
        """Serve until told to stop. Instances are left as they are."""
        self._watch.run()
        self._commands.close()

    def _rest(self) -> None:
        """Keep no zygote of which there has been no instance for long."""
        running = [i.python for i in self._instances.values() if i.python is not None]
        self._zygotes.rest({*running, *(birth.launch.python for birth in self._births.values())})
        self._watch.after(REST_SECONDS, self._rest)

    # ── control's commands ───────────────────────────────────────────────────────────────────

    def _obey(self, command: Command, client: socket.socket) -> None:
        match command:
            case Hello():
                self._answer([client])
            case CheckLimits():
                self._check_limits(client)
            case Prepare(python=python):
                self._zygotes.prepare(python, lambda error: self._answer([client], error=error))
            case Launch():
                self._launch(command, client)
            case Retire():
                self._retire(command, client)
            case ShutDown(grace_seconds=grace_seconds):
                self._shut_down(grace_seconds, [client])
            case Look():
                self._look(command, client)
            case Follow():
                self._pulses.follow(client, self._commands.line())

    def _check_limits(self, client: socket.socket) -> None:
        try:
            self._cgroups.prepare()
        except NoCgroups as why:
            self._answer([client], error=str(why.strerror), errno=why.errno)
            return
        self._sweep()
        self._answer([client])

    def _look(self, look: Look, client: socket.socket) -> None:
        instance = self._find(look.instance_id)
        if instance is None or instance.record.cookie != look.cookie:
            self._answer([client])
        else:
            told = lambda pulse: self._answer([client], pulse=pulse)  # noqa: E731
            self._pulses.look(instance.record, told)

    # ── birth ────────────────────────────────────────────────────────────────────────────────

    def _launch(self, launch: Launch, client: socket.socket) -> None:
        if (instance := self._find(launch.instance_id)) is not None:
            self._answer([client], record=instance.record)
        elif (birth := self._births.get(launch.instance_id)) is not None:
            birth.waiting.append(client)
        elif self._shutting_down is not None:
            self._answer([client], error="the fork server is shutting down")
        else:
            self._conceive(launch, [client], time.monotonic(), forked=not launch.fresh)

    def _find(self, instance_id: str) -> _Instance | None:
        """The running instance of this id, also one that could not be adopted until now."""
        if (instance := self._instances.get(instance_id)) is not None:
            return instance
        record = records.read(self._places.record(instance_id), Record)
        if record is None or not records.is_alive(record):
            return None
        return self._attend(record, adopted=True)

    def _conceive(
        self, launch: Launch, waiting: list[socket.socket], asked_at: float, *, forked: bool
    ) -> None:
        places, instance_id = self._places, launch.instance_id
        records.remove(places.exit(instance_id))
        records.remove(places.ready(instance_id))
        records.remove(places.socket(instance_id))
        records.remove(places.output(instance_id))  # it may hold what a dead one wrote
        places.scratch(instance_id).mkdir(exist_ok=True)
        os.mkfifo(places.output(instance_id), 0o600)
        confinement = self._isolation.confinement(launch)
        # For reading too, so that a write never finds a pipe without a reader and gets SIGPIPE;
        # without blocking, which the descriptors made from it inherit.
        output = os.open(places.output(instance_id), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        birth = _Birth(launch, secrets.token_hex(8), ours, asked_at, waiting, forked, confinement)
        try:
            with theirs:
                if not (forked and self._zygotes.fork(launch.python, theirs, output)):
                    birth.forked = False
                    self._start_interpreter(birth, theirs, output)
        except OSError:
            ours.close()
            raise
        finally:
            os.close(output)
        self._births[instance_id] = birth
        self._watch.readable(ours.fileno(), lambda: self._gate(birth))

    def _start_interpreter(self, birth: _Birth, gate: socket.socket, output: int) -> None:
        gate.set_inheritable(True)
        title, python = self._title(birth), birth.launch.python
        os.posix_spawn(
            python.path,
            [
                *(python.path, "-s", "-P", "-m", "inservice.runtimes.process.instance"),
                *(str(gate.fileno()), title),
            ],
            # Not the model's own: this is still us, and PYTHONPATH and LD_PRELOAD are orders.
            environment(python),
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
        self._watch.forget(birth.gate.fileno())
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
                self._answer_failure(birth.waiting, error)

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
            boot_id=boot_id(),
            cookie=birth.cookie,
            started_at=time.time(),
            fork_seconds=time.monotonic() - birth.asked_at,
            address=f"unix:{places.socket(launch.instance_id)}",
            log_path=launch.log_path,
            memory_bytes_max=0 if launch.limit is None else launch.limit.memory_bytes,
        )
        if launch.limit is not None:
            self._cgroups.enter(record.cookie, launch.limit, pid)
        instance = self._attend(record, adopted=False)
        instance.python = launch.python
        remains.mark(pid, record.cookie)
        records.write(places.record(launch.instance_id), record)
        if launch.claim and not stands(places.run_dir, launch.instance_id, launch.claim):
            instance.retired = True  # what it was to hold may be another's by now
            raise PermissionError(errno.EACCES, "what it had claimed of this host was given up")
        life = Life(
            title=self._title(birth),
            entry=launch.entry,
            socket_path=str(places.socket(launch.instance_id)),
            scratch_dir=str(places.scratch(launch.instance_id)),
            model_dir=container_paths.model_dir(launch, birth.confinement),
            environment=self._environment(birth),
            network_isolation=launch.network_isolation,
            executable=launch.python.path,
            layer=launch.layer,
            fresh=launch.fresh,
            confinement=birth.confinement,
        )
        birth.gate.setblocking(True)  # at most LINE_BYTES_MAX, to a process that only reads
        with contextlib.suppress(ConnectionError):  # it died just now: its exit will tell
            birth.gate.sendall(msgspec.json.encode(life) + b"\n")
        self._answer(birth.waiting, record=instance.record)

    def _title(self, birth: _Birth) -> str:
        return f"{records.TITLE} {birth.cookie} {birth.launch.instance_id}"

    def _environment(self, birth: _Birth) -> dict[str, str]:
        """The fork server's own, which is clean, a home that is nobody's, then the model's."""
        scratch = str(self._places.scratch(birth.launch.instance_id))
        ours = {**os.environ, **SINGLE_THREADED, "HOME": scratch, "TMPDIR": scratch}
        user = birth.confinement.environment if birth.confinement else {}
        return ours | user | container_paths.variables(birth.launch, birth.confinement)

    # ── life and death ───────────────────────────────────────────────────────────────────────

    def _attend(self, record: Record, *, adopted: bool) -> _Instance:
        """Begin to keep its output and to watch for its end."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._places.output(record.instance_id), 0o600)
        pidfd = os.pidfd_open(record.pid)
        try:
            collector = Collector(self._places.output(record.instance_id), Path(record.log_path))
        except OSError:
            os.close(pidfd)
            raise
        instance = _Instance(record, collector, pidfd, adopted)
        self._instances[record.instance_id] = instance
        self._watch.readable(collector.fd, lambda: self._collect(instance))
        self._pulses.begin(record, adopted=adopted)
        if adopted:  # a child's end comes as SIGCHLD, and only with it the exit code
            self._watch.readable(pidfd, lambda: self._ended(instance, None))
        return instance

    def _adopt(self) -> None:
        """Take over what an earlier fork server started and left alive, and end what is left of
        those that have died since."""
        dead = []
        for record in self._places.records():
            if records.is_alive(record):
                with contextlib.suppress(OSError):  # it ended between the two looks
                    self._attend(record, adopted=True)
            elif record.boot_id == boot_id():
                dead.append(record)
        self._endings.clear(dead, self._living())

    def _collect(self, instance: _Instance) -> None:
        if (pause := instance.collector.collect()) > 0:
            self._watch.forget(instance.collector.fd)
            self._watch.after(pause, lambda: self._collect_again(instance))

    def _collect_again(self, instance: _Instance) -> None:
        if self._instances.get(instance.record.instance_id) is instance:
            self._watch.readable(instance.collector.fd, lambda: self._collect(instance))

    def _shut_down(self, grace_seconds: float, clients: list[socket.socket]) -> None:
        self._shutting_down = [*(self._shutting_down or ()), *clients]
        for birth in (*self._births.values(),):
            self._cancel(birth)
        for instance in self._instances.values():
            self._end_within(grace_seconds, instance)
        self._stop_if_empty()

    def _look_around(self) -> None:
        """A run directory that was deleted, or made anew for another fork server, leaves us and
        our instances where nobody can find us again: end, rather than stay for ever."""
        self._endings.look_around(self._living())
        self._sweep()
        if self._commands.are_found():
            self._watch.after(ABANDONED_SECONDS, self._look_around)
        elif self._shutting_down is None:
            self._shut_down(ABANDONED_GRACE_SECONDS, [])

    def _sweep(self) -> None:
        """Whoever is on record is left alone, also one that could not be attended to just now."""
        on_record = (*self._places.records(), *self._living())
        self._cgroups.sweep({record.cookie for record in on_record})

    def _cancel(self, birth: _Birth) -> None:
        """A newborn whose gate closes ends at once."""
        del self._births[birth.launch.instance_id]
        self._watch.forget(birth.gate.fileno())
        birth.gate.close()
        self._answer(birth.waiting, error="the fork server is shutting down")

    def _retire(self, command: Retire, client: socket.socket) -> None:
        record = records.read(self._places.record(command.instance_id), Record)
        if record is None or record.cookie != command.cookie:
            self._answer([client])
        elif (instance := self._find(command.instance_id)) is None:
            records.forget(self._places, record)
            self._answer([client])
        else:
            instance.waiting.append(client)
            instance.retired = True
            self._end_within(command.grace_seconds, instance)

    def _end_within(self, grace_seconds: float, instance: _Instance) -> None:
        deadline = time.monotonic() + grace_seconds
        if instance.kill_at is None:
            # Its children are not told: a model that drains may still need its workers.
            records.send(instance.pidfd, signal.SIGTERM)
        if instance.kill_at is None or deadline < instance.kill_at:
            instance.kill_at = deadline
            self._watch.after(grace_seconds, lambda: self._kill(instance))

    def _kill(self, instance: _Instance) -> None:
        if self._instances.get(instance.record.instance_id) is instance:
            instance.killed = True
            records.send(instance.pidfd, signal.SIGKILL)

    def _ended(self, instance: _Instance, dead: os.waitid_result | None) -> None:
        """What an instance leaves: nothing running, its last lines, how it ended."""
        asked, killed = instance.kill_at is not None, instance.killed
        cookie, limited = instance.record.cookie, instance.record.memory_bytes_max > 0
        ran_out = self._cgroups.ran_out_of_memory(cookie) if limited else None
        record = instance.record
        end = self._endings.how(record, dead, asked=asked, killed=killed, ran_out=ran_out)
        instance_id = instance.record.instance_id
        del self._instances[instance_id]
        self._pulses.end(instance.record)
        self._watch.forget(instance.pidfd)
        self._watch.forget(instance.collector.fd)
        self._endings.clear([instance.record], self._living())
        if limited:
            self._cgroups.leave(cookie)
        instance.collector.finish()
        os.close(instance.pidfd)
        with contextlib.suppress(OSError):  # a full disk must not keep anybody waiting
            records.write(self._places.exit(instance_id), end)
        if instance.retired:
            records.forget(self._places, instance.record)
        self._answer(instance.waiting)
        self._stop_if_empty()

    def _living(self) -> list[Record]:
        return [instance.record for instance in self._instances.values()]

    def _stop_if_empty(self) -> None:
        if self._shutting_down is not None and not self._instances:
            self._answer(self._shutting_down)
            self._watch.stop()

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
                self._ended(instance, dead)
            os.waitpid(dead.si_pid, 0)

    def _signalled(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._watch.stop()
        self._reap()
