"""Control groups: no instance gets more processors and memory than its type has.

Each instance has a group of its own, entered before its first line and left by nothing that it
does, with all that it starts in it. The groups lie beside or beneath that of the fork server:

    v2   the fork server's own group has to be *delegated* to it: a unit or scope of systemd with
         Delegate=yes, of root or of a user, or the whole of a container. Processes may only be in
         leaves of such a tree, so those of the server move into one of their own first.
    v1   for root only: a group in each of the three hierarchies, beneath the server's own.

A group counts the kills for want of memory among its own, so that here it is certain whose end one
was. What is left in the group of an instance that has ended is killed with it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inservice.runtimes.host import ROOT, own_groups
from inservice.runtimes.process.protocol import Limit

NEEDED = frozenset({"cpu", "memory", "pids"})

PERIOD_MICROSECONDS = 100_000
"""The kernel's own, and every container engine's."""

PROCESSES_MIN, PROCESSES_PER_VCPU = 4096, 1024
"""AWS names no limit. This one ends a fork bomb, and is above what thread pools of large hosts make
of their processors."""

SERVER = "inservice-server"
"""The leaf that the server's own processes are in, where they may not be beside others' groups."""

SESSION = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""By which a user's systemd is found."""

_DELEGATE = ("user.delegate", "trusted.delegate")
"""The attributes that systemd gives a delegated group."""

_GONE_SECONDS = 1.0
"""What a group may take to be empty after its last process was killed."""

HOW_TO = (
    "Run the server as a unit of systemd with Delegate=yes, in a container that may write its own "
    "/sys/fs/cgroup, or with INSERVICE_LIMITS=soft"
)


class NoCgroups(OSError):
    """Nobody can be limited here; the message says why, and what to do."""


class Hierarchy(Protocol):
    """Where groups are made."""

    def prepare(self) -> None:
        """Raises NoCgroups, OSError."""
        ...

    def places(self, name: str) -> Collection[Path]:
        """The directories of one group."""
        ...

    def limit(self, name: str, limit: Limit) -> Iterator[tuple[Path, str]]:
        """What is written where; a second of the same is a matter of what the kernel has."""
        ...

    def names(self) -> Iterator[str]:
        """Of the groups that there are."""
        ...

    def kills_file(self, name: str) -> Path:
        """What counts the kills for want of memory."""
        ...


@dataclass(frozen=True)
class Unified:
    """Version 2."""

    base: Path  # the delegated group
    prefix: str
    is_root: bool = False  # of the whole host: nobody has to move, and nobody may be moved

    def prepare(self) -> None:
        """See Hierarchy."""
        missing = NEEDED - set(_said(self.base / "cgroup.controllers").split())
        if missing:
            raise NoCgroups(
                errno.EOPNOTSUPP,
                f"the group {self.base} has no control over {', '.join(sorted(missing))}. {HOW_TO}",
            )
        if not self.is_root:
            leaf = self.base / SERVER
            leaf.mkdir(exist_ok=True)
            for _ in range(16):  # whoever is forked meanwhile is there for the next pass
                pids = _said(self.base / "cgroup.procs").split()
                if not pids:
                    break
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        (leaf / "cgroup.procs").write_text(pid)
        wanted = " ".join(f"+{name}" for name in sorted(NEEDED))
        (self.base / "cgroup.subtree_control").write_text(wanted)

    def places(self, name: str) -> Collection[Path]:
        """See Hierarchy."""
        return (self.base / f"{self.prefix}{name}",)

    def limit(self, name: str, limit: Limit) -> Iterator[tuple[Path, str]]:
        """See Hierarchy."""
        (place,) = self.places(name)
        yield place / "cpu.max", f"{limit.vcpus * PERIOD_MICROSECONDS} {PERIOD_MICROSECONDS}"
        yield place / "memory.max", str(limit.memory_bytes)
        yield place / "pids.max", str(_processes(limit))
        yield place / "memory.swap.max", "0"  # absent where the kernel has no swap

    def names(self) -> Iterator[str]:
        """See Hierarchy."""
        for path in self.base.glob(f"{self.prefix}*"):
            yield path.name.removeprefix(self.prefix)

    def kills_file(self, name: str) -> Path:
        """See Hierarchy."""
        (place,) = self.places(name)
        return place / "memory.events"


