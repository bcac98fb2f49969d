"""The container engine of this host, asked over its API socket.

Podman and Docker answer the same API. What is asked blocks, so it is asked in threads that nobody
waits for at the end, each time with a limit. The engine is looked for when it is first needed and
again when it is gone; where there is Podman and nobody who listens, `service` starts it.

    EngineUnavailable   there is none, or it cannot be used: the host's matter
    EngineTrouble       it did not answer, or failed at something: may pass
      EngineRefused     it said no, with a status: the request's matter
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from inservice.runtimes.oci.service import PodmanService
from inservice.threads import Hazards

if TYPE_CHECKING:
    from docker import APIClient

CALL_SECONDS = 30.0
"""For what an engine does in a second; one that is starting, or has a busy disk, takes longer."""

PULL_SECONDS = 1800.0
"""A pull may take hours. This is for how long the engine may say nothing about it: Podman does so
while it unpacks, and a layer with CUDA in it has gigabytes."""

CALLS = 16
"""Asked at a time. Podman's own lock takes them one by one in the end."""

Answer = TypeVar("Answer")

PODMAN, DOCKER = "Podman", "Docker"

_SYSTEM_SOCKETS = (Path("/run/podman/podman.sock"),)
_DOCKER_SOCKETS = (Path("/var/run/docker.sock"),)
_PING_SECONDS = 5.0


class EngineUnavailable(Exception):
    """No engine can be had here; the message says what would help."""


class EngineTrouble(Exception):
    """The engine did not do what it was asked; the message has its last words."""


class EngineRefused(EngineTrouble):
    """It said no."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class Found:
    """An engine that answers."""

    name: str  # "Podman", "Docker"
    version: str
    api_version: str
    socket: Path
    is_rootless: bool = False
    has_selinux: bool = False


class Engine:
    """Whichever there is."""

    def __init__(self, run_dir: Path, environment: Mapping[str, str] = os.environ) -> None:
        """`run_dir` is for the socket of an engine that has to be started."""
        self._service = PodmanService(run_dir)
        self._environment = environment
        self._finding = asyncio.Lock()
        self._calls = Hazards("engine", CALLS)
        self._pulls = Hazards("pulls", CALLS)
        self.known: Found | None = None
        """As it was found last."""

    async def found(self) -> Found:
        """The engine, looked for if it is not known. Raises EngineUnavailable."""
        async with self._finding:
            if self.known is None or not is_listening(self.known.socket):
                self.known = None
                self.known = await self._calls.run(self._find)
                assert self.known is not None
            return self.known

    def glance(self) -> Found | str:
        """What there is, without having anybody started, or why there is nothing to be seen. It
        blocks for a moment; from any thread."""
        known = self.known
        if known is not None:
            return known
        try:
            found = self._find(starting=False)
        except EngineUnavailable as error:
            return str(error)
        if found is None:
            return "Podman is installed, and is asked when a container image is deployed."
        self.known = found
        return found

    async def ask(
        self, call: Callable[[APIClient], Answer], seconds: float = CALL_SECONDS
    ) -> Answer:
        """What a call of its API gives, which may be silent for so many seconds. Raises
        EngineUnavailable, EngineTrouble."""
        found = await self.found()
        return await self._calls.run(lambda: asked(found, call, seconds))

    async def ask_long(self, call: Callable[[APIClient], Answer]) -> Answer:
        """The same, for what may take an hour while others ask."""
        found = await self.found()
        return await self._pulls.run(lambda: asked(found, call, PULL_SECONDS))

    async def end_service(self) -> None:
        """End the engine's service if it was started from here; its containers run on."""
        await self._calls.run(self._service.end)

    # ── finding it ──────────────────────────────────────────────────────────────────────────────
    def _find(self, *, starting: bool = True) -> Found | None:
        """None if one would have to be started, and is not to be."""
        chosen = self._environment.get("DOCKER_HOST", "")
        if chosen:
            place = urlsplit(chosen)
            if place.scheme != "unix":
                raise EngineUnavailable(
                    f"DOCKER_HOST is {chosen}; models are run by an engine of this host, "
                    "DOCKER_HOST=unix:///path/to/its.sock."
                )
            if not is_listening(Path(place.path)):
                raise EngineUnavailable(f"Nobody answers at DOCKER_HOST, which is {chosen}.")
            return self._answering(Path(place.path))
        there = [path for path in self.sockets() if is_listening(path)]
        podman = shutil.which("podman", path=self._environment.get("PATH"))
        said = ""
        for path in there:
            try:
                return self._answering(path)
            except EngineUnavailable as error:  # another one may do
                said = str(error)
        if podman is None:
            raise EngineUnavailable(
                said
                or "No container engine was found: install Podman or Docker, or let "
                "DOCKER_HOST name the socket of one."
            )
        if not starting:
            return None
        try:
            return self._answering(self._service.start(podman, self._environment))
        except OSError as error:
            raise EngineUnavailable(f"Podman is here and its service did not start: {error}") from (
                error
            )

    def sockets(self) -> Iterator[Path]:
        """Where engines listen, the first to be asked first."""
        yield from _SYSTEM_SOCKETS
        runtime_dir = self._environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
        yield Path(runtime_dir) / "podman" / "podman.sock"
        yield self._service.socket
        yield from _DOCKER_SOCKETS

    def _answering(self, path: Path) -> Found:
        def about(client: APIClient) -> Found:
            version, about = client.version(), client.info()
            parts = [part.get("Name", "") for part in version.get("Components") or ()]
            options = about.get("SecurityOptions") or ()
            return Found(
                name=PODMAN if any("Podman" in part for part in parts) else DOCKER,
                version=str(version.get("Version", "")),
                api_version=str(version.get("ApiVersion", "")),
                socket=path,
                is_rootless=bool(about.get("Rootless")) or "name=rootless" in options,
                has_selinux="name=selinux" in options,
            )

        try:
            return asked(Found("", "", "auto", path), about, _PING_SECONDS)
        except EngineTrouble as error:
            raise EngineUnavailable(f"The engine at {path} does not answer: {error}") from error


def is_listening(path: Path) -> bool:
    """Whether somebody takes connections there. The file alone may be of one that has ended."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trying:
        trying.settimeout(_PING_SECONDS)
        trying.connect(str(path))
        return True
    return False


def asked(found: Found, call: Callable[[APIClient], Answer], seconds: float | None) -> Answer:
    """What a call gives; it blocks, without `seconds` for ever. Raises EngineUnavailable,
    EngineTrouble.

    Each call has a client of its own: one that is shared serves one thread."""
    try:
        import docker  # here, since with requests it is two hundred modules, and few need it
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException
    except ImportError:
        raise EngineUnavailable(
            "Container images need a package that is not installed: pip install 'inservice[oci]'."
        ) from None
    try:
        url, limit = f"unix://{found.socket}", cast(int, seconds)  # requests takes any number
        with contextlib.closing(
            docker.APIClient(base_url=url, version=found.api_version, timeout=limit)
        ) as client:
            return call(client)
    except APIError as error:
        words = str(error.explanation or error).strip()
        if error.response is None:
            raise EngineTrouble(words) from error
        raise EngineRefused(error.response.status_code, words) from error
    except (DockerException, RequestException, OSError) as error:
        raise EngineTrouble(str(error)) from error
