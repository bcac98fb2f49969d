"""What control says to the fork server, the fork server to a zygote, and both to a newborn.

Control opens a connection to `forkserver.sock` for each command, sends one line of JSON and reads
one line back; after `Follow` the connection stays, and News come down it. A command is carried out
even if control dies before the answer. No pickle anywhere: the other side may be an older or newer
InService. An older one is understood, since what was added has a default; a newer one must fail
with a sentence if it is not.
"""

from __future__ import annotations

import sys

import msgspec

from inservice.runtimes import pinging
from inservice.runtimes.base import InstanceState, LaunchSpec, Probe, Sight
from inservice.runtimes.process.confinement import Confinement
from inservice.runtimes.process.records import Ready, Record

ALREADY_RUNNING = 3
"""The exit status of a fork server that found another one in its run directory."""

TMP_BYTES = 1024**3
"""What the /tmp of an instance holds, if nobody has said otherwise."""

LINE_BYTES_MAX = 1024 * 1024
"""AWS caps the environment of all containers of a model at 32 KiB; escapes may sextuple it."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance gets no more of, with all that it starts."""

    vcpus: int
    memory_bytes: int

    @classmethod
    def of(cls, spec: LaunchSpec) -> Limit | None:
        """Of an instance that is limited at all."""
        if not spec.is_limited:
            return None
        has = spec.workload.resources
        return cls(vcpus=has.vcpus, memory_bytes=has.memory_bytes)


READY = b"ready"
"""What a zygote says when it has imported everything."""

SAID_BYTES_MAX = 1024
"""Of why it never will have, said in place of that."""


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter that has nothing in it but what is vouched for. Equal ones share a zygote."""

    executable: str = ""  # "": the one that the fork server runs in
    preimports: tuple[str, ...] = ()  # imported before instances are forked
    variables: tuple[tuple[str, str], ...] = ()  # its image's, by name; obeyed from its start

    @property
    def path(self) -> str:
        """What is executed."""
        return self.executable or sys.executable


class Launch(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Start an instance, or find it running. Answered with its record."""

    instance_id: str
    entry: str  # "package.module:function", called as function(socket, model_dir)
    log_path: str
    model_dir: str | None
    environment: dict[str, str]  # the model's own; reaches the model only
    network_isolation: bool
    fresh: bool  # a new interpreter instead of a fork
    python: Python = Python()
    layer: str = ""  # see `layers`: what the user's code asks for, on top of its Python
    roots: tuple[str, ...] = ()  # of its Python and its layer: must be readable for it
    user: str = ""  # as INSERVICE_MODEL_USER says
    hidden: tuple[str, ...] = ()  # the server's directories, which models must not see
    code_dir: str | None = None
    claim: str = ""  # the token of what it holds, which has to stand; empty: it claims nothing
    limit: Limit | None = None
    tmp_bytes: int = TMP_BYTES
    """What its /tmp holds at most."""


class Retire(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """End an instance and forget it. Answered when its process and its record are gone.

    The cookie says which incarnation is meant: a late Retire must not end, nor forget, what was
    launched under the same id since.
    """

    instance_id: str
    cookie: str
    grace_seconds: float


class Prepare(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Have a zygote of this Python. Answered when it has imported what it is to."""

    python: Python = Python()


class ShutDown(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """End every instance, then the fork server. Answered just before it goes."""

    grace_seconds: float


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Are you there?"""


class CheckLimits(msgspec.Struct, frozen=True, tag=True):
    """Can an instance be limited here? Answered with an error if not: why, and what to do."""


class Look(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Ping an instance now. Answered with what that brought, within the 2 s of a ping; without a
    pulse if there is no such instance."""

    instance_id: str
    cookie: str


class Follow(msgspec.Struct, frozen=True, tag=True):
    """Tell how all instances are, and from then on what changes, for as long as I listen."""


Command = Launch | Retire | Prepare | ShutDown | Hello | CheckLimits | Look | Follow


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
        return pinging.state(well=self.well, was_ready=self.ready is not None)

    def is_news_after(self, last: Sight) -> bool:
        """Whether somebody who saw that should see this. That one is still well is no news."""
        return pinging.is_news(self.state, self.probes, last)


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
    unplaced: str = ""  # why its files are not where a container has them, if so; see `places`
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
    executable: str = ""  # its Python without the layer; "": the one that it was forked in
    layer: str = ""
    fresh: bool = False  # become a new interpreter, which obeys the environment from its start
    confinement: Confinement | None = None
