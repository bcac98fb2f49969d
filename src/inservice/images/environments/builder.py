"""`python -m inservice.images.environments.builder`: builds one environment and ends.

Its order comes on standard input, as one line; that pipe stays open, and when it closes nobody
wants the environment any more. What it says goes to standard output, a line each (`order.Said`).

A process of its own, so that one that is killed at any moment takes nothing with it: what it built
so far is in a directory that nobody looks at, and the lock that it held is the kernel's to let go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
from pathlib import Path

import msgspec

from inservice.images.environments import explain, installers, keeping, places
from inservice.images.environments.order import Done, Failed, Order, Progress, Said
from inservice.images.environments.pip_settings import Secrets
from inservice.images.environments.running import Runner, TookTooLong, Unwanted
from inservice.images.environments.steps import StepFailed, Steps

_NICE = 10
"""Whoever builds, gives way to whoever serves."""

_TURN_SECONDS = 0.2
_NO_ROOM_BYTES = 4 << 20
"""Of a file system: with less than this it was room that was lacking, whatever was said."""


class _Telling:
    """What this process says, without what it must not say; the same clause not twice."""

    def __init__(self, order: Order) -> None:
        wanted = order.wanted.settings.addresses if order.wanted else ()
        self._secrets = Secrets((*order.settings.addresses, *wanted))
        self.last = "the beginning"

    def progress(self, clause: str) -> None:
        """How far it has come."""
        clause = self._secrets.hidden(clause)
        if clause != self.last:
            self.last = clause
            self.say(Progress(clause))

    def failed(self, why: str, number: int = 0) -> None:
        """How it ended."""
        self.say(Failed(self._secrets.hidden(why), number))

    def say(self, said: Said) -> None:
        """Write a line. Where nobody reads any more, the lifeline has closed too."""
        with contextlib.suppress(OSError):
            os.write(1, msgspec.json.encode(said) + b"\n")


def build(order: Order, lifeline: int) -> None:
    """Have the environment there, and say how it went. Raises Unwanted."""
    telling = _Telling(order)
    store = places.Places(Path(order.directory))
    installer = installers.installer(order.uv)
    if installer is None:
        telling.failed("Neither uv nor pip runs here: `pip install uv` beside InService.")
        return
    doing = "waiting for another build of the same"
    try:
        runner = Runner(lifeline, order.seconds)
        with _turn(order, store, runner, telling), keeping.building(store):
            if store.record(order.name) is None:
                room = store.begin(order.name)
                try:
                    doing = "building it"
                    steps = Steps(order, installer, runner, room, telling.progress)
                    steps.all()
                    store.publish(steps.environment, order.name)
                finally:
                    places.clear(room)
    except StepFailed as failed:
        telling.failed(_words(failed, installer.title, order), _passes(failed, store))
    except TookTooLong:
        telling.failed(
            f"It was not there after {order.seconds:g} s, at {telling.last}: "
            "INSERVICE_IMAGE_BUILD_TIMEOUT gives it longer."
        )
    except OSError as error:
        telling.failed(f"{doing}: {error}", error.errno or 0)
    else:
        telling.say(Done())


def _turn(
    order: Order, store: places.Places, runner: Runner, telling: _Telling
) -> contextlib.ExitStack:
    """The lock of the name, once whoever builds or removes the same has done. Raises TookTooLong
    and Unwanted."""
    while True:
        holding = contextlib.ExitStack()
        try:
            holding.enter_context(store.held(order.name, wait=False))
        except places.Busy:
            telling.progress("waiting for another server that builds the same")
            runner.pause(_TURN_SECONDS)
        else:
            return holding


def _words(failed: StepFailed, tool: str, order: Order) -> str:
    """All that is known of a step that failed."""
    python = f"{tool} for Python {order.python.version}"
    said = explain.last_lines(failed.lines)
    if failed.status < 0:
        said = f"{said} It was ended by {signal.Signals(-failed.status).name}.".strip()
        if failed.status == -signal.SIGKILL:
            said += " The kernel does so when memory ends."
    advice = explain.advice(failed.lines)
    return " ".join(filter(None, (f"{failed.doing} ({python}) failed: {said}", advice)))


def _passes(failed: StepFailed, store: places.Places) -> int:
    """The errno of what the host is short of, or of a network that does not reach an index: both
    may pass. Not every installer says so when a disk is full."""
    if number := explain.shortage(failed.lines):
        return number
    if explain.is_unreached(failed.lines):
        return errno.ENETUNREACH
    with contextlib.suppress(OSError):
        if shutil.disk_usage(store.root).free < _NO_ROOM_BYTES:
            return errno.ENOSPC
    return 0


def main() -> None:
    """Build what standard input says."""
    os.nice(_NICE)
    os.umask(0o022)
    with open(0, "rb", buffering=0, closefd=False) as lifeline:
        order = msgspec.json.decode(lifeline.readline(), type=Order)
    # It may be killed together with control, or by the same hand; else what it said says enough.
    with contextlib.suppress(Unwanted):
        build(order, 0)


if __name__ == "__main__":
    main()
