"""What a server consists of: each program with its arguments and the sockets that it is handed."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from inservice.config import OFF, Settings

CONTROL = "control"
STORAGE = "storage"


@dataclass(frozen=True, slots=True)
class Program:
    """One process that is to run for as long as the server does."""

    name: str
    module: str  # whose `main` it runs
    arguments: tuple[str, ...]
    handed_down: tuple[int, ...]  # descriptors of the supervisor's that it inherits
    beats: bool  # its heart is watched: one that falls silent is stuck, and is killed
    side_by_side: bool
    """A new one can serve beside the old one; else the old one steps aside for it first."""
    slot: int = -1  # of the census, for those that share a socket


@dataclass
class Sockets:
    """What is listened on. The supervisor owns it, and accepts itself on none but `orders`."""

    public: socket.socket
    control: socket.socket
    orders: socket.socket
    census: int  # how many clients each worker has, see transport.census
    storage: socket.socket | None = None  # of a server that keeps objects

    def descriptors(self) -> list[int]:
        """All of them."""
        return [*(listening.fileno() for listening in self._listening()), self.census]

    def close(self) -> None:
        """Listen no more."""
        for listening in self._listening():
            listening.close()

    def _listening(self) -> list[socket.socket]:
        behind = [] if self.storage is None else [self.storage]
        return [self.public, self.control, self.orders, *behind]


def programs(settings: Settings, sockets: Sockets) -> list[Program]:
    """All programs, in the order in which they are started and replaced."""
    storage = [] if sockets.storage is None else [_storage(sockets.storage)]
    return [
        _control(sockets),
        *storage,
        *(_gateway(settings, sockets, index) for index in range(settings.workers)),
    ]


def _control(sockets: Sockets) -> Program:
    listen = sockets.control.fileno()
    return Program(
        name=CONTROL,
        module="inservice.app.__main__",
        arguments=(f"--listen-fd={listen}",),
        handed_down=(listen,),
        beats=False,
        side_by_side=False,  # one process alone may have the store open
    )


def _storage(listening: socket.socket) -> Program:
    listen = listening.fileno()
    return Program(
        name=STORAGE,
        module="inservice.storage.__main__",
        arguments=(f"--listen-fd={listen}",),
        handed_down=(listen,),
        beats=True,
        side_by_side=False,  # one process alone may have the objects open
    )


def _gateway(settings: Settings, sockets: Sockets, index: int) -> Program:
    listen, run_dir = sockets.public.fileno(), settings.run_dir
    behind = () if settings.storage == OFF else (f"--storage={run_dir / 'storage.sock'}",)
    return Program(
        name=f"gateway-{index}",
        module="inservice.gateway.worker",
        arguments=(
            f"--listen-fd={listen}",
            f"--census-fd={sockets.census}",
            f"--index={index}",
            f"--routes={run_dir / 'routes.json'}",
            f"--channel={run_dir / 'routes.sock'}",
            f"--control={run_dir / 'control.sock'}",
            f"--body-bytes-max={settings.body_bytes_max}",
            f"--drain-seconds={settings.drain_seconds}",
            *behind,
        ),
        handed_down=(listen, sockets.census),
        beats=True,
        side_by_side=True,
        slot=index,
    )


def stop_instances() -> Program:
    """What stops the instances of a control that could not."""
    return Program(
        "stop-instances", "inservice.app.__main__", ("--stop-instances",), (), False, True
    )


def trial(document: int) -> Program:
    """Newer code is asked whether it could take over what is written in a descriptor."""
    arguments = (f"--trial-fd={document}",)
    return Program("trial", "inservice.supervision.__main__", arguments, (document,), False, True)
