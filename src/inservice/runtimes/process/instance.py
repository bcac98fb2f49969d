"""From a bare new process to a model server: what happens between birth and the model's first line.

Reached in two ways that meet in `live`: a fork of a zygote, in milliseconds, or a new interpreter
(`python -m inservice.runtimes.process.instance`) for the models whose Environment holds variables
that only a new interpreter obeys, or whose Python no process can be forked of. Either way the
process announces itself through its gate, and waits there until the fork server has it on record; a
gate that closes instead means nobody would ever find this process again, so it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import importlib
import io
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import msgspec
import setproctitle

from inservice.runtimes.process import confinement, layers
from inservice.runtimes.process.output import LossyOutput
from inservice.runtimes.process.protocol import LINE_BYTES_MAX, Life, Newborn

OOM_SCORE = 500
"""Out of 1,000. When memory ends the kernel should take a model, never control or a gateway."""

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


def enter_session(output_fd: int, gate_fd: int) -> int:
    """After a fork: a session of our own, and no descriptor but the three standard ones and the
    gate, whose new number is returned."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # Copied above all numbers that follow, so that closing and renumbering cannot hit them.
    gate, output = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in (gate_fd, output_fd))
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2 and int(entry.name) != gate:
            with contextlib.suppress(OSError):  # the directory's own, closed by now
                os.close(int(entry.name))
    return gate


def live(gate_fd: int) -> NoReturn:
    """Be the instance that the fork server says through the gate. Leaves by SystemExit."""
    life = _pass(socket.socket(fileno=gate_fd))
    _speak_without_waiting()
    with contextlib.suppress(OSError):  # a hardened container may forbid it; nothing depends on it
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    # Bound while we still may: the model may not write where its socket is, so that it can put
    # nothing else, such as a link to the socket of another, in its place.
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(life.socket_path)
    _give_up_rights(life)
    if life.fresh or (life.layer and layers.is_in_the_way(life.layer)):
        _begin_anew(life, listening)
    _begin(life, listening)


def _give_up_rights(life: Life) -> None:
    """From here on nothing can be done that the model may not do."""
    try:
        if life.confinement is not None:
            confinement.enclose(life.confinement)
        if life.network_isolation:
            _leave_the_network()
        if life.confinement is not None:
            confinement.surrender(life.confinement)
    except OSError as error:
        sys.exit(f"This model could not be kept apart from its server: {error}")


def _begin_anew(life: Life, listening: socket.socket) -> NoReturn:
    """Become a new interpreter, which is nobody but the model from its first instruction. That of
    the layer, if there is one: from here on what its packages do at their start is the model's."""
    python = layers.python_of(life.layer) if life.layer else life.executable or sys.executable
    written = os.memfd_create("life", 0)
    os.write(written, msgspec.json.encode(msgspec.structs.replace(life, layer="")))
    listening.set_inheritable(True)
    numbers = (str(written), str(listening.fileno()))
    try:
        os.execve(  # noqa: S606 - an interpreter and our own module, no shell
            python,
            [python, "-P", "-m", "inservice.runtimes.process.instance", *numbers, life.title],
            life.environment,
        )
    except OSError as error:
        sys.exit(f"The Python of this model cannot be run: {error}")


def _begin(life: Life, listening: socket.socket) -> NoReturn:
    os.environ.clear()
    os.environ.update(life.environment)
    os.chdir(life.scratch_dir)
    # A title that is set twice is cut to the length of the first: argv and environment are reused.
    setproctitle.setproctitle(life.title)
    _draw_fresh_randomness()
    if life.layer:
        layers.enter(life.layer)
    sys.argv = ["inservice-model"]
    module, _, function = life.entry.partition(":")
    enter = getattr(importlib.import_module(module), function)
    sys.exit(enter(listening, life.model_dir))


def _pass(gate: socket.socket) -> Life:
    """Announce this process and wait to be let in."""
    with gate:
        gate.setblocking(True)
        gate.sendall(msgspec.json.encode(Newborn(pid=os.getpid())) + b"\n")
        received = bytearray()
        while not received.endswith(b"\n"):
            chunk = gate.recv(LINE_BYTES_MAX)
            if not chunk:
                os._exit(0)  # never recorded: go without a trace, and without atexit's help
            received += chunk
    return msgspec.json.decode(received, type=Life)


def _speak_without_waiting() -> None:
    for fd, name in ((1, "stdout"), (2, "stderr")):
        output = LossyOutput(fd)
        atexit.register(output.last_words)
        stream = io.TextIOWrapper(
            io.BufferedWriter(output),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    faulthandler.enable(2)  # a crash in native code says where in Python it happened


def _leave_the_network() -> None:
    """EnableNetworkIsolation: a network namespace with nothing in it, not even loopback.

    The UNIX socket, a file, is still reachable. A model that was promised isolation and cannot have
    it must not run.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNET) == 0:
        return
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        sys.exit(f"EnableNetworkIsolation cannot be kept on this host: unshare says {reason}.")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _draw_fresh_randomness() -> None:
    """Forks of one zygote share numpy's legacy generator, which would deal all of them one hand.

    The standard library reseeds itself after a fork; numpy does not.
    """
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()


def main() -> NoReturn:
    """A new interpreter: the gate, or what a former one has left to `_begin_anew`, are the first
    arguments; the last is for whoever reads `ps`."""
    gc.freeze()
    match sys.argv[1:]:
        case [gate, _]:
            live(int(gate))
        case [written, listening, _]:
            _speak_without_waiting()
            with open(int(written), "rb") as file:  # noqa: PTH123 - a descriptor
                file.seek(0)
                life = msgspec.json.decode(file.read(), type=Life)
            _begin(life, socket.socket(fileno=int(listening)))
    sys.exit(f"not as the fork server calls it: {sys.argv}")


if __name__ == "__main__":
    main()
