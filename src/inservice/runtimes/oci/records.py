"""What the OCI runtime keeps on disk about each container, and how it knows one again.

In `<run_dir>/oci`, mode 0700, for the instance whose quoted id is Q and whose hash is H:

    Q.json         the record. Written before its container is created, and again whenever more is
                   known; removed last, when the container is.
    H.out          what the container writes, where Podman is the engine: `logs` reads it
    H.cursor.json  how far it was read
    H.sock         where an instance is reached whose container has no network: `netns`

In `<data_dir>/containers`, which outlives a reboot: `server-id`, `pins/`, `logins.json`.

A container bears three labels: of which server it is, of which instance, and the cookie of this
incarnation. The engine is asked by them, so nobody else's containers are ever looked at. The
process in it is known by pid, start time and boot id, as every instance is.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from inservice import disk, linux
from inservice.instance_logs.places import quoted, short
from inservice.linux import UNIX_PATH_BYTES_MAX
from inservice.runtimes.base import Handle

RUNTIME = "oci"

SERVER, INSTANCE, COOKIE = "inservice.server", "inservice.instance", "inservice.cookie"
"""Labels."""

_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container ended. Both codes are None when the engine did not know."""

    at: float  # epoch seconds
    exit_code: int | None = None
    signal: str | None = None
    out_of_memory: bool = False
    lived_seconds: float | None = None  # by `age_seconds`; None where nobody could know


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The first 200 from /ping."""

    at: float  # epoch seconds
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One instance, from before its container is created until it is forgotten."""

    instance_id: str
    cookie: str  # 16 hexadecimal digits
    name: str  # of the container
    log_path: str
    image: str  # as the container definition gave it
    image_id: str  # what runs: the engine's id
    port: int  # that the container is to listen on
    isolated: bool  # EnableNetworkIsolation
    began_at: float  # epoch seconds: when it was written first
    container_id: str = ""  # "" until it is created
    pid: int = 0  # of its first process; 0: it ended before anybody saw it
    start_ticks: int = 0
    boot_id: str = ""
    started_at: float = 0.0  # 0.0 until it was started
    address: str = ""
    start_seconds: float = 0.0  # that creating and starting it took
    ready: Ready | None = None
    exit: Exit | None = None
    kill_at: float | None = None  # epoch seconds: it was asked to end, and has until then


class Places:
    """The paths of one server."""

    def __init__(self, run_dir: Path, state_dir: Path) -> None:
        """Raises ValueError when sockets would not fit into the run directory."""
        self.containers = run_dir / "oci"  # no longer than that of processes: of sockets' paths
        self.state = state_dir
        if len(os.fsencode(self.socket("x"))) > UNIX_PATH_BYTES_MAX:
            raise ValueError(f"The run directory '{run_dir}' is too long for UNIX sockets in it.")

    def record(self, instance_id: str) -> Path:
        """Who the instance is."""
        return self.containers / f"{quoted(instance_id)}.json"

    def output(self, instance_id: str) -> Path:
        """What Podman writes its output to."""
        return self.containers / f"{short(instance_id)}.out"

    def cursor(self, instance_id: str) -> Path:
        """How far its output was kept."""
        return self.containers / f"{short(instance_id)}.cursor.json"

    def socket(self, instance_id: str) -> Path:
        """Where it is reached if its container has no network."""
        return self.containers / f"{short(instance_id)}.sock"

    def doors(self, instance_id: str) -> Path:
        """Which process keeps that socket."""
        return self.containers / f"{short(instance_id)}.doors.json"

    def records(self) -> Iterator[Record]:
        """Every readable record, in the order of the ids."""
        for path in sorted(self.containers.glob("*.json")):
            if path.name.endswith((".cursor.json", ".doors.json")):
                continue
            if (record := _read(path)) is not None:
                yield record

    def read(self, instance_id: str) -> Record | None:
        """The record of an instance."""
        return _read(self.record(instance_id))

    def write(self, record: Record) -> None:
        """Keep a record. Not synced: it has to outlive our processes, and after a power cut the
        boot id disowns it anyway."""
        self.containers.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.write(self.record(record.instance_id), msgspec.json.encode(record), synced=False)

    def forget(self, instance_id: str) -> None:
        """Remove every trace but the log; the record goes last, until then it can be retried."""
        output = self.output(instance_id)
        for path in (
            *self.containers.glob(f"{output.name}*"),
            self.cursor(instance_id),
            self.socket(instance_id),
            self.doors(instance_id),
            self.record(instance_id),
        ):
            path.unlink(missing_ok=True)

    def server_id(self) -> str:
        """Whose containers are ours. Made once; the engine's containers may outlive a run
        directory."""
        path = self.state / "server-id"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            disk.write(path, secrets.token_hex(8).encode())
            return path.read_text().strip()


def _read(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def container_name(server_id: str, instance_id: str) -> str:
    """The one name that a container of this instance can have: two cannot have it at once."""
    readable = _NAME.sub("-", instance_id).strip("-.")[:120]
    return f"inservice-{readable}-{short(f'{server_id} {instance_id}')[:10]}"


def labels(server_id: str, record: Record) -> dict[str, str]:
    """What the container bears."""
    return {SERVER: server_id, INSTANCE: record.instance_id, COOKIE: record.cookie}


def is_alive(record: Record) -> bool:
    """Whether the very process of the record runs."""
    return (
        record.pid > 0
        and record.boot_id == linux.boot_id()
        and linux.start_ticks(record.pid) == record.start_ticks
    )


def open_process(record: Record) -> int | None:
    """A pidfd of it, or None. Opened first and verified after, so that it is of no stranger."""
    if record.pid <= 0:
        return None
    try:
        pidfd = os.pidfd_open(record.pid)
    except OSError:
        return None
    if is_alive(record):
        return pidfd
    os.close(pidfd)
    return None


def age_seconds(start_ticks: int) -> float:
    """How long ago a process started, whatever the machine's clock was set to meanwhile."""
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(0.0, since_boot - start_ticks / os.sysconf("SC_CLK_TCK"))


def started(record: Record, seen: Mapping[str, Any], address: str) -> Record:
    """The record of a container that was started, as the engine shows it."""
    now = time.time()
    pid = int(seen["State"].get("Pid") or 0)
    ticks = linux.start_ticks(pid) if pid else None
    return replace(
        record,
        container_id=seen["Id"],
        pid=pid if ticks is not None else 0,
        start_ticks=ticks or 0,
        boot_id=linux.boot_id(),
        started_at=now - age_seconds(ticks) if ticks else now,
        address=address,
        start_seconds=max(0.0, now - record.began_at),
    )


def handle_of(record: Record) -> Handle:
    """The record as the rest of the product knows it."""
    return Handle(
        instance_id=record.instance_id,
        runtime=RUNTIME,
        address=record.address,
        pid=record.pid,
        started_at=record.started_at,
        log_path=Path(record.log_path),
        identity={
            "container": record.container_id,
            "start_ticks": str(record.start_ticks),
            "boot_id": record.boot_id,
            "cookie": record.cookie,
        },
    )


def is_same(handle: Handle, record: Record) -> bool:
    """Whether the handle speaks of this incarnation of the instance."""
    return handle.identity.get("cookie") == record.cookie
