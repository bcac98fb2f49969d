"""An instance's life: load the model, answer, drain.

    python -m inservice.modelserver --unix PATH | --port N  [--model-dir DIR]

or, already inside the process that is to be the instance, `run(listening, model_dir)`. Settings
come from the model's Environment (see `settings`).

The main thread is the first worker's, since only there can user code set the handlers of signals;
the server's loop has a thread of its own. With INSERVICE_INLINE both are the main thread. Whichever
of them ends, the process ends: an instance that is alive and cannot answer would be the worst of
all.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import queue
import select
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from inservice.modelserver.batching import Inline, Lane, RunBatch, Runner, Workers
from inservice.modelserver.failures import said_by, traceback_of
from inservice.modelserver.frameworks.base import Framework, NoModel
from inservice.modelserver.frameworks.select import by_image
from inservice.modelserver.handlers import Model
from inservice.modelserver.program import BadProgram, Program, import_program
from inservice.modelserver.server import ModelServer, batch_size, running, takes_batches
from inservice.modelserver.settings import BadSetting, Settings, settings_from
from inservice.transport.limits import MIB, Limits
from inservice.transport.server import Server, serve

COULD_NOT_LOAD = 1
"""The exit status of an instance whose model cannot be loaded."""

END_SECONDS = 5.0
"""How long the user's code may hold up the end of the process once the last answer is out: a
handler that hangs, threads that are no daemons, atexit handlers. After that it ends without them,
and the log says where it hung."""

UNREACHABLE_SECONDS = 10.0
"""How often an instance makes sure that its socket is still there. If somebody deletes the run
directory nobody can reach the instance again, nor find it to end it, so it ends by itself."""

LEFT_SECONDS = 0.25
"""How often a draining instance looks which of its clients are still there."""

_LIMITS = Limits(idle_seconds=600.0, body_bytes=1024 * MIB)
"""Our only clients are the gateways of this host: they pool their connections for longer than a
browser would and close them themselves, and they hold the one limit on payloads that is a setting.
A second one here could only disagree with it."""

_ENDS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("inservice.modelserver")


def run(listening: socket.socket, model_dir: str | None) -> int:
    """Serve on a bound UNIX socket until SIGTERM. Returns the exit status.

    It comes bound because an instance may not write to the directory that its socket is in.
    """
    return _run(model_dir, _Door(path=listening.getsockname(), listening=listening))


def run_at(socket_path: str, model_dir: str | None) -> int:
    """The same at a path of which this process is the master: it is there once it answers."""
    return _run(model_dir, _Door(path=socket_path))


def run_on_port(port: int, model_dir: str | None, host: str = "") -> int:
    """Serve on a TCP port, of all interfaces as inside a container."""
    return _run(model_dir, _Door(listening=socket.create_server((host, port), backlog=2048)))


@dataclass(frozen=True, slots=True)
class _Door:
    """Where requests come in: a port, a UNIX socket, or one that comes bound to its path."""

    path: str | None = None
    listening: socket.socket | None = None

    def is_there(self) -> bool:
        """Whether the way to us is still there; a port always is."""
        if self.path is None:
            return True
        try:
            status = Path(self.path).stat()
        except OSError:
            return False
        # What is mounted into a view of its own is there as long as the view; the links tell.
        return stat.S_ISSOCK(status.st_mode) and status.st_nlink > 0


def _run(model_dir: str | None, door: _Door) -> int:
    try:
        settings = settings_from(os.environ, model_dir)
        logging.basicConfig(
            stream=sys.stdout, level=settings.log_level, format="%(levelname)s %(name)s %(message)s"
        )
        began = time.monotonic()
        image = by_image(settings)
        program = import_program(settings) if image is None else image.program_of()
        if image is not None:
            settings = image.tuned(settings)
            image.use(program)
        imported = time.monotonic()
        workers = Workers(
            settings.workers,
            size_max=batch_size(program, settings, image),
            delay_seconds_max=settings.batch_delay_seconds_max,
        )
        batches = takes_batches(program, settings, image)
        model = _load(workers, program, settings, image, batches=batches)
        loaded = time.monotonic()
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        _say_why(error)
        _end_soon()
        return COULD_NOT_LOAD
    # What the model is made of lives as long as the process: a full collection need not walk it.
    gc.freeze()
    phases = {"import": imported - began, "load": loaded - imported}
    run = running(model, 0, batches=batches)
    if settings.inline:
        return _Serving(door, settings, phases, Inline(run), lambda: None, model.plug).live()
    return _work(workers, run, _Serving(door, settings, phases, workers, workers.stop, model.plug))


def _load(
    workers: Workers,
    program: Program,
    settings: Settings,
    image: Framework | None,
    *,
    batches: bool,
) -> Model:
    """Have every worker load its model, one after the other, the first on this thread: what
    model_fn downloads or compiles is then there for the next. Returns the first's."""
    lane = workers.lanes[0]
    lane.enter()
    first: Model = lane.complete(Model.load(program, settings, None, image))
    for number, lane in enumerate(workers.lanes[1:], 1):
        loaded: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def live(
            lane: Lane = lane,
            number: int = number,
            loaded: queue.SimpleQueue[BaseException | None] = loaded,
        ) -> None:
            try:
                lane.enter()
                model: Model = lane.complete(Model.load(program, settings, first, image))
            except BaseException as error:  # noqa: BLE001 - raised again on the main thread
                loaded.put(error)
                return
            loaded.put(None)
            _work_on(lane, running(model, number, batches=batches))

        # Daemons, so that a call that never returns cannot hold up the end of the process.
        threading.Thread(target=live, name=f"model-{number}", daemon=True).start()
        if (error := loaded.get()) is not None:
            raise error
    return first