@dataclass(frozen=True)
class Legacy:
    """Version 1."""

    bases: Mapping[str, Path]  # by controller
    prefix: str

    def prepare(self) -> None:
        """See Hierarchy."""
        if missing := sorted(NEEDED - self.bases.keys()):
            words = f"this host has no control groups for {', '.join(missing)}. {HOW_TO}"
            raise NoCgroups(errno.EOPNOTSUPP, words)

    def places(self, name: str) -> Collection[Path]:
        """See Hierarchy."""
        return [base / f"{self.prefix}{name}" for base in self.bases.values()]

    def limit(self, name: str, limit: Limit) -> Iterator[tuple[Path, str]]:
        """See Hierarchy."""
        place = {each: base / f"{self.prefix}{name}" for each, base in self.bases.items()}
        yield place["cpu"] / "cpu.cfs_period_us", str(PERIOD_MICROSECONDS)
        yield place["cpu"] / "cpu.cfs_quota_us", str(limit.vcpus * PERIOD_MICROSECONDS)
        yield place["memory"] / "memory.limit_in_bytes", str(limit.memory_bytes)
        yield place["pids"] / "pids.max", str(_processes(limit))
        # Together with swap: after the other, which it may not be below.
        yield place["memory"] / "memory.memsw.limit_in_bytes", str(limit.memory_bytes)

    def names(self) -> Iterator[str]:
        """See Hierarchy."""
        for path in self.bases["memory"].glob(f"{self.prefix}*"):
            yield path.name.removeprefix(self.prefix)

    def kills_file(self, name: str) -> Path:
        """See Hierarchy."""
        return self.bases["memory"] / f"{self.prefix}{name}" / "memory.oom_control"


_MAY_BE_ABSENT = ("memory.swap.max", "memory.memsw.limit_in_bytes")


class Cgroups:
    """The groups of the instances of one run directory. A group's name is its instance's cookie."""

    def __init__(self, run_dir: Path, root: Path = ROOT) -> None:
        """`root` is where the kernel's control groups are mounted."""
        digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]
        self._prefix, self._root = f"inservice-{digest}-", root
        self._found: Hierarchy | None = None

    def prepare(self) -> Hierarchy:
        """Be able to limit somebody. Raises NoCgroups."""
        if self._found is None:
            try:
                found = _find(self._root, self._prefix)
                found.prepare()
                self._try(found)
            except NoCgroups:
                raise
            except OSError as error:
                words = f"{error.strerror} ({error.filename}). {HOW_TO}"
                raise NoCgroups(error.errno or errno.EPERM, words) from error
            self._found = found
        return self._found

    def enter(self, cookie: str, limit: Limit, pid: int) -> None:
        """Have a process, and all that will ever come of it, get no more than this. Raises
        NoCgroups, OSError."""
        found = self.prepare()
        self._make(found, cookie, limit)
        for place in found.places(cookie):
            (place / "cgroup.procs").write_text(str(pid))

    def ran_out_of_memory(self, cookie: str) -> bool:
        """Whether any process of a group was killed for that."""
        with contextlib.suppress(NoCgroups):
            for line in _said(self.prepare().kills_file(cookie)).splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1]) > 0
        return False

    def leave(self, cookie: str) -> None:
        """The instance has ended: with it whatever is left in its group, and then the group. One
        that will not go is swept later."""
        with contextlib.suppress(NoCgroups):
            self._remove(self.prepare(), cookie)

    def sweep(self, living: Collection[str]) -> None:
        """Of earlier instances: those of a host, or a fork server, that ended in the middle."""
        if self._found is not None:
            for name in set(self._found.names()) - set(living):
                self._remove(self._found, name)

    def _try(self, found: Hierarchy) -> None:
        """All but the moving, with limits that mean something, so that nobody is promised what
        the kernel then refuses."""
        try:
            self._make(found, "trial", Limit(vcpus=1, memory_bytes=1 << 30))
        finally:
            self._remove(found, "trial")

    def _make(self, found: Hierarchy, name: str, limit: Limit) -> None:
        for place in found.places(name):
            place.mkdir(exist_ok=True)
        for file, value in found.limit(name, limit):
            if file.name in _MAY_BE_ABSENT and not file.exists():
                continue
            file.write_text(value)

    def _remove(self, found: Hierarchy, name: str) -> None:
        deadline = time.monotonic() + _GONE_SECONDS
        for place in found.places(name):
            while not _is_gone(place) and time.monotonic() < deadline:
                time.sleep(0.002)


