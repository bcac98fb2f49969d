"""What control says to the fork server, the fork server to a zygote, and both to a newborn.

Control opens a connection to `forkserver.sock` for each command, sends one line of JSON and reads
one line back; after `Follow` the connection stays, and News come down it. A command is carried out
even if control dies before the answer. No pickle anywhere: the other side may be an older or newer
InService, and must then fail with a sentence.
"""

from __future__ import annotations

import msgspec

from inservice.runtimes.base import InstanceState, Probe, Sight
from inservice.runtimes.process.confinement import Confinement
from inservice.runtimes.process.records import Ready, Record

ALREADY_RUNNING = 3
"""The exit status of a fork server that found another one in its run directory."""

LINE_BYTES_MAX = 1024 * 1024
"""AWS caps the environment of all containers of a model at 32 KiB; escapes may sextuple it."""


class Launch(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Start an instance, or find it running. Answered with its record."""

    instance_id: str
    entry: str  # "package.module:function", called as function(socket, model_dir)
    preimports: tuple[str, ...]
    log_path: str
    model_dir: str | None
    environment: dict[str, str]  # the model's own; reaches the model only
    network_isolation: bool
    fresh: bool  # a new interpreter instead of a fork
    user: str = ""  # as INSERVICE_MODEL_USER says
    hidden: tuple[str, ...] = ()  # the server's directories, which models must not see
    code_dir: str | None = None


class Retire(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """End an instance and forget it. Answered when its process and its record are gone.

    The cookie says which incarnation is meant: a late Retire must not end, nor forget, what was
    launched under the same id since.
    """

    instance_id: str
    cookie: str
    grace_seconds: float


class Prepare(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Have a zygote with these modules imported. Answered when it has them."""

    preimports: tuple[str, ...]


class ShutDown(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """End every instance, then the fork server. Answered just before it goes."""

    grace_seconds: float


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Are you there?"""


class Look(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Ping an instance now. Answered with what that brought, within the 2 s of a ping; without a
    pulse if there is no such instance."""

    instance_id: str
    cookie: str


class Follow(msgspec.Struct, frozen=True, tag=True):
    """Tell how all instances are, and from then on what changes, for as long as I listen."""


Command = Launch | Retire | Prepare | ShutDown | Hello | Look | Follow


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """How the fork server saw an instance last."""

    instance_id: str
    cookie: str
    well: bool  # the last ping was answered 200; before the first, whether one ever was
    ready: Ready | None = None  # None: no ping was ever answered 200
    probes: tuple[Probe, ...] = ()  # the latest few

    @property
    def state(self) -> InstanceState:
        """What it is seen to be, as long as its process lives."""
        if self.well:
            return InstanceState.READY
        return InstanceState.STARTING if self.ready is None else InstanceState.UNHEALTHY

    def is_news_after(self, last: Sight) -> bool:
        """Whether somebody who saw that should see this. That one is still well is no news."""
        if self.state is not last.state:
            return True
        return not self.well and self.probes != last.probes


class News(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line down the connection of a follower. The first tells of every instance; one that tells
    of none says that the fork server still turns."""

    pulses: tuple[Pulse, ...] = ()


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one answer to a command."""

    pid: int  # the fork server's own
    code: str = ""  # what it was started from, see `code.identity`
    record: Record | None = None
    pulse: Pulse | None = None
    unprotected: str = ""  # why instances run with all the rights of the server, if they do
    isolation: str = ""  # of the latest launch, see `isolation.Level`; empty before the first
    error: str | None = None
    errno: int | None = None  # of the system call that failed, where it was one


class Newborn(msgspec.Struct, frozen=True, kw_only=True):
    """What a new process tells the fork server through its gate."""

    pid: int


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What the fork server answers through the gate: go, and be this.

    An instance that finds the gate closed instead was never recorded, and exits at once.
    """

    title: str
    entry: str
    socket_path: str
    scratch_dir: str
    model_dir: str | None
    environment: dict[str, str]
    network_isolation: bool
    fresh: bool = False  # become a new interpreter, which obeys the environment from its start
    confinement: Confinement | None = None
