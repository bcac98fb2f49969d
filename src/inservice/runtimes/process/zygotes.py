"""The fork server's side of its zygotes: one for each Python, started when first asked for.

A zygote is only ever a shortcut. Whatever goes wrong with one, `fork` says False, and the caller
starts a new interpreter instead, where the same thing goes wrong in the model's own log. A module
that no zygote can be ready with, because it starts threads or cannot be imported, is left to the
instances from then on: they are forked without it. One that was killed is started again.

Each holds what its framework takes, 40 MB to 600 MB, which all its forks share. So one that has had
no instance for a while goes, however busy the others are; and of too many, the one that was used
longest ago.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from inservice.runtimes.process import records
from inservice.runtimes.process.protocol import READY, SAID_BYTES_MAX, Python
from inservice.runtimes.process.watch import Watch

SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""A zygote must have one thread (see `zygote`). It is also the right default for a model: an
endpoint scales by instances, and n instances of n threads each only take turns. A model that wants
more says so in its Environment, and is then started in a new interpreter.

With these there is one thread after an import of numpy, scikit-learn, PyTorch, Transformers,
TensorFlow, XGBoost, LightGBM or xllamacpp, and their thread pools work in a fork, where they are
begun. ONNX Runtime has a second one from its import on, and no variable against it."""

IDLE_SECONDS = 600.0
"""For how long a zygote is kept that has no instance. Ten minutes are enough to delete an endpoint
and create the next."""

RUNNING_MAX = 6
"""Zygotes at one time: more families than most hosts serve, 2 GB at the worst."""

IMPORT_SECONDS_MAX = 120.0
"""Transformers takes 8 s of a processor. What takes this long hangs, and a launch waits for it."""

SERVER = ("inservice.modelserver.main", "msgspec")
"""What every instance needs: imported before the fork, it costs an instance nothing."""

Told = Callable[[str | None], None]
"""Is told None when a zygote is ready, or what went wrong."""


@dataclass(slots=True, eq=False)
class _Zygote:
    """A process that forks instances."""

    python: Python
    link: socket.socket
    pidfd: int
    used_at: float  # monotonic seconds
    ready: bool = False
    waiting: list[Told] = field(default_factory=list)  # for its imports


