"""`python -m inservice.app.foreground ORDER`: serve a model folder until Ctrl-C; see the package.

The order is one JSON document, as `inservice model run` writes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from inservice.app.foreground.folder import Seen, seen, unpacked
from inservice.app.foreground.served import Address, Served
from inservice.artifacts.errors import ArtifactError
from inservice.contract import CODE_DIRECTORY
from inservice.images.base import EnvironmentImage, NotRunnable
from inservice.images.environments.built import BuiltEnvironments
from inservice.images.resolve import Catalogue
from inservice.runtimes.base import EnvironmentUnavailable
from inservice.runtimes.process.pythons import FRAMEWORK, found_first
from inservice.runtimes.process.runtime import KEPT_FROM_HOST
from inservice.runtimes.process.zygotes import SINGLE_THREADED

_LOOK_SECONDS = 0.3
"""Between two looks for changes; and as long nothing more has to change before a new start, for an
editor writes more than one file."""

_HOST = "127.0.0.1"
_EXAMPLES = {
    "request.json": "application/json",
    "request.csv": "text/csv",
    "request.txt": "text/plain",
}
"""Files in a model's folder, or beside it, that hold a request to try it with."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve, and how."""

    place: str  # a folder, or an archive
    image: str
    port: int
    environment: dict[str, str]
    environments_dir: str


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


class _Foreground:
    """Start, wait for a change, start again."""

    def __init__(self, order: Order, image: EnvironmentImage, scratch: Path) -> None:
        self._order = order
        self._image = image
        self._scratch = scratch
        self._place = Path(order.place)
        self._address = Address(_HOST, order.port or _free_port())
        self._environments = BuiltEnvironments(
            Path(order.environments_dir),
            apart=(sys.executable, "-I", "-m", "inservice.runtimes.process.apart"),
        )

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                before = seen(self._place)
                try:
                    with unpacked(self._place) as model:
                        await self._serve(model, before)
                except (ArtifactError, EnvironmentUnavailable, OSError) as error:
                    _say(f"\n{error}\nWaiting for a change of {self._place}.")
                    await self._changed(before)
                _say(f"\n{self._place} has changed.")
        finally:
            await self._environments.close()

    async def _serve(self, model: Path, before: Seen) -> None:
        """One life, until a file is another. Raises EnvironmentUnavailable, OSError."""
        code = model / CODE_DIRECTORY
        tell = lambda clause: _say(f"… {clause}")  # noqa: E731
        interpreter = await self._environments.interpreter(
            self._image, code if code.is_dir() else None, tell
        )
        environment = {
            **{name: value for name, value in os.environ.items() if name in KEPT_FROM_HOST},
            **SINGLE_THREADED,
            **{name: os.environ.get(name, str(self._scratch)) for name in ("HOME", "USER")},
            **({FRAMEWORK: self._image.framework} if self._image.framework else {}),
            **found_first(interpreter.executable or sys.executable),
            **interpreter.variables,
            "PYTHONUNBUFFERED": "1",
            **self._order.environment,
        }
        served = await Served.start(interpreter, model, environment, self._address, self._scratch)
        watching = asyncio.create_task(self._changed(before))
        telling = asyncio.create_task(self._tell(served))
        try:
            await watching
        finally:
            for task in (watching, telling):
                task.cancel()
            await asyncio.gather(watching, telling, return_exceptions=True)
            await asyncio.shield(served.stop())

    async def _tell(self, served: Served) -> None:
        """That it answers, and how to ask it; then why it does not any more."""
        if await served.ready():
            _say(f"\nServing {self._place} at {self._address}. Try:\n  {self._curl()}")
            _say("Ctrl-C ends it; a file that changes starts it anew.")
        _say(f"\n{await served.ended()}\nWaiting for a change of {self._place}.")

    def _curl(self) -> str:
        """A request in a line of shell: the folder's own example, or an empty one."""
        kind, data = "application/json", "[]"
        for name, its in _EXAMPLES.items():
            for directory in (self._place, self._place.parent):
                if data == "[]" and (directory / name).is_file():
                    kind, data = its, f"@{directory / name}"
        where = f"{self._address}/invocations"
        return shlex.join(["curl", "-H", f"Content-Type: {kind}", "--data-binary", data, where])

    async def _changed(self, before: Seen) -> None:
        """Return when something is another than before, and has been for a moment."""
        last = before
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = seen(self._place)
            if now == last != before:
                return
            last = now


def _free_port() -> int:
    with socket.create_server((_HOST, 0)) as free:
        number: int = free.getsockname()[1]
        return number


def _is_taken(port: int) -> str:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError as error:
        return f"Port {port} cannot be had: {error.strerror}. Choose another with --port."
    return ""


async def _until_told(order: Order, image: EnvironmentImage) -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    with tempfile.TemporaryDirectory(prefix="inservice-run-") as scratch:
        foreground = asyncio.create_task(_Foreground(order, image, Path(scratch)).run())
        waiting = asyncio.create_task(told.wait())
        await asyncio.wait((foreground, waiting), return_when=asyncio.FIRST_COMPLETED)
        for task in (foreground, waiting):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await foreground
    _say("\nStopped.")


def main(arguments: Sequence[str]) -> int:
    """Serve."""
    order = msgspec.json.decode(arguments[0], type=Order)
    match Catalogue().resolve(order.image):
        case EnvironmentImage() as image:
            pass
        case NotRunnable(why=why, help=advice):
            _say(f"inservice model run: {why} {advice}".rstrip())
            return 2
        case other:
            why = other.why or f"The image '{other.uri}' is a container's"
            _say(f"inservice model run: {why} No environment stands in for it here.")
            return 2
    if order.port and (taken := _is_taken(order.port)):
        _say(f"inservice model run: {taken}")
        return 1
    asyncio.run(_until_told(order, image))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
