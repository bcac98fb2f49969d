"""What a supervisor is asked to do, over a socket that only its own user can reach.

One line each way of asking, then a line of JSON for everything that is said, the last with the
outcome. Orders are carried out one after the other: who asks while another's is under way waits for
it. A client that leaves changes nothing of what it asked for.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

RELOAD = "reload"  # new gateway workers
RESTART = "restart"  # new everything, but for the instances

_LONGEST = 64


class Outcome(msgspec.Struct):
    """A line of the answer; `done` is the exit code, in the last one."""

    said: str = ""
    done: int | None = None


class SupervisorLost(Exception):
    """The supervisor ended before it had said how it went."""


@dataclass
class Order:
    """A client that asks, and what it has said so far."""

    client: socket.socket
    text: bytes = b""

    @property
    def word(self) -> str:
        """What is asked for, or empty while the line is not complete."""
        line, newline, _ = self.text.partition(b"\n")
        return line.decode(errors="replace") if newline else ""

    def say(self, text: str, done: int | None = None) -> None:
        """Tell the client, if it is still there and reads."""
        with contextlib.suppress(OSError):
            self.client.sendall(msgspec.json.encode(Outcome(text, done)) + b"\n")


@dataclass
class Orders:
    """The supervisor's end."""

    listening: socket.socket
    selector: selectors.BaseSelector
    waiting: list[Order] = field(default_factory=list)
    """In the order of their arrival; those that have not said anything yet included."""

    def __post_init__(self) -> None:
        self.listening.setblocking(False)
        self.selector.register(self.listening, selectors.EVENT_READ, self._arrive)
        for order in self.waiting:
            self._follow(order)

    def next(self) -> Order | None:
        """The next order to carry out, taken from those that wait."""
        for order in self.waiting:
            if order.word:
                self._drop(order)
                return order
        return None

    def _arrive(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self.listening.accept()
            _, uid, _ = struct.unpack(
                "3i",
                client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")),
            )
            if uid not in (0, os.getuid()):
                client.close()
                return
            order = Order(client)
            self.waiting.append(order)
            self._follow(order)

    def _follow(self, order: Order) -> None:
        order.client.setblocking(False)
        if not order.word:
            self.selector.register(order.client, selectors.EVENT_READ, lambda: self._hear(order))

    def _hear(self, order: Order) -> None:
        try:
            said = order.client.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        order.text += said
        if order.word:
            self.selector.unregister(order.client)
        elif not said or len(order.text) > _LONGEST:
            self._drop(order)
            order.client.close()

    def _drop(self, order: Order) -> None:
        self.waiting.remove(order)
        if not order.word:
            self.selector.unregister(order.client)


def listen(path: Path) -> socket.socket:
    """The socket that orders come in on."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(16)
    return listening


def ask(path: Path, word: str, hear: Callable[[str], None], patience: float) -> int:
    """Ask a supervisor, pass on what it says, and give its outcome.

    Raises SupervisorLost when it ends meanwhile or says nothing for `patience` seconds, OSError
    when there is none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(patience)
        client.connect(str(path))
        client.sendall(word.encode() + b"\n")
        try:
            for line in client.makefile("rb"):
                outcome = msgspec.json.decode(line, type=Outcome)
                if outcome.said:
                    hear(outcome.said)
                if outcome.done is not None:
                    return outcome.done
        except TimeoutError:
            raise SupervisorLost(f"the supervisor has said nothing for {patience:.0f} s") from None
        except (OSError, msgspec.MsgspecError) as broken:
            raise SupervisorLost(f"the supervisor is lost: {broken}") from None
    raise SupervisorLost("the supervisor ended before it was done")
