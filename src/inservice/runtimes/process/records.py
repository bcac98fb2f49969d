"""What the process runtime keeps on disk about each instance, and how it knows a process again.

In `<run_dir>/instances`, mode 0700, for the instance whose quoted id is Q and whose hash is H:

    Q.json        the record: who it is. Written before the instance can run, deleted last.
    Q.exit.json   how it ended. Written once, when it has ended.
    Q.ready.json  when /ping first answered 200, so that a new control knows it *was* ready.
    H.sock        where it listens. H is short because a UNIX socket's path ends at 107 bytes.
    H.out         the FIFO its stdout and stderr go into.
    H/            its working directory, HOME and TMPDIR.

A pid says nothing by itself: pids are reused, and after a crash of the whole host the record may
name a process that is somebody else's. So a process is ours only if its start time, the kernel's
boot id and the cookie that it shows on its command line agree with the record.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from inservice import disk
from inservice.instance_logs.places import quoted, short
from inservice.linux import UNIX_PATH_BYTES_MAX, boot_id
from inservice.linux import start_ticks as start_ticks
from inservice.runtimes.base import Handle

TITLE = "inservice-model"
"""The command line of an instance is `inservice-model <cookie> <instance id>`."""

_COOKIE = re.compile(rf"{TITLE} ([0-9a-f]{{16}})".encode())

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One instance as the fork server started it."""

    instance_id: str
    pid: int
    start_ticks: int  # field 22 of /proc/<pid>/stat: clock ticks since boot
    boot_id: str
    cookie: str  # 16 hexadecimal digits
    started_at: float  # epoch seconds at which it was allowed to run
    fork_seconds: float  # from the request to launch until the process was there
    address: str
    log_path: str
    memory_bytes_max: int = 0  # what it gets no more of; 0: nobody limits it


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How an instance ended. Both codes are None when nobody who could know was there."""

    at: float  # epoch seconds
    exit_code: int | None = None
    signal: str | None = None  # "SIGKILL", …
    out_of_memory: bool = False
    memory_bytes_max: int = 0  # what it had of it, where that was limited
    lived_seconds: float | None = None  # by `age_seconds`; None where nobody could know


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The first 200 from /ping, and where the time until then went."""

    at: float  # epoch seconds
    phases: dict[str, float] = field(default_factory=dict)  # seconds


class Places:
    """The paths of one run directory. Raises ValueError when sockets would not fit in it."""

    __slots__ = (
        "fork_server_lock",
        "fork_server_log",
        "fork_server_socket",
        "instances",
        "run_dir",
    )

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.instances = run_dir / "instances"
        self.fork_server_socket = run_dir / "forkserver.sock"
        self.fork_server_lock = run_dir / "forkserver.lock"
        self.fork_server_log = run_dir / "forkserver.log"
        longest = len(os.fsencode(self.socket("x")))
        if longest > UNIX_PATH_BYTES_MAX:
            raise ValueError(
                f"The run directory '{run_dir}' is too long by {longest - UNIX_PATH_BYTES_MAX} "
                "bytes for UNIX sockets inside it; choose a shorter one."
            )

    def record(self, instance_id: str) -> Path:
        """Who the instance is."""
        return self.instances / f"{quoted(instance_id)}.json"

    def exit(self, instance_id: str) -> Path:
        """How it ended."""
        return self.instances / f"{quoted(instance_id)}.exit.json"

    def ready(self, instance_id: str) -> Path:
        """When it was ready first."""
        return self.instances / f"{quoted(instance_id)}.ready.json"

    def socket(self, instance_id: str) -> Path:
        """Where it listens."""
        return self.instances / f"{short(instance_id)}.sock"

    def output(self, instance_id: str) -> Path:
        """The FIFO of its stdout and stderr."""
        return self.instances / f"{short(instance_id)}.out"

    def scratch(self, instance_id: str) -> Path:
        """Its working directory."""
        return self.instances / short(instance_id)

    def abandoned(self, instance_id: str, cookie: str) -> Path:
        """What its working directory is renamed to when it is forgotten: removing it takes time."""
        return self.instances / f"{short(instance_id)}.{cookie}.gone"

    def records(self) -> Iterator[Record]:
        """Every readable record, in the order of the ids."""
        for path in sorted(self.instances.glob("*.json")):
            if path.name.endswith((".exit.json", ".ready.json")):
                continue
            if (record := read(path, Record)) is not None:
                yield record


def write(path: Path, value: object) -> None:
    """Replace the file by the value as JSON, all of it or none of it.

    Not synced: it must outlive our processes, and after a power cut the boot id disowns it anyway.
    """
    disk.write(path, msgspec.json.encode(value), synced=False)


def read(path: Path, kind: type[_T]) -> _T | None:
    """The value in the file; None when there is none, or something that nobody here wrote."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


def remove(path: Path) -> None:
    """Remove a file, or whatever a model of our own user has put in its place."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)


def age_seconds(record: Record) -> float:
    """How long ago its process started, whatever the machine's clock was set to meanwhile."""
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(0.0, since_boot - record.start_ticks / os.sysconf("SC_CLK_TCK"))


def cookie_shown(pid: int) -> str | None:
    """The cookie on the command line; None when the model has renamed itself, or not yet."""
    try:
        found = _COOKIE.search(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    except OSError:
        return None
    return found.group(1).decode() if found else None


def is_alive(record: Record) -> bool:
    """Whether the very process of the record is running.

    A process that shows another cookie is never ours. One that shows none is judged by start time
    and boot id alone, because a model may set its own title and must not be lost for that.
    """
    return (
        start_ticks(record.pid) == record.start_ticks
        and boot_id() == record.boot_id
        and cookie_shown(record.pid) in (record.cookie, None)
    )


def open_process(record: Record) -> int | None:
    """A pidfd of the record's process, or None. Signals sent through it can reach no other.

    Opened first and verified after: a stranger's process cannot turn into ours in between.
    """
    try:
        pidfd = os.pidfd_open(record.pid)
    except OSError:
        return None
    if is_alive(record):
        return pidfd
    os.close(pidfd)
    return None


def send(pidfd: int, number: signal.Signals) -> None:
    """Signal the process of a pidfd; one that has ended meanwhile is as good as signalled."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def handle_of(record: Record) -> Handle:
    """The record as the rest of the product knows it."""
    return Handle(
        instance_id=record.instance_id,
        runtime="process",
        address=record.address,
        pid=record.pid,
        started_at=record.started_at,
        log_path=Path(record.log_path),
        identity={
            "start_ticks": str(record.start_ticks),
            "boot_id": record.boot_id,
            "cookie": record.cookie,
        },
    )


def is_same(handle: Handle, record: Record) -> bool:
    """Whether the handle speaks of this incarnation of the instance."""
    return handle.pid == record.pid and handle.identity == handle_of(record).identity


def forget(places: Places, record: Record) -> None:
    """Remove every trace but the log. The record goes last: until then it can be retried."""
    instance_id = record.instance_id
    with contextlib.suppress(OSError):
        places.scratch(instance_id).rename(places.abandoned(instance_id, record.cookie))
    for path in (
        places.socket(instance_id),
        places.output(instance_id),
        places.ready(instance_id),
        places.exit(instance_id),
        places.record(instance_id),
    ):
        remove(path)