def scope(root: Path = ROOT, groups: str | None = None) -> tuple[str, ...]:
    """The words before a command that give it a delegated group of its own, from systemd; none
    where it has one, or systemd is not there to ask."""
    if not (root / "cgroup.controllers").exists():
        return ()
    base = _own(root, groups)
    if base is None or _is_delegated(root, base):
        return ()
    run = shutil.which("systemd-run")
    if run is None or not Path("/run/systemd/system").exists():
        return ()
    whose = () if os.getuid() == 0 else ("--user",)
    forgotten = [word for name in SESSION for word in ("-u", name)]  # it is no business of models
    env = shutil.which("env") or "/usr/bin/env"
    return (run, *whose, "--scope", "--quiet", "--collect", "-pDelegate=yes", env, *forgotten)


def _find(root: Path, prefix: str) -> Hierarchy:
    """Which there is. Raises NoCgroups."""
    if (root / "cgroup.controllers").exists():
        base = _own(root)
        if base is None:
            raise NoCgroups(errno.ENOENT, f"this process is in no control group. {HOW_TO}")
        if not _is_delegated(root, base):
            words = f"the control group {base} is not this server's to divide. {HOW_TO}"
            raise NoCgroups(errno.EPERM, words)
        return Unified(base, prefix, is_root=_is_of_the_host(base))
    bases = {
        name: root / name / group.lstrip("/")
        for controllers, group in own_groups()
        for name in NEEDED & set(controllers.split(","))
    }
    return Legacy({name: base for name, base in bases.items() if base.is_dir()}, prefix)


def _own(root: Path, groups: str | None = None) -> Path | None:
    """The group that is divided: that of this process, or the one above its leaf."""
    for controllers, group in own_groups(groups):
        if controllers == "":
            base = root / group.lstrip("/")
            return base.parent if base.name == SERVER else base
    return None


def _is_delegated(root: Path, base: Path) -> bool:
    """Whether nobody else cares for what is beneath a group: systemd said so, its owner is who we
    are and not root, or it is all that there is to be seen: a container's, or the host's without a
    systemd."""
    for name in _DELEGATE:
        with contextlib.suppress(OSError):
            if os.getxattr(base, name) == b"1":
                return True
    if base == root:
        return not Path("/run/systemd/system").exists()
    with contextlib.suppress(OSError):
        return os.getuid() != 0 and base.stat().st_uid == os.getuid()
    return False


def _is_of_the_host(base: Path) -> bool:
    """The root of all groups is the only one without a type."""
    return not (base / "cgroup.type").exists()


def _is_gone(place: Path) -> bool:
    """Kill whoever is there; whether nobody was, and the group is no more."""
    try:
        place.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        with contextlib.suppress(OSError):
            (place / "cgroup.kill").write_text("1")
        for pid in _said(place / "cgroup.procs").split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        return False
    return True


def _processes(limit: Limit) -> int:
    return max(PROCESSES_MIN, PROCESSES_PER_VCPU * limit.vcpus)


def _said(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
