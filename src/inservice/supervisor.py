"""Owns the listening sockets; starts control and the gateway workers, and starts them again.

A worker that dies takes no queued connection with it: the sockets belong to this process, which
hands them down and never accepts on them itself (with plain SO_REUSEPORT every connection queued at
a killed worker was reset; with inherited sockets none was). The supervisor has no other job, no
event loop and few imports, so there is little in it that could fail.

Signals: SIGTERM and SIGINT stop everything, instances included. SIGHUP replaces the gateway workers
one after the other without a failed request. A gateway worker that has not beaten its heart for
`HEARTBEAT_SECONDS` is stuck and is killed; whatever ends is started again, at once the first time,
then with growing pauses.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

import msgspec

from inservice import config
from inservice.config import Settings
from inservice.transport.census import make_census, strike_out

HEARTBEAT_SECONDS = 4.0
"""Workers beat once a second; three missed beats on a busy machine are not yet a stuck worker."""

LAST_WORDS_SECONDS = 5.0
"""What a worker may take beyond its drain, to hand over its last counts, before it is killed."""

STEADY_SECONDS = 10.0
"""A child that lived this long was healthy: its next failure is a first one again."""

BACKLOG = 4096
"""Connections the kernel queues while a worker is replaced; the kernel caps it at somaxconn."""

CONTROL = "control"

RECORDS_REFUSED = 78
"""Control's exit code when it cannot use its records: EX_CONFIG of sysexits.h, which neither Python
nor a signal ends with by itself."""


class AlreadyRunning(Exception):
    """Another server holds this data directory."""


class RecordsRefused(Exception):
    """Control cannot use the records of this data directory; its own log line says why."""


@dataclass
class Child:
    """A process that is to run for as long as the supervisor does."""

    name: str
    start: Callable[[Child], subprocess.Popen[bytes]]
    popen: subprocess.Popen[bytes] | None = None
    heartbeat: int | None = None  # our end of the pipe that the worker writes to
    beaten_at: float = 0.0
    started_at: float = 0.0
    failures: int = 0
    due_at: float = 0.0  # when to start it again


@dataclass
class Supervisor:
    """One server: `run` returns its exit code when everything has ended."""

    settings: Settings
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _children: dict[str, Child] = field(default_factory=dict)
    _signals: list[int] = field(default_factory=list)
    _sockets: dict[str, socket.socket] = field(default_factory=dict)
    _census: int = -1  # how many clients each worker has, see transport.census
    _told: bool = True  # what processes.json says is so
    _listened_at: float = 0.0  # the last round of the loop, which takes a second at most

    def run(self) -> int:
        """Start, keep running, stop. Raises AlreadyRunning, RecordsRefused, or OSError if the port
        is taken or the data directory cannot be used."""
        settings = self.settings
        for directory in (settings.data_dir, settings.run_dir, settings.log_dir):
            private_directory(directory)
        lock = hold(settings.data_dir)
        settings.endpoint_file.unlink(missing_ok=True)  # a killed server left it
        instances_too = True
        try:
            self._bind()
            settings = self.settings
            write_private(settings.settings_file, config.to_document(settings))
            self._catch_signals()
            self._children[CONTROL] = Child(CONTROL, self._start_control)
            for index in range(settings.workers):
                name = f"gateway-{index}"
                self._children[name] = Child(name, self._start_worker)
            self._keep_running()
        except RecordsRefused:
            instances_too = False  # they are for the server that can read the records
            raise
        finally:
            self._stop_all(instances_too=instances_too)
            settings.endpoint_file.unlink(missing_ok=True)
            if not settings.run_dir.is_relative_to(settings.data_dir):
                # It stood in /tmp because its sockets needed a shorter path; nothing of it is
                # wanted by the next server.
                shutil.rmtree(settings.run_dir, ignore_errors=True)
            os.close(lock)
        return 0

    # ── sockets ─────────────────────────────────────────────────────────────────────────────────
    def _bind(self) -> None:
        """Bind before anything starts, so that a taken port is an error and not a crash loop."""
        settings = self.settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        public = socket.socket(family, socket.SOCK_STREAM)
        public.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        public.bind((settings.host, settings.port))
        public.listen(BACKLOG)
        self.settings = replace(settings, port=public.getsockname()[1])
        path = settings.run_dir / "control.sock"
        path.unlink(missing_ok=True)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.bind(str(path))
        control.listen(BACKLOG)
        self._sockets = {"public": public, CONTROL: control}
        self._census = make_census(settings.workers)

    # ── children ────────────────────────────────────────────────────────────────────────────────
    def _start_control(self, _child: Child) -> subprocess.Popen[bytes]:
        listen = self._sockets[CONTROL].fileno()
        # A SIGTERM that comes while control still imports would end it without stopping the
        # instances. It is born with the signal blocked and takes it when it is ready to.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return self._spawn("inservice.app", [f"--listen-fd={listen}"], [listen])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _start_worker(self, child: Child) -> subprocess.Popen[bytes]:
        listen = self._sockets["public"].fileno()
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self._forget_heartbeat(child)
        child.heartbeat = ours
        self._selector.register(ours, selectors.EVENT_READ, child)
        index = _index(child)
        run_dir = self.settings.run_dir
        arguments = [
            f"--listen-fd={listen}",
            f"--heartbeat-fd={theirs}",
            f"--census-fd={self._census}",
            f"--index={index}",
            f"--routes={run_dir / 'routes.json'}",
            f"--channel={run_dir / 'routes.sock'}",
            f"--control={run_dir / 'control.sock'}",
            f"--body-bytes-max={self.settings.body_bytes_max}",
            f"--drain-seconds={self.settings.drain_seconds}",
        ]
        try:
            return self._spawn(
                "inservice.gateway.worker", arguments, [listen, theirs, self._census]
            )
        finally:
            os.close(theirs)

    def _spawn(
        self, module: str, arguments: list[str], handed_down: list[int]
    ) -> subprocess.Popen[bytes]:
        """Start `python -m module`. Settings come from the file, not from the environment."""
        command = [sys.executable, "-m", module, f"--settings={self.settings.settings_file}"]
        return subprocess.Popen(  # noqa: S603 - our own modules, no shell
            [*command, *arguments],
            pass_fds=handed_down,
            stdin=subprocess.DEVNULL,
            # Its own group: Ctrl-C in the terminal reaches the supervisor alone, which then stops
            # the others in order.
            process_group=0,
        )

    def _start_due(self, now: float) -> None:
        changed = False
        for child in self._children.values():
            if child.popen is None and child.due_at <= now:
                child.popen = child.start(child)
                child.started_at = child.beaten_at = now
                changed = True
        if changed:
            self._publish()

    def _publish(self) -> None:
        """Say who runs: control waits for every live worker's word before it stops a fleet."""
        running = [
            {"name": child.name, "pid": child.popen.pid, "started_at": _wall(child.started_at)}
            for child in self._children.values()
            if child.popen is not None
        ]
        document = {"pid": os.getpid(), "children": running}
        try:
            write_private(self.settings.run_dir / "processes.json", document)
        except OSError as full:  # no reason to stop what serves; it is tried again every second
            if self._told:
                say(f"processes.json cannot be written: {full}")
            self._told = False
        else:
            self._told = True

    def _reap(self, now: float) -> None:
        for child in self._children.values():
            if child.popen is None or child.popen.poll() is None:
                continue
            lived = now - child.started_at
            child.failures = 1 if lived > STEADY_SECONDS else child.failures + 1
            pause = 0.0 if child.failures == 1 else min(10.0, 0.1 * 2**child.failures)
            code = child.popen.returncode
            # Once control has served, the models still do, by the last routing table: then it is
            # tried again and again. A server that never began has nothing to go on with.
            if code == RECORDS_REFUSED and not self.settings.endpoint_file.exists():
                raise RecordsRefused(f"the records in {self.settings.data_dir} cannot be used")
            say(f"{child.name} (pid {child.popen.pid}) ended with {code}; starting it again")
            child.popen, child.due_at = None, now + pause
            self._forget_heartbeat(child)
            if child.name != CONTROL:
                strike_out(self._census, _index(child))
            self._publish()

    def _kill_stuck(self, now: float) -> None:
        """Whoever was silent while we listened; held up ourselves, we heard nobody."""
        if now - self._listened_at > HEARTBEAT_SECONDS / 2:
            for child in self._children.values():
                child.beaten_at = now
        self._listened_at = now
        for child in self._children.values():
            silent = now - child.beaten_at
            if child.heartbeat is not None and child.popen and silent > HEARTBEAT_SECONDS:
                say(f"{child.name} (pid {child.popen.pid}) is stuck: silent for {silent:.1f} s")
                child.popen.kill()
                child.beaten_at = now

    def _forget_heartbeat(self, child: Child) -> None:
        if child.heartbeat is not None:
            self._selector.unregister(child.heartbeat)
            os.close(child.heartbeat)
            child.heartbeat = None

    # ── the loop ────────────────────────────────────────────────────────────────────────────────
    def _catch_signals(self) -> None:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        os.set_blocking(theirs, False)
        signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ, None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._remember)
        signal.signal(signal.SIGCHLD, _wake_only)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _keep_running(self) -> None:
        while True:
            self._tend()
            while self._signals:
                if self._signals.pop(0) != signal.SIGHUP:
                    return
                self._replace_workers()

    def _tend(self) -> None:
        """One round: start again what ended, end what is stuck, listen for a second at most."""
        now = time.monotonic()
        self._reap(now)
        self._kill_stuck(now)
        self._start_due(now)
        if not self._told:
            self._publish()
        for key, _ in self._selector.select(timeout=1.0):
            self._drain(key)

    def _drain(self, key: selectors.SelectorKey) -> None:
        """Empty a pipe; if it is a worker's, its heart beats."""
        child: Child | None = key.data
        with contextlib.suppress(BlockingIOError):
            beat = os.read(key.fd, 4096)
            if child is not None and beat:
                child.beaten_at = time.monotonic()
            elif child is not None:
                self._forget_heartbeat(child)  # closed: the worker is going, `_reap` will see it

    def _replace_workers(self) -> None:
        """One by one: the next worker goes when the one before it beats."""
        for child in self._children.values():
            if child.name == CONTROL or child.popen is None:
                continue
            old = child.popen
            before = child.heartbeat
            if before is not None:
                self._selector.unregister(before)
                child.heartbeat = None
            child.popen = child.start(child)
            child.started_at = child.beaten_at = time.monotonic()
            self._publish()
            self._await_beat(child)
            old.terminate()
            if before is not None:
                os.close(before)
            self._await_end(old, self.settings.drain_seconds + LAST_WORDS_SECONDS)

    def _await_end(self, old: subprocess.Popen[bytes], seconds: float) -> None:
        """A worker that was told to go has up to `seconds`; meanwhile the others are tended."""
        deadline = time.monotonic() + seconds
        while old.poll() is None and time.monotonic() < deadline:
            self._tend()
        _wait(old, 0.0)

    def _await_beat(self, child: Child) -> None:
        deadline = time.monotonic() + HEARTBEAT_SECONDS
        seen = child.beaten_at
        while child.beaten_at == seen and time.monotonic() < deadline:
            for key, _ in self._selector.select(timeout=0.2):
                self._drain(key)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────
    def _stop_all(self, *, instances_too: bool) -> None:
        """Gateways first, so that nothing new arrives; control last: it stops the instances."""
        workers = [c.popen for c in self._children.values() if c.name != CONTROL and c.popen]
        for popen in workers:
            popen.terminate()
        for popen in workers:
            _wait(popen, self.settings.drain_seconds + LAST_WORDS_SECONDS)
        control = self._children.get(CONTROL)
        if control is not None and instances_too:
            self._stop_control(control)
        for opened in self._sockets.values():
            opened.close()

    def _stop_control(self, control: Child) -> None:
        """Control stops the instances and then itself. One that could not is stood in for."""
        patience = self.settings.drain_seconds + 10.0
        if control.popen is not None:
            control.popen.terminate()
            _wait(control.popen, patience)
        if control.popen is None or control.popen.returncode != 0:
            say("control did not stop the instances; doing it without")
            _wait(self._spawn("inservice.app", ["--stop-instances"], []), patience)


