"""Owns the listening sockets; starts control and the gateway workers, and starts them again.

A worker that dies takes no queued connection with it: the sockets belong to this process, which
hands them down and never accepts on them itself (with plain SO_REUSEPORT every connection queued at
a killed worker was reset; with inherited sockets none was). The supervisor has no other job, no
event loop and few imports, so there is little in it that could fail.

Signals: SIGTERM and SIGINT stop everything, instances included. SIGHUP replaces the gateway workers
one after the other without a failed request, as the order `reload` does, which also says how it
went. The order `restart` makes this process newer code first, and then replaces everybody. A
gateway worker that has not beaten its heart for `HEARTBEAT_SECONDS` is stuck and is killed;
whatever ends is started again, at once the first time, then with growing pauses.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from inservice import config
from inservice.config import OFF, Settings
from inservice.reserve import OPENING_BYTES, Reserve
from inservice.supervision import grace
from inservice.supervision import handover as handing
from inservice.supervision import orders as asking
from inservice.supervision.children import (
    START_SECONDS,
    Child,
    Children,
    HostRefused,
    RecordsRefused,
    is_control,
)
from inservice.supervision.files import (
    AlreadyRunning,
    hold,
    private_directory,
    say,
    write_private,
)
from inservice.supervision.handover import Handover, kept_life, kept_order
from inservice.supervision.orders import Order, Orders
from inservice.supervision.process import begin
from inservice.supervision.programs import STORAGE, Sockets, programs, stop_instances, trial
from inservice.supervision.replacing import LAST_WORDS_SECONDS, GivenUp, Replacing, Stopped
from inservice.transport.census import make_census

BACKLOG = 4096
"""Connections the kernel queues while a worker is replaced; the kernel caps it at somaxconn."""

REFUSALS = (AlreadyRunning, HostRefused, RecordsRefused, OSError)
"""What `Supervisor.run` raises instead of running."""


@dataclass
class Supervisor:
    """One server: `run` returns its exit code when everything has ended."""

    settings: Settings
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _signals: list[int] = field(default_factory=list)
    _lock: int = -1
    _sockets: Sockets | None = None
    _children: Children | None = None
    _orders: Orders | None = None

    def run(self) -> int:
        """Start, keep running, stop. Raises AlreadyRunning, HostRefused, RecordsRefused, or OSError
        if the port is taken or the data directory cannot be used."""
        settings = self.settings
        for directory in (settings.data_dir, settings.run_dir, settings.log_dir):
            private_directory(directory)
        self._lock = hold(settings.data_dir)
        settings.endpoint_file.unlink(missing_ok=True)  # a killed server left it
        return self._until_stopped(self._begin)

    def take_over(self, handover: Handover) -> int:
        """Go on as the newer code of a server that runs; carry out what it was asked for."""
        self._lock = handover.lock
        return self._until_stopped(lambda: self._adopt(handover))

    def _until_stopped(self, beginning: Callable[[], None]) -> int:
        settings = self.settings
        instances_too = True
        try:
            with contextlib.suppress(Stopped):
                beginning()
                self._keep_running()
        except (HostRefused, RecordsRefused):
            instances_too = False  # they are for the server that can read the records
            raise
        finally:
            self._stop_all(instances_too=instances_too)
            settings.endpoint_file.unlink(missing_ok=True)
            if not settings.run_dir.is_relative_to(settings.data_dir):
                # It stood in /tmp because its sockets needed a shorter path; nothing of it is
                # wanted by the next server.
                shutil.rmtree(settings.run_dir, ignore_errors=True)
            os.close(self._lock)
        return 0

    # ── beginnings ──────────────────────────────────────────────────────────────────────────────
    def _begin(self) -> None:
        sockets = self._bind()
        write_private(self.settings.settings_file, config.to_document(self.settings))
        self._oversee(sockets, [])

    def _adopt(self, handover: Handover) -> None:
        sockets = handover.sockets()
        if sockets.storage is None:  # older code kept no objects
            sockets.storage = self._listen_for_storage()
        self._oversee(sockets, [order.revived() for order in handover.waiting])
        assert self._children is not None
        for kept in handover.lives:
            self._children.by_name[kept.name].life = life = kept.revived()
            self._children.follow(life)
        for kept in handover.leaving:
            life = kept.revived()
            self._children.leaving.append((kept.name, life))
            self._children.follow(life)
        order = handover.asking.revived()
        self._carry_out(order, lambda: self._replace_everybody(order))

    def _oversee(self, sockets: Sockets, waiting: list[Order]) -> None:
        self._sockets = sockets
        self._catch_signals()
        self._orders = Orders(sockets.orders, self._selector, waiting)
        reserve = Reserve(self.settings.data_dir)
        self._children = Children(self.settings, sockets.census, self._selector, reserve)
        for program in programs(self.settings, sockets):
            self._children.add(program)

    def _bind(self) -> Sockets:
        """Bind before anything starts, so that a taken port is an error and not a crash loop."""
        settings = self.settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        public = socket.socket(family, socket.SOCK_STREAM)
        public.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        public.bind((settings.host, settings.port))
        public.listen(BACKLOG)
        self.settings = replace(settings, port=public.getsockname()[1])
        control = _listen_at(settings.run_dir / "control.sock")
        orders = asking.listen(settings.run_dir / "supervisor.sock")
        storage = self._listen_for_storage()
        return Sockets(public, control, orders, make_census(settings.workers), storage)

    def _listen_for_storage(self) -> socket.socket | None:
        if self.settings.storage == OFF:
            return None
        return _listen_at(self.settings.run_dir / "storage.sock")

    # ── the loop ────────────────────────────────────────────────────────────────────────────────
    def _catch_signals(self) -> None:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        os.set_blocking(theirs, False)
        signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ, lambda: _empty(ours))
        for number in handing.HELD_BACK:
            signal.signal(number, self._remember)
        signal.signal(signal.SIGCHLD, _wake_only)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handing.HELD_BACK)  # older code held them back

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _keep_running(self) -> None:
        assert self._orders is not None
        while True:
            self._turn()
            if signal.SIGHUP in self._signals:
                self._signals = [one for one in self._signals if one != signal.SIGHUP]
                self._carry_out(None, lambda: self._replace_workers(None))
            elif order := self._orders.next():
                self._obey(order)

    def _turn(self) -> None:
        """One turn of everything. Raises Stopped when the server is to end."""
        assert self._children is not None
        self._children.tend()
        if any(one != signal.SIGHUP for one in self._signals):
            raise Stopped
        self._children.listen()

    # ── orders ──────────────────────────────────────────────────────────────────────────────────
    def _obey(self, order: Order) -> None:
        match order.word:
            case asking.RELOAD:
                self._carry_out(order, lambda: self._replace_workers(order))
            case asking.RESTART:
                self._carry_out(order, lambda: self._become_newer_code(order))
            case word:
                order.say(f"{word!r} is nothing that this server could do", done=1)
                order.client.close()

    def _carry_out(self, order: Order | None, doing: Callable[[], str]) -> None:
        """Do it, and tell whoever asked how it went; the log is told as well."""
        try:
            said, code = doing(), 0
        except GivenUp as failed:
            said, code = str(failed), 1
            say(said)
        except Stopped:
            _answer(order, "the server is being stopped", 1)
            raise
        _answer(order, said, code)

    def _replacing(self) -> Replacing:
        assert self._children is not None
        return Replacing(self._children, self.settings.drain_seconds, self._turn)

    def _replace_workers(self, order: Order | None) -> str:
        assert self._children is not None
        others = [c for c in self._children.by_name.values() if not is_control(c)]
        gateways = [child for child in others if child.program.slot >= 0]
        behind = [child for child in others if child.program.slot < 0]
        # Gateways first: where a version does not serve nothing else is touched.
        self._replace_each(gateways, order)
        if behind:
            self._refuse_without_room("storage stays", "the objects")
        self._replace_each(behind, order)
        storage = ", and the storage process" if behind else ""
        return f"Replaced {len(gateways)} gateway workers{storage}."

    def _refuse_without_room(self, who_stays: str, what: str) -> None:
        """One that let go of what it has open could not open it again either. Raises GivenUp."""
        assert self._children is not None
        with self._children.reserve.giving():
            fits = self._children.reserve.fits(OPENING_BYTES)
        if not fits:
            raise GivenUp(
                f"{who_stays}: on the volume of {self.settings.data_dir} there is no room for a "
                f"new one to open {what}"
            )

    def _replace_everybody(self, order: Order) -> str:
        """Control first: it brings the records up to date, while the old workers serve on."""
        assert self._children is not None
        self._refuse_without_room("control stays", "the records")
        self._replace_each(list(self._children.by_name.values()), order)
        return "Restarted everything but the instances, which served on."

    def _replace_each(self, children: list[Child], order: Order | None) -> None:
        replacing = self._replacing()
        for child in children:
            pid = replacing.replace(child)
            if order is not None:
                order.say(f"{child.program.name} is new (pid {pid})")

    def _become_newer_code(self, order: Order) -> str:
        """Does not return if all goes well: the newer code goes on with the order."""
        assert self._children is not None
        assert self._sockets is not None
        assert self._orders is not None
        handover = Handover(
            settings=config.to_document(self.settings),
            lock=self._lock,
            public=self._sockets.public.fileno(),
            control=self._sockets.control.fileno(),
            orders_socket=self._sockets.orders.fileno(),
            census=self._sockets.census,
            lives=[],
            leaving=[],
            asking=kept_order(order),
            waiting=[],
            storage=-1 if self._sockets.storage is None else self._sockets.storage.fileno(),
        )
        self._try_out(handover)
        # Only now: whatever happened to the children meanwhile is in it.
        handover.lives = [
            kept_life(name, child.life)
            for name, child in self._children.by_name.items()
            if child.life is not None
        ]
        handover.leaving = [kept_life(name, life) for name, life in self._children.leaving]
        handover.waiting = [kept_order(one) for one in self._orders.waiting]
        try:
            handing.become_newer_code(handover)
        except OSError as failed:
            raise GivenUp(f"the supervisor could not become newer code: {failed}") from None
        raise AssertionError("exec returned")

    def _try_out(self, handover: Handover) -> None:
        """Have the code that is on disk now say, in a process of its own, that it could take over.
        Raises GivenUp with its last lines if it does not."""
        document = handing.write(handover)
        try:
            life = begin(trial(document), self.settings.settings_file)
        except OSError as full:
            raise GivenUp(f"the new version could not be tried: {full}") from None
        finally:
            os.close(document)
        try:
            deadline = time.monotonic() + START_SECONDS
            while life.process.poll() is None and time.monotonic() < deadline:
                self._turn()
            life.process.send(signal.SIGKILL)
            life.process.end(1.0)
            if life.process.returncode != 0:
                raise GivenUp(
                    "the new version cannot be started; nothing was changed. Its last lines:\n"
                    + life.last_lines()
                )
        finally:
            life.process.send(signal.SIGKILL)
            life.process.end(1.0)
            life.forget()

    # ── the end ─────────────────────────────────────────────────────────────────────────────────
    def _stop_all(self, *, instances_too: bool) -> None:
        """Gateways first, so that nothing new arrives, and what they carry is answered; then the
        storage; control last: it stops the instances."""
        children = self._children
        if children is not None:
            control = next(c for c in children.by_name.values() if is_control(c))
            by = grace.grant(self.settings)
            storage = children.lives_of(STORAGE)
            gateways = [life for life in children.lives() if life not in storage]
            for lives in (gateways, storage):
                stopping = [life.process for life in lives if life is not control.life]
                for process in stopping:
                    process.send(signal.SIGTERM)
                for process in stopping:
                    process.end(max(0.0, by - time.monotonic()) + LAST_WORDS_SECONDS)
            if instances_too:
                self._stop_control(control)
            for life in children.lives():
                children.forget(life)
        grace.over(self.settings)
        if self._sockets is not None:
            self._sockets.close()

    def _stop_control(self, control: Child) -> None:
        """Control stops the instances and then itself. One that could not is stood in for."""
        patience = grace.left(self.settings) + 10.0
        if control.life is not None:
            control.life.process.send(signal.SIGTERM)
            control.life.process.end(patience)
        if control.life is None or control.life.process.returncode != 0:
            say("control did not stop the instances; doing it without")
            life = begin(stop_instances(), self.settings.settings_file)
            life.process.end(patience)
            life.forget()


def _listen_at(path: Path) -> socket.socket:
    """On a UNIX socket that takes the place of one that a killed server left."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen(BACKLOG)
    return listening


def _answer(order: Order | None, said: str, code: int) -> None:
    if order is not None:
        order.say(said, done=code)
        order.client.close()


def _empty(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 4096)


def _wake_only(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD: the wake-up pipe has its byte, the next turn does the rest."""
