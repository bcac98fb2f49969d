"""As whom an instance runs, and what it can reach: never more than its own model, where the host
lets us.

A model is code for which nobody vouches. Run as the user of its server it could read the root key
and the records, change the files that other endpoints share, and trace or kill control. So

    a server of root           gives each instance a user id that nobody else has, no group, and a
                               view of the file system without the server's own directories
    any other server           cannot change user ids. Where the kernel grants it a user namespace,
                               the instance has the same view, and cannot trace what is outside; it
                               can still send signals to the other processes of its user
    a host that grants neither runs models as before, and says so in the server's log

INSERVICE_MODEL_USER chooses: a name, `uid` or `uid:gid` is the user of all models, who are then not
protected from one another; with the server's own name they are that user, with the view. A user who
was asked for and cannot be had fails the launch: models of somebody who relies on it must not run
with more.

In the view an artifact is where a container has it, and read-only: not even a model that runs as
root can write to what others share, see `container_paths`.

Whether it works is tried out once by each fork server, in a process made for it that does all that
an instance will do, down to reading the interpreter's files as the other user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

import inservice
from inservice.contract import SUBMIT_DIRECTORY
from inservice.runtimes.process import container_paths
from inservice.runtimes.process.confinement import Confinement, enclose, surrender
from inservice.runtimes.process.mounts import packages
from inservice.runtimes.process.protocol import Launch
from inservice.runtimes.process.records import Places

PRIVATE_IDS = range(0x7000_0000, 0x7800_0000)
"""User and group ids of instances: above those that distributions, containers and systemd give out
(systemd's UIDS-GIDS.md), below those with the highest bit. 134 million, and each instance takes the
one that its id hashes to, so that two servers on one host rarely meet."""

SPARE_IDS = range(40_000, 60_000)
"""Where only 65,536 ids exist, as in a container of a user namespace."""


OURS = str(Path(inservice.__file__).parents[1])
"""Where our own code is, which a way to it that is no path may hide (an editable install)."""


class Level(StrEnum):
    """As whom instances run."""

    OWN_USER = "OwnUser"  # each as a user of its own, without sight of the server's files
    SHARED_USER = "SharedUser"  # all as one other user, not protected from one another
    NAMESPACE = "Namespace"  # as the server's user, without sight of the server's files
    NONE = "None"  # as the server itself


class Unavailable(OSError):
    """This host, or this server's user, cannot run models as it was asked; the message says why."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a server wants for its models, from its settings."""

    user: str  # empty: the best there is
    hidden: tuple[str, ...]
    tmp_bytes: int


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of it; a reason is empty where there is none."""

    unavailable: str
    unplaced: str


class Isolation:
    """The fork server's side: who each instance is going to be."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._tried: dict[_Asked, _Tried] = {}
        self.unprotected = ""
        """Why the instance of the latest launch has all the rights of the server; empty if not."""
        self.level: Level | None = None
        """Of the latest launch."""
        self.unplaced = ""
        """Why the files of the latest launch are not where a container has them; empty if they
        are."""

    def confinement(self, launch: Launch) -> Confinement | None:
        """For one instance, whose scratch directory and pipe are there, and become its user's.

        None if this host grants nothing. Raises Unavailable when a user was asked for who cannot be
        had, and OSError.
        """
        asked = _Asked(launch.user, launch.hidden, launch.tmp_bytes)
        try:
            made = self._as_tried(asked, launch, self._made(launch, *self._ids(launch)))
        except Unavailable as why:
            if launch.user:
                raise Unavailable(f"INSERVICE_MODEL_USER is '{launch.user}', and {why}") from why
            self.unprotected, self.level, self.unplaced = str(why), Level.NONE, str(why)
            return None
        self.unprotected, self.level = "", _level(launch, made)
        if made.is_another_user:
            for path in (self._places.scratch, self._places.output):
                os.chown(path(launch.instance_id), made.uid, made.gid, follow_symlinks=False)
        return made

    def _as_tried(self, asked: _Asked, launch: Launch, bare: Confinement) -> Confinement:
        """With all of the view that this host lets us have. Raises Unavailable."""
        placed = container_paths.with_places(bare, launch)
        tried = self._tried.get(asked)
        if tried is None:
            unplaced = _try(placed)
            tried = _Tried(_try(bare) if unplaced else "", unplaced)
            self._tried[asked] = tried
        if tried.unavailable:
            raise Unavailable(tried.unavailable)
        self.unplaced = tried.unplaced or container_paths.in_the_way(placed)
        return bare if self.unplaced else placed

    def _made(self, launch: Launch, uid: int, gid: int) -> Confinement:
        places, instance_id = self._places, launch.instance_id
        hidden = [*launch.hidden, str(places.run_dir)]
        if uid == os.getuid() != 0:
            # Whoever may talk to the service manager of a user runs what they like as that user.
            hidden.append(f"/run/user/{uid}")
        return Confinement(
            uid=uid,
            gid=gid,
            hidden=tuple(hidden),
            shown=packages(
                (*sys.path, *os.environ.get("LD_LIBRARY_PATH", "").split(":"), OURS, *launch.roots)
            ),
            read_only=tuple(filter(None, (launch.model_dir, launch.code_dir))),
            named=_named_code(launch.environment),
            own=(str(places.scratch(instance_id)), str(places.socket(instance_id))),
        )

    def _ids(self, launch: Launch) -> tuple[int, int]:
        if launch.user:
            return _named(launch.user)
        if os.getuid() != 0:
            return os.getuid(), os.getgid()
        ids = mapped_ids()
        owner = self._places.scratch(launch.instance_id).stat().st_uid
        if owner in ids:  # of this id's former incarnation, whose files it keeps
            return owner, owner
        with os.scandir(self._places.instances) as entries:
            taken = {entry.stat(follow_symlinks=False).st_uid for entry in entries}
        chosen = private_id(f"{self._places.run_dir} {launch.instance_id}", ids, taken)
        return chosen, chosen


def _level(launch: Launch, made: Confinement) -> Level:
    if made.is_another_user:
        return Level.SHARED_USER if launch.user else Level.OWN_USER
    return Level.NAMESPACE


def _named_code(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Code that is not in the artifact but on this host, as a `file://` artifact may be."""
    try:
        path = urlsplit(environment.get(SUBMIT_DIRECTORY, "")).path
    except ValueError:  # the model server has a word for it
        return ()
    # Nobody's code is in /proc, and much of it leads elsewhere.
    named = path.startswith("/") and "\0" not in path and not f"{path}/".startswith("/proc/")
    return (os.path.normpath(path),) if named else ()


def private_id(name: str, ids: range, taken: Collection[int]) -> int:
    """The id that the name hashes to, or the next that is free. Raises Unavailable."""
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    for step in range(len(taken) + 1):
        chosen = ids[(first + step) % len(ids)]
        if chosen not in taken:
            return chosen
    raise Unavailable(f"all {len(ids)} user ids for models are in use")


def _try(confinement: Confinement) -> str:
    """Do in a child what an instance will do. What did not work; empty if all of it did."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with contextlib.suppress(BaseException):
            os.write(writer, _attempt(confinement).encode())
            os._exit(0)
        os._exit(1)
    os.close(writer)
    with open(reader, "rb") as said:  # noqa: PTH123 - a descriptor
        words = said.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return words if status == 0 else "the process that tried it out ended in the middle"


def _attempt(confinement: Confinement) -> str:
    doing = "a mount namespace cannot be had"
    try:
        enclose(confinement)
        doing = f"this server cannot become user {confinement.uid}"
        surrender(confinement)
        doing = f"user {confinement.uid} cannot use the Python of this server"
        for path in (*sys.path, sys.executable, os.__file__, msgspec.__file__, __file__):
            if path and os.path.lexists(path) and not os.access(path, os.R_OK):
                return f"{doing}: {path} is not readable"
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        return f"{doing}: {error.strerror}{place}"
    return ""


def _named(user: str) -> tuple[int, int]:
    """Of a name, `uid` or `uid:gid`. Raises Unavailable."""
    first, _, group = user.partition(":")
    if first.isdecimal() and (not group or group.isdecimal()):
        with contextlib.suppress(KeyError):
            return int(first), int(group) if group else pwd.getpwuid(int(first)).pw_gid
        return int(first), int(first)
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise Unavailable("this host has no such user") from None
    return entry.pw_uid, entry.pw_gid


def mapped_ids() -> range:
    """Ids for instances that exist here, both as users and as groups. Raises Unavailable."""
    for ids in (PRIVATE_IDS, SPARE_IDS):
        if all(_is_mapped(ids, Path(f"/proc/self/{kind}_map")) for kind in ("uid", "gid")):
            return ids
    raise Unavailable("this container has no user ids to spare")


def _is_mapped(ids: range, table: Path) -> bool:
    for line in table.read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= ids[0] and ids[-1] < first + count:
            return True
    return False
