"""What a server consists of: each program with its arguments and the sockets that it is handed."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from inservice.config import Settings

CONTROL = "control"


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
    """What is listened on. The supervisor owns it and never accepts on the first two itself."""

    public: socket.socket
    control: socket.socket
    orders: socket.socket
    census: int  # how many clients each worker has, see transport.census

    def descriptors(self) -> list[int]:
        """All of them."""
        return [self.public.fileno(), self.control.fileno(), self.orders.fileno(), self.census]

    def close(self) -> None:
        """Listen no more."""
        for listening in (self.public, self.control, self.orders):
            listening.close()


def programs(settings: Settings, sockets: Sockets) -> list[Program]:
    """All programs, in the order in which they are started and replaced."""
    return [
        _control(sockets),
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


def _gateway(settings: Settings, sockets: Sockets, index: int) -> Program:
    listen, run_dir = sockets.public.fileno(), settings.run_dir
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