REFUSALS = (AlreadyRunning, RecordsRefused, OSError)
"""What `Supervisor.run` raises instead of running."""


# ── files ───────────────────────────────────────────────────────────────────────────────────────
def private_directory(path: Path) -> None:
    """Make `path` with mode 0700. Raises PermissionError if somebody else owns it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.lstat().st_uid != os.getuid():  # in /tmp another user may have made it, or a link
        raise PermissionError(f"{path} belongs to another user")
    path.chmod(0o700)


def write_private(path: Path, document: object) -> None:
    """Replace `path` with JSON, mode 0600, in one step: readers see the old or the new."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(document))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def hold(data_dir: Path) -> int:
    """Take the data directory for this process. Raises AlreadyRunning.

    The kernel drops the lock when the process ends, however it ends.
    """
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 32).decode() or "unknown"
        os.close(lock)
        raise AlreadyRunning(
            f"a server with pid {pid} already runs on {data_dir}: "
            "see `inservice status`, stop it with `inservice down`, "
            "or choose another --data-dir"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def why(settings: Settings, refused: Exception) -> str:
    """A refusal in words that say what to do."""
    if not isinstance(refused, OSError) or refused.strerror is None:
        return str(refused)
    if refused.filename is None:
        return (
            f"cannot listen on {settings.host}:{settings.port}: {refused.strerror}; "
            "choose another --port, or --port 0 for a free one"
        )
    return (
        f"cannot use {refused.filename}: {refused.strerror}; "
        "choose another --data-dir, one that this user may write to"
    )


def say(text: str) -> None:
    """One line of the server's log; lost when there is no room for it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{stamp} supervisor {text}\n")
        sys.stderr.flush()


def _wait(popen: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        popen.wait(seconds)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def _index(worker: Child) -> int:
    """The number of a gateway worker."""
    return int(worker.name.removeprefix("gateway-"))


def _wall(monotonic: float) -> float:
    return time.time() - (time.monotonic() - monotonic)


def _wake_only(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD: the wake-up pipe has its byte, `_reap` does the rest."""


def main(argv: list[str] | None = None) -> int:
    """`python -m inservice.supervisor --settings FILE`: what `inservice up --detach` starts."""
    (option,) = sys.argv[1:] if argv is None else argv
    document = msgspec.json.decode(Path(option.removeprefix("--settings=")).read_bytes())
    settings = config.from_document(document)
    try:
        return Supervisor(settings).run()
    except REFUSALS as refused:
        say(why(settings, refused))
        return 1


if __name__ == "__main__":
    sys.exit(main())
