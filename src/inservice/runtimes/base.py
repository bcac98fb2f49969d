"""What runs instances: four verbs, each safe to repeat.

What an instance runs is a `workload`, which says nothing of where: the files that its containers
need are references, and whoever launches it fetches them, on the host that it is launched on.

`launch` is named: the instance id is chosen by the caller, and launching an id that is alive gives
back the handle it has. A runtime keeps its own record of what it started, on disk, written before
the instance can run, so a control process that was killed at any moment finds every instance again
with `handles`. An instance is known by (pid, start time, boot id, cookie), never by its pid alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the fork server and every instance import this module, and no more of the core
    from inservice.images.base import EnvironmentImage
    from inservice.workload.asset import Asset
    from inservice.workload.container import Container, Workload


class InstanceState(StrEnum):
    """What an instance is seen to be."""

    STARTING = "Starting"  # alive, /ping has not answered 200 yet
    READY = "Ready"  # alive, the last /ping answered 200
    UNHEALTHY = "Unhealthy"  # alive, was ready before, /ping fails now
    GONE = "Gone"  # exited, or was never there


Tell = Callable[[str], None]
"""Is told how far long work has come, from any thread: in a clause for people that begins with what
is done, and may go on, after a colon and a space, with how far that is just now."""


def tell_nobody(_: str) -> None:
    """`Tell` of who does not want to know."""


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """One instance to be started: whose it is, and what it runs."""

    instance_id: str  # "<fleet id>/<ordinal>"; unique for ever within one generation of an endpoint
    account: str
    region: str
    endpoint: str
    variant: str
    workload: Workload
    download_timeout_seconds: float  # for each of its assets to be fetched and unpacked
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What this instance is told beside its model's own environment, which wins. It may hold
    credentials."""
    tell: Tell = field(default=tell_nobody, repr=False, compare=False)
    """Hears what a launch is at while it takes long: an environment that is built, an image that is
    pulled."""
    accelerators: tuple[str, ...] = ()
    """UUIDs of the GPUs that it has for itself; its containers' environments say them too."""
    is_limited: bool = False
    """Whether it gets no more processors and memory than its workload's resources are."""
    claim: str = ""
    """The token of its claim, which has to stand when it is let in, see `runtimes.claims`; "": what
    it needs is nobody's to claim."""


@dataclass(frozen=True, slots=True)
class Handle:
    """What `launch` gives back and `recover` understands, also after a crash of control."""

    instance_id: str
    runtime: str  # which driver: "process"
    address: str  # "unix:/path" or "tcp:host:port"
    pid: int
    started_at: float  # epoch seconds
    log_path: Path | None  # where stdout and stderr go
    identity: Mapping[str, str] = field(default_factory=dict)  # start time, boot id, cookie


@dataclass(frozen=True, slots=True)
class Probe:
    """One try of GET /ping, or several in a row that came to the same."""

    at: float  # epoch seconds, of the last of them
    outcome: str  # "200", "503", "timed out", "connection refused", …
    ms: float  # that the last one took
    tries: int = 1
    seconds: float = 0.0  # from the first of them to the last

    def before(self, later: Probe) -> tuple[Probe, ...]:
        """This one and the next, as one if they came to the same."""
        if later.outcome != self.outcome:
            return (self, later)
        seconds = self.seconds + max(0.0, later.at - self.at)
        return (replace(later, tries=self.tries + 1, seconds=seconds),)


@dataclass(frozen=True, slots=True)
class Sight:
    """What `look` saw."""

    state: InstanceState
    ready_at: float | None = None  # when /ping first answered 200
    age_seconds: float = 0.0
    """Since its launch, by a clock that nobody sets; of one that is gone, how long it lived. What
    `started_at` tells is the machine's time then, which may be far from what it is called now."""
    exit_code: int | None = None
    signal: str | None = None  # "SIGKILL", …
    out_of_memory: bool = False
    memory_bytes_max: int = 0  # of one that is gone: what it had, where that was limited
    last_lines: tuple[str, ...] = ()  # the end of stderr and stdout, for a FailureReason
    probes: tuple[Probe, ...] = ()  # the latest few
    phases: Mapping[str, float] = field(default_factory=dict)  # seconds by phase: fork, load, ping


class ImageNotRunnable(Exception):
    """No runtime here can run the image; the message says which ones could."""


class EngineMissing(ImageNotRunnable):
    """It is run by a container engine, and there is none; the message says what would help."""


class AssetUnavailable(Exception):
    """The files that a container needs cannot be had; the message is fit for a FailureReason.

    Its cause tells whether that was for want of room on the host, which passes.
    """


class InsufficientCapacity(Exception):
    """What an instance of its type has is not free on this host, and will not be by waiting. The
    message is fit for a FailureReason: AWS's words, and who holds it."""


