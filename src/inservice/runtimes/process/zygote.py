"""A process that has imported what models need, and does nothing but fork.

Importing scikit-learn takes a second, PyTorch two, Transformers and TensorFlow several; forking a
process that has imported it takes milliseconds (27 times faster from launch to the first answered
/ping, measured). The zygote is apart from the
fork server so that a second of imports, or a crash in one, holds up no one else's log and no exit.

It has one thread, always: a fork copies only the thread that forks, so a lock that another one held
would stay locked in every model for ever. That is why the thread pools of the numeric libraries are
told to stay at one (`zygotes.SINGLE_THREADED`) before anything is imported. A module that starts
one all the same is named instead of being ready; so is one that cannot be imported.

Each instance is the child of a child that ends at once, so it becomes the child of the fork server
(a subreaper), which then learns how it ends, whatever happens to this process.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import threading
from pathlib import Path

import setproctitle

from inservice.runtimes.process import instance
from inservice.runtimes.process.protocol import READY, SAID_BYTES_MAX


def wait_to_fork(link: socket.socket) -> tuple[int, int] | None:
    """Fork on demand. Returns in each instance, with the descriptors of its gate and its output,
    and in the zygote itself, with None, when the fork server is gone."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(link, 16, 2)
        if not message:
            return None
        gate, output = descriptors
        child = os.fork()
        if child == 0:
            if os.fork() != 0:
                os._exit(0)
            return gate, output
        os.close(gate)
        os.close(output)
        os.waitpid(child, 0)


def _refuse(link: socket.socket, module: str, why: str) -> None:
    """Say that this will never be ready, because of that module."""
    link.sendall(f"{module}\0{why}".encode()[:SAID_BYTES_MAX])


def main() -> None:
    """`python -m inservice.runtimes.process.zygote <link fd> <module>…`"""
    link = socket.socket(fileno=int(sys.argv[1]))
    modules = sys.argv[2:]
    setproctitle.setproctitle(f"inservice: zygote {' '.join(modules)}")
    # Objects that live as long as the process are not collected while they are made, and are put
    # out of the collector's sight after: its marks would otherwise copy every page in every fork.
    gc.disable()
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:
            _refuse(link, name, f"{type(error).__name__}: {error}")
            raise
        threads = len(list(Path("/proc/self/task").iterdir()))
        if threads != 1 or threading.active_count() != 1:
            why = f"{threads} threads run after it was imported, and a fork has one of them"
            _refuse(link, name, why)
            sys.exit(f"{name}: {why}")
    gc.collect()
    gc.freeze()
    gc.enable()
    link.sendall(READY)
    if (born := wait_to_fork(link)) is not None:
        link.detach()  # the number is about to be another file's
        gate, output = born
        instance.live(instance.enter_session(output, gate))


if __name__ == "__main__":
    main()