def _work(workers: Workers, run: RunBatch, serving: _Serving) -> int:
    """Be the first worker, with the server beside it on a thread of its own."""
    with _signals_told(serving):
        threading.Thread(target=serving.live, name="server", daemon=True).start()
        _work_on(workers.lanes[0], run)
        serving.ended.wait()
    return serving.status


def _work_on(lane: Lane, run: RunBatch) -> None:
    """Work until the end. A worker that ends otherwise takes the process along: it would be pinged
    and answer, and no request ever would be."""
    try:
        lane.work(run)
    except BaseException as error:  # noqa: BLE001 - whatever it was, it was the last of this worker
        _log.critical("a worker has ended, and the instance with it\n%s", traceback_of(error))
        os._exit(COULD_NOT_LOAD)


class _Serving:
    """The server and its loop, on whichever thread `live` is called."""

    def __init__(
        self,
        door: _Door,
        settings: Settings,
        phases: dict[str, float],
        runner: Runner,
        stop: Callable[[], None],
        plug: Framework,
    ) -> None:
        self._door = door
        self._settings = settings
        self._phases = phases
        self._runner = runner
        self._stop = stop
        self._plug = plug
        self.signals, self.told = socket.socketpair()
        """A byte in `told` is the number of a signal that has come; `signals` is read from."""
        self.ended = threading.Event()
        self.status = 0

    def live(self) -> int:
        """Serve until SIGTERM, then see to it that the process ends. Returns its exit status."""
        try:
            uvloop.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the process ends by it, and says so
            _log.critical("the server has ended\n%s", traceback_of(error))
            self.status = COULD_NOT_LOAD
        _end_soon()
        self._stop()
        self.ended.set()
        return self.status

    async def _serve(self) -> None:
        loop, told_to_end = asyncio.get_running_loop(), asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in _ENDS:
                loop.add_signal_handler(number, told_to_end.set)
        else:
            self.signals.setblocking(False)
            loop.add_reader(self.signals, self._hear, told_to_end)
        os.register_at_fork(
            before=_hold_signals, after_in_parent=_release_signals, after_in_child=_be_no_server
        )
        if isinstance(self._runner, Workers):
            self._runner.serve(loop)
        answering = ModelServer(self._runner, self._phases, self._plug)
        sockets = [self._door.listening] if self._door.listening is not None else None
        path = self._door.path if sockets is None else None
        server = await serve(answering.answer, path=path, sockets=sockets, limits=_LIMITS)
        while not told_to_end.is_set() and self._door.is_there():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told_to_end.wait(), UNREACHABLE_SECONDS)
        await _drain(server, self._settings.timeout_seconds)

    def _hear(self, told_to_end: asyncio.Event) -> None:
        if not set(self.signals.recv(4096)).isdisjoint(_ENDS):
            told_to_end.set()


async def _drain(server: Server, seconds: float) -> None:
    """Finish what somebody waits for. A handler that hangs for a gateway that is gone, as all are
    when everything is stopped, would hold up the end for nobody."""
    draining = asyncio.create_task(server.drain(seconds))
    while not draining.done():
        for connection in tuple(server.connections):
            if _has_left(connection.transport):
                connection.transport.abort()
        await asyncio.wait([draining], timeout=LEFT_SECONDS)
    await draining


def _has_left(transport: asyncio.Transport) -> bool:
    """Whether the other end of a UNIX socket is closed altogether, which its end of file does not
    tell: a client may close one half and wait for its answer with the other."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return bool(poll.poll(0))


@contextmanager
def _signals_told(serving: _Serving) -> Iterator[None]:
    """Tell the server's thread of SIGTERM, however busy this one is.

    The descriptor hears of a signal at once; the handler is run when the interpreter comes to it,
    and does the same where user code took the descriptor (as `loop.add_signal_handler` does).
    """
    serving.told.setblocking(False)

    def tell(number: int, _: object) -> None:
        with contextlib.suppress(OSError):  # full: it has been told often enough
            serving.told.send(bytes([number]))

    signal.set_wakeup_fd(serving.told.fileno(), warn_on_full_buffer=False)
    for number in _ENDS:
        signal.signal(number, tell)
    yield


def _hold_signals() -> None:
    """Before the user's code forks: the child gets no SIGTERM until it is its own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


def _be_no_server() -> None:
    """In a process that the user's code forks: signals are its own again.

    The server hears of them through a descriptor that a fork shares. Without this, ending a worker
    of a multiprocessing.Pool with SIGTERM told the instance itself to end.
    """
    signal.set_wakeup_fd(-1)
    for number in _ENDS:
        signal.signal(number, signal.SIG_DFL)
    _release_signals()


def _end_soon() -> None:
    """Whatever the user's code does from here on, the process ends. By a thread of C: it asks for
    no lock that a hanging interpreter could hold."""
    faulthandler.dump_traceback_later(END_SECONDS, exit=True, file=2)


def _say_why(error: BaseException) -> None:
    """The traceback, then one last line that says it all: it becomes part of a FailureReason."""
    if isinstance(error, BadSetting | BadProgram | NoModel):
        words = str(error)
    else:
        sys.stderr.write(traceback_of(error) + "\n")
        words = said_by(error)
    notes = " ".join(getattr(error, "__notes__", ()))
    sys.stderr.write(f"The model could not be loaded: {words} {notes}".rstrip() + "\n")
    sys.stderr.flush()