class LimitsUnavailable(Exception):
    """This host cannot keep instances to what their types have; the message says what to do."""


class LaunchFailed(Exception):
    """This host could not start, or end, a process just now; worth another try later.

    Its cause, where there is one, is the OSError that stood in the way.
    """


class EnvironmentUnavailable(Exception):
    """The Python that an image, or the code on top of it, needs cannot be had; the message is fit
    for a FailureReason: what was to be installed, the last lines of who tried, what to do.

    Its cause tells whether that was for want of room on the host, or because an index was not
    reached, an OSError of the network: both pass.
    """


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python of this host that has all in it that a container's processes are to find there."""

    executable: str = ""  # "": the server's own
    preimports: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """What its image sets, and what the way to its packages takes; the container's own win."""
    roots: tuple[str, ...] = ()
    """Directories that whoever runs it must be able to read, beside those of the server's own
    Python."""
    beneath: Interpreter | None = None
    """Of a layer, the Python that it is on top of, which has only what whoever runs the server
    chose. In a layer there are packages of a model's choice, and any Python runs code of theirs
    before its first line (`.pth` files): it is started with a model's rights alone, and there is no
    zygote of it."""


class Environments(Protocol):
    """Where a runtime gets the Pythons that stand in for images, on the host that it runs on."""

    async def interpreter(
        self, image: EnvironmentImage, code: Path | None, tell: Tell = tell_nobody
    ) -> Interpreter:
        """The Python of an image, with what `code` (a directory, the user's) asks for on top: its
        requirements.txt, its wheels. Built now or found; one build for all that ask at once.

        Cancelled by everybody who wanted it, a build is ended. Raises EnvironmentUnavailable.
        """
        ...


class OwnPython:
    """`Environments` of a runtime that has no Python but the server's own."""

    async def interpreter(
        self,
        image: EnvironmentImage,
        code: Path | None,  # noqa: ARG002 - of Environments
        tell: Tell = tell_nobody,  # noqa: ARG002 - of Environments
    ) -> Interpreter:
        """The server's own, for images that have nothing which is not there."""
        return Interpreter(preimports=image.preimports, variables=image.variables)


class Assets(Protocol):
    """Where a runtime gets the files that containers need, on the host that it runs them on."""

    async def fetch(self, asset: Asset, seconds: float) -> Path:
        """Its directory on this host, read-only, shared by all that need it: fetched now, or found.

        Whoever does not want it any more cancels, and then nothing is transferred any further.
        Raises AssetUnavailable, also when it is not there after so many seconds; and OSError.
        """
        ...


class NoAssets:
    """`Assets` of a runtime that is to launch nothing which needs any."""

    async def fetch(self, asset: Asset, seconds: float) -> Path:  # noqa: ARG002 - of Assets
        """Raises AssetUnavailable."""
        words = f"Nothing is fetched here, and that is what {asset.source.uri} would have to be."
        raise AssetUnavailable(words)


def only_container(workload: Workload) -> Container:
    """The container of an instance that has one. Raises ImageNotRunnable for any other number."""
    if len(workload.containers) != 1:
        raise ImageNotRunnable(
            f"This host runs one container in an instance, not {len(workload.containers)}."
        )
    return workload.containers[0]


class Runtime(Protocol):
    """Runs instances on a host."""

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start the instance, or find it running. Fetches first what it needs and is not here,
        which takes as long as a download takes.

        Cancelled before it has started anything, it never will; later it gives the handle all the
        same. Raises ImageNotRunnable, AssetUnavailable, InsufficientCapacity, LaunchFailed.
        """
        ...

    async def handles(self) -> Sequence[Handle]:
        """Every instance that this runtime has a record of, alive or not yet retired."""
        ...

    async def recover(self, handle: Handle) -> Handle | None:
        """The same instance if it is still the one we started, else None."""
        ...

    async def look(self, handle: Handle) -> Sight:
        """See how it is now: one probe of /ping, 2 s at most."""
        ...

    async def retire(self, handle: Handle, grace_seconds: float) -> None:
        """SIGTERM, after `grace_seconds` SIGKILL; then forget it. Returns when it is gone."""
        ...


class WatchedRuntime(Runtime, Protocol):
    """A runtime that watches its instances itself and tells what changes as it comes."""

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        """How the instance is, as soon as that is something else than `last`; at once for None.

        Something else is another state, an end above all; and of an instance that is not ready,
        what its pings brought since. That one is still ready is nothing new.
        """
        ...

    async def close(self) -> None:
        """Watch nothing any more. What runs is left as it is."""
        ...


class PreparedRuntime(Runtime, Protocol):
    """A runtime that can do beforehand what every launch of an image would have to."""

    async def prepare(self, image: str | None = None) -> None:
        """Be up and, for an image, have what it needs at hand. Raises ImageNotRunnable,
        LaunchFailed."""
        ...
