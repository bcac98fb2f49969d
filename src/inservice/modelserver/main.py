"""An instance's life: load the model, answer, drain.

    python -m inservice.modelserver --unix PATH | --port N  [--model-dir DIR]

or, already inside the process that is to be the instance, `run(socket_path, model_dir)`. Settings
come from the model's Environment (see `settings`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import uvloop

from inservice.modelserver.frameworks.sklearn import NoModel
from inservice.modelserver.handlers import BadProgram, Model, import_program
from inservice.modelserver.server import ModelServer
from inservice.modelserver.settings import BadSetting, Settings, settings_from
from inservice.transport.limits import MIB, Limits
from inservice.transport.server import serve

COULD_NOT_LOAD = 1
"""The exit status of an instance whose model cannot be loaded."""

UNREACHABLE_SECONDS = 10.0
"""How often an instance makes sure that its socket is still there. If somebody deletes the run
directory nobody can reach the instance again, nor find it to end it, so it ends by itself."""

_LIMITS = Limits(idle_seconds=600.0, body_bytes=1024 * MIB)
"""Our only clients are the gateways of this host: they pool their connections for longer than a
browser would and close them themselves, and they hold the one limit on payloads that is a setting.
A second one here could only disagree with it."""


def run(socket_path: str, model_dir: str | None) -> int:
    """Serve on a UNIX socket until SIGTERM. Returns the exit status."""
    return _run(model_dir, path=socket_path)


def run_on_port(port: int, model_dir: str | None) -> int:
    """Serve on a TCP port of all interfaces, as inside a container."""
    listening = socket.create_server(("", port), backlog=2048)
    return _run(model_dir, sockets=[listening])


def _run(
    model_dir: str | None, *, path: str | None = None, sockets: list[socket.socket] | None = None
) -> int:
    try:
        settings = settings_from(os.environ, model_dir)
        logging.basicConfig(
            stream=sys.stdout, level=settings.log_level, format="%(levelname)s %(name)s %(message)s"
        )
        model, phases = _load(settings)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
        _say_why(error)
        return COULD_NOT_LOAD
    uvloop.run(_serve(model, settings, phases, path=path, sockets=sockets))
    return 0


def _load(settings: Settings) -> tuple[Model, dict[str, float]]:
    """The model, and how many seconds importing its code and loading it took."""
    began = time.monotonic()
    program = import_program(settings)
    imported = time.monotonic()
    model = Model(program, settings)
    loaded = time.monotonic()
    # What the model is made of lives as long as the process: a full collection need not walk it.
    gc.freeze()
    return model, {"import": imported - began, "load": loaded - imported}


async def _serve(
    model: Model,
    settings: Settings,
    phases: dict[str, float],
    *,
    path: str | None,
    sockets: list[socket.socket] | None,
) -> None:
    os.register_at_fork(
        before=_hold_sigterm, after_in_parent=_release_sigterm, after_in_child=_be_no_server
    )
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    answering = ModelServer(model, settings, phases)
    server = await serve(answering.answer, path=path, sockets=sockets, limits=_LIMITS)
    while not told_to_end.is_set() and _is_reachable(path):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told_to_end.wait(), UNREACHABLE_SECONDS)
    await server.drain(settings.timeout_seconds)
    answering.stop()


def _is_reachable(path: str | None) -> bool:
    """Whether the way to us is still there; a port always is."""
    return path is None or Path(path).is_socket()


def _hold_sigterm() -> None:
    """Before the user's code forks: the child gets no SIGTERM until it is its own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _be_no_server() -> None:
    """In a process that the user's code forks: SIGTERM is its own again.

    The loop hears of signals through a descriptor that a fork shares. Without this, ending a worker
    of a multiprocessing.Pool with SIGTERM told the instance itself to end.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release_sigterm()


def _say_why(error: BaseException) -> None:
    """The traceback, then one last line that says it all: it becomes part of a FailureReason."""
    if not isinstance(error, BadSetting | BadProgram | NoModel):
        traceback.print_exception(error)
    notes = " ".join(getattr(error, "__notes__", ()))
    words = (
        str(error)
        if isinstance(error, BadSetting | BadProgram | NoModel)
        else (f"{type(error).__name__}: {error}")
    )
    sys.stderr.write(f"The model could not be loaded: {words} {notes}".rstrip() + "\n")
    sys.stderr.flush()
