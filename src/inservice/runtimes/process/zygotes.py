"""The fork server's side of its zygotes: one for each set of modules, started when first asked for.

A zygote is only ever a shortcut. Whatever goes wrong with one, `fork` says False, and the caller
starts a new interpreter instead, where the same thing goes wrong in the model's own log.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from inservice.runtimes.process.watch import Watch

SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""A zygote must have one thread (see `zygote`). It is also the right default for a model: an
endpoint scales by instances, and n instances of n threads each only take turns. A model that wants
more says so in its Environment, and is then started in a new interpreter."""

Told = Callable[[str | None], None]
"""Is told None when a zygote is ready, or what went wrong."""


@dataclass(slots=True, eq=False)
class _Zygote:
    """A process that forks instances."""

    link: socket.socket
    ready: bool = False
    waiting: list[Told] = field(default_factory=list)  # for its imports


class Zygotes:
    """All that run."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._running: dict[tuple[str, ...], _Zygote] = {}

    def prepare(self, preimports: tuple[str, ...], told: Told) -> None:
        """Have one with these modules imported. Raises OSError when none can be started."""
        zygote = self._of(preimports)
        if zygote.ready:
            told(None)
        else:
            zygote.waiting.append(told)

    def fork(self, preimports: tuple[str, ...], gate: socket.socket, output: int) -> bool:
        """Have an instance forked, with these descriptors, as soon as the modules are imported."""
        try:
            zygote = self._of(preimports)
            socket.send_fds(zygote.link, [b"fork"], [gate.fileno(), output])
        except OSError:  # it has just died, or has too many waiting
            return False
        return True

    def end(self) -> None:
        """Let all of them go: they end when their link closes. The next `fork` starts another."""
        for preimports, zygote in (*self._running.items(),):
            self._lose(preimports, zygote, "the process that imports was not used")

    def _of(self, preimports: tuple[str, ...]) -> _Zygote:
        if (zygote := self._running.get(preimports)) is not None:
            return zygote
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            theirs.set_inheritable(True)
            os.posix_spawn(
                sys.executable,
                [
                    *(sys.executable, "-I", "-m", "inservice.runtimes.process.zygote"),
                    *(str(theirs.fileno()), *preimports),
                ],
                {**os.environ, **SINGLE_THREADED},
                setsid=True,
                setsigdef=[signal.SIGPIPE],
            )
        zygote = self._running[preimports] = _Zygote(ours)
        self._watch.readable(ours.fileno(), lambda: self._hear(preimports, zygote))
        return zygote

    def _hear(self, preimports: tuple[str, ...], zygote: _Zygote) -> None:
        """A zygote is ready, or dead. A dead one is started again when it is next asked for."""
        try:
            zygote.ready = bool(zygote.link.recv(16))
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            zygote.ready = False
        if not zygote.ready:
            words = f"the process that imports {', '.join(preimports)} ended; see its log"
            self._lose(preimports, zygote, words)
            return
        for told in zygote.waiting:
            told(None)
        zygote.waiting.clear()

    def _lose(self, preimports: tuple[str, ...], zygote: _Zygote, why: str) -> None:
        self._watch.forget(zygote.link.fileno())
        zygote.link.close()
        del self._running[preimports]
        for told in zygote.waiting:
            told(why)
