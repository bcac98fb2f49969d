"""All that a supervisor owns, written down for the newer code that takes its place.

`exec` keeps the process: its pid, its children, its terminal, its lock, and every descriptor that
is told to stay open. What it does not keep is memory; that is this document, in a file without a
name. The newer code is asked first, in a process of its own, whether it can read the document and
import every program (`trial`): an exec is the one step that cannot be taken back.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from typing import Any

import msgspec

from inservice import config
from inservice.config import Settings
from inservice.supervision.orders import Order
from inservice.supervision.process import Life, Process
from inservice.supervision.programs import Sockets, programs

HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that wait while neither the old code nor the new is there to hear them."""


class LifeKept(msgspec.Struct):
    """A `Life`, as numbers."""

    name: str
    pid: int
    heartbeat: int
    words: int
    told: int
    started_at: float
    beaten_at: float
    prepared: bool
    up: bool

    def revived(self) -> Life:
        """The same process, in the hands of newer code."""
        life = Life(Process(self.pid), self.heartbeat, self.words, self.started_at, self.beaten_at)
        life.prepared, life.up, life.told = self.prepared, self.up, self.told
        return life


class OrderKept(msgspec.Struct):
    """An `Order`: whoever waits for an answer, and what he asked for."""

    client: int
    text: bytes

    def revived(self) -> Order:
        """The same client."""
        return Order(socket.socket(fileno=self.client), self.text)


class Handover(msgspec.Struct):
    """What the newer code begins with."""

    settings: dict[str, Any]
    lock: int
    public: int
    control: int
    orders_socket: int
    census: int
    lives: list[LifeKept]
    leaving: list[LifeKept]
    asking: OrderKept  # who asked for this; gets its answer from the newer code
    waiting: list[OrderKept]
    storage: int = -1  # of a server that keeps objects

    def sockets(self) -> Sockets:
        """What is listened on."""
        return Sockets(
            socket.socket(fileno=self.public),
            socket.socket(fileno=self.control),
            socket.socket(fileno=self.orders_socket),
            self.census,
            None if self.storage < 0 else socket.socket(fileno=self.storage),
        )

    def descriptors(self) -> list[int]:
        """All that has to stay open."""
        kept = [
            one for life in (*self.lives, *self.leaving) for one in (life.heartbeat, life.words)
        ]
        clients = [order.client for order in (self.asking, *self.waiting)]
        sockets = [self.public, self.control, self.orders_socket, self.storage]
        listened = [self.lock, *sockets, self.census]
        return [one for one in (*listened, *kept, *clients) if one >= 0]

    def read_settings(self) -> Settings:
        """As the server was started with."""
        return config.from_document(self.settings)


def kept_life(name: str, life: Life) -> LifeKept:
    """One process, written down."""
    return LifeKept(
        name,
        life.process.pid,
        life.heartbeat,
        life.words,
        life.told,
        life.started_at,
        life.beaten_at,
        life.prepared,
        life.up,
    )


def kept_order(order: Order) -> OrderKept:
    """One client, written down."""
    return OrderKept(order.client.fileno(), order.text)


def write(handover: Handover) -> int:
    """Into a file without a name; its descriptor."""
    document = os.memfd_create("handover", os.MFD_CLOEXEC)
    os.pwrite(document, msgspec.json.encode(handover), 0)
    return document


def read(document: int) -> Handover:
    """What was written. Raises msgspec.MsgspecError."""
    size = os.fstat(document).st_size
    return msgspec.json.decode(os.pread(document, size, 0), type=Handover)


def attempt(document: int) -> None:
    """In a process of the newer code: what would be needed is read and imported. Raises whatever
    that raises."""
    handover = read(document)
    settings = handover.read_settings()
    # Only numbers: the sockets themselves are the supervisor's, and not open here.
    with socket.socket() as stand_in:
        all_of_them = Sockets(stand_in, stand_in, stand_in, handover.census, stand_in)
        for program in programs(settings, all_of_them):
            importlib.import_module(program.module)


def become_newer_code(handover: Handover) -> None:
    """Does not return, but for OSError when there is no interpreter to become."""
    document = write(handover)
    kept = [document, *handover.descriptors()]
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        command = [sys.executable, "-m", "inservice.starting", "inservice.supervision.__main__"]
        command += [f"--handover-fd={document}"]
        os.execv(sys.executable, command)  # noqa: S606 - our own module, no shell
    finally:
        for descriptor in kept:
            os.set_inheritable(descriptor, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
        os.close(document)


def take_over(document: int) -> Handover:
    """The first thing that the newer code does. Nobody else inherits what it was given."""
    handover = read(document)
    for descriptor in handover.descriptors():
        os.set_inheritable(descriptor, False)
    os.close(document)
    return handover