class Zygotes:
    """All that run."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._running: dict[Python, _Zygote] = {}
        self._unfit: dict[Python, tuple[float, Python | None]] = {}
        """Since when none of it can be ready, and of what there is one instead; None: nothing."""

    def prepare(self, python: Python, told: Told) -> None:
        """Have one that has imported what it can. Raises OSError when none can be started."""
        fit = self._fit(python)
        if fit is None:
            told(f"{_names(python)} cannot be imported ahead of time; see the fork server's log")
            return
        zygote = self._of(fit)
        if zygote.ready:
            told(None)
        else:
            zygote.waiting.append(told)

    def fork(self, python: Python, gate: socket.socket, output: int) -> bool:
        """Have an instance forked, with these descriptors, as soon as the modules are imported."""
        fit = self._fit(python)
        if fit is None:
            return False
        try:
            zygote = self._of(fit)
            socket.send_fds(zygote.link, [b"fork"], [gate.fileno(), output])
        except OSError:  # it has just died, or has too many waiting
            return False
        return True

    def rest(self, in_use: Iterable[Python]) -> None:
        """Let go of those that were not used for long; in use are those of which instances run.
        Who asks for one again gets another."""
        now, used = time.monotonic(), set(map(self._fit, in_use))
        for zygote in (*self._running.values(),):
            if zygote.python in used:
                zygote.used_at = now
            elif now - zygote.used_at >= IDLE_SECONDS:
                self._lose(zygote, "the process that imports was not used")

    def _of(self, python: Python) -> _Zygote:
        if (zygote := self._running.get(python)) is not None:
            zygote.used_at = time.monotonic()
            return zygote
        self._make_room()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                theirs.set_inheritable(True)
                pid = os.posix_spawn(
                    python.path,
                    [
                        *(python.path, "-s", "-P", "-m", "inservice.runtimes.process.zygote"),
                        *(str(theirs.fileno()), *python.preimports),
                    ],
                    environment(python),
                    setsid=True,
                    setsigdef=[signal.SIGPIPE],
                )
        except OSError:
            ours.close()
            raise
        pidfd = os.pidfd_open(pid)  # our child, which nobody has reaped yet
        zygote = self._running[python] = _Zygote(python, ours, pidfd, time.monotonic())
        self._watch.readable(ours.fileno(), lambda: self._hear(zygote))
        self._watch.patiently(IMPORT_SECONDS_MAX, lambda: self._end_a_hang(zygote))
        return zygote

    def _make_room(self) -> None:
        """For one more. One that imports is left alone: somebody waits for it."""
        idle = [zygote for zygote in self._running.values() if zygote.ready]
        if len(self._running) >= RUNNING_MAX and idle:
            last = min(idle, key=lambda zygote: zygote.used_at)
            self._lose(last, "the process that imports made room for another")

    def _hear(self, zygote: _Zygote) -> None:
        """A zygote is ready, or never will be, or is dead. A dead one is started again when it is
        next asked for."""
        try:
            said = _heard(zygote.link)
        except (BlockingIOError, InterruptedError):
            return
        names = _names(zygote.python)
        if said == READY:
            zygote.ready = True
            for told in zygote.waiting:
                told(None)
            zygote.waiting.clear()
        elif said:
            module, _, why = said.decode(errors="replace").partition("\0")
            self._is_unfit(zygote, module, why)
        else:
            self._lose(zygote, f"the process that imports {names} ended; see its log")

    def _end_a_hang(self, zygote: _Zygote) -> None:
        if not zygote.ready and self._running.get(zygote.python) is zygote:
            records.send(zygote.pidfd, signal.SIGKILL)
            why = f"it was not imported after {IMPORT_SECONDS_MAX:.0f} s"
            self._is_unfit(zygote, _names(zygote.python), why)

    def _is_unfit(self, zygote: _Zygote, module: str, why: str) -> None:
        """None of this Python will be ready: from now on there is one without the module, and if it
        is none of the image's, none at all."""
        python = zygote.python
        rest = tuple(name for name in python.preimports if name != module)
        own = module in python.preimports and module not in SERVER
        instead = msgspec.structs.replace(python, preimports=rest) if own else None
        # To the log of the fork server, once for as long as it is remembered.
        sys.stderr.write(
            f"{module} cannot be imported ahead of time in {python.path}: {why}. Instances "
            f"{'import it themselves' if own else 'are started in new interpreters'}.\n"
        )
        self._unfit[python] = (time.monotonic(), instead)
        waiting, zygote.waiting = zygote.waiting, []
        self._lose(zygote, "")
        for told in waiting:
            self.prepare(python, told)

    def _fit(self, python: Python | None) -> Python | None:
        """What there is a zygote of for this Python; None: of nothing. What stood in the way may be
        mended after a while."""
        while python in self._unfit:
            since, instead = self._unfit[python]
            if time.monotonic() - since >= IDLE_SECONDS:
                del self._unfit[python]
                break
            python = instead
        return python

    def _lose(self, zygote: _Zygote, why: str) -> None:
        """It ends when its link closes, after it has forked what it was asked to."""
        self._watch.forget(zygote.link.fileno())
        zygote.link.close()
        os.close(zygote.pidfd)
        del self._running[zygote.python]
        for told in zygote.waiting:
            told(why)


def _heard(link: socket.socket) -> bytes:
    """What a zygote says; nothing when it is dead. One that ended before it had read that it is to
    fork is an error first, and what it said before is still there after that."""
    for _ in range(2):
        try:
            return link.recv(SAID_BYTES_MAX)
        except ConnectionError:
            continue
    return b""


def environment(python: Python) -> dict[str, str]:
    """What a process of this Python starts with: what the fork server has, which is clean, and what
    its image sets, but not how many threads there are."""
    return {**os.environ, **dict(python.variables), **SINGLE_THREADED}


def _names(python: Python) -> str:
    """What it imports, of the image's: what all have is not what goes wrong."""
    own = [name for name in python.preimports if name not in SERVER]
    return ", ".join(own or python.preimports) or "nothing"
