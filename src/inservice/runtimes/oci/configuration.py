"""What a container is created with: SageMaker's contract, in the engine's words. Pure.

`docker run IMAGE serve`, with the model read-only at /opt/ml/model, the environment of the
definition, and port 8080, which SAGEMAKER_BIND_TO_PORT may change. The host reaches that port at
one of its own on the loopback, or, where the network is isolated, not over any network: `netns`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inservice.contract import MODEL_DIR, SUBMIT_DIRECTORY
from inservice.runtimes.base import LaunchSpec
from inservice.runtimes.launching import Files
from inservice.runtimes.oci.engine import PODMAN, Found
from inservice.runtimes.oci.records import Record, labels
from inservice.workload.container import Container

PORT = 8080
BIND_TO_PORT = "SAGEMAKER_BIND_TO_PORT"
"""What a container is told of its port; containers that do not read it listen on 8080."""

CODE_DIR = "/opt/ml/input/code"
"""Where the code is that SAGEMAKER_SUBMIT_DIRECTORY names. Not /opt/ml/code: AWS's toolkit empties
that and copies the code there, from wherever the variable says that it is."""

PODMAN_WITH_GPUS = 5
"""The first version whose API heeds requests for devices. An older one drops them."""

OUTPUT_BYTES_MAX = 16 * 1024 * 1024
"""Of a container's output, as its engine keeps it until it has been read: twice the burst that is
kept of it (`instance_logs.writer`)."""

_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What of the host a container may have, and the devices that are its own. Nothing is said of
    what is 0 or empty: then it has what there is."""

    memory_bytes: int = 0
    cpus: float = 0.0
    gpus: tuple[str, ...] = ()  # UUIDs, MIG slices too

    def host_config(self, engine: Found) -> dict[str, Any]:
        """The same, as its engine takes it."""
        limits: dict[str, Any] = {}
        if self.memory_bytes:  # no swap beside it: AWS's instances have none
            limits |= {"Memory": self.memory_bytes, "MemorySwap": self.memory_bytes}
        if self.cpus:
            limits["NanoCpus"] = round(self.cpus * 1e9)
        if self.gpus:
            request: dict[str, Any] = {"Driver": "nvidia", "DeviceIDs": list(self.gpus)}
            if engine.name == PODMAN:  # which knows devices by CDI's names
                names = [f"nvidia.com/gpu={gpu}" for gpu in self.gpus]
                request = {"Driver": "cdi", "DeviceIDs": names}
            limits["DeviceRequests"] = [{**request, "Capabilities": [["gpu"]]}]
        return limits


def allowance(spec: LaunchSpec) -> Allowance:
    """What its instance type has, where that is enforced, and the devices that it was given."""
    has = spec.workload.resources
    if not spec.is_limited:
        return Allowance(gpus=spec.accelerators)
    return Allowance(has.memory_bytes, float(has.vcpus), spec.accelerators)


def why_no_gpus(engine: Found) -> str:
    """Why this engine would give a container none of the GPUs that it is asked for, and not even
    say so; empty if it gives them."""
    major = engine.version.partition(".")[0]
    if engine.name == PODMAN and major.isdecimal() and int(major) < PODMAN_WITH_GPUS:
        return f"Podman {engine.version} gives none over its API; Podman {PODMAN_WITH_GPUS} does"
    return ""


def port_of(container: Container) -> int:
    """Where it is to listen: as its own Environment says, else 8080."""
    said = container.environment.get(BIND_TO_PORT, "")
    return (
        int(said) if re.fullmatch(r"[1-9]\d{0,4}", said, re.ASCII) and int(said) < 65536 else PORT
    )


def way_out(spec: LaunchSpec) -> int:
    """The port of this host's loopback that code in the container is told to ask; 0: of none."""
    url = urlsplit(spec.environment.get("AWS_ENDPOINT_URL", ""))
    return url.port or 0 if url.hostname in ("localhost", "127.0.0.1") else 0


def environment(
    container: Container, files: Files, region: str, more: Mapping[str, str]
) -> dict[str, str]:
    """What the service sets for a container, and `more` for this instance of it, then its own,
    which wins."""
    ours = {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "SM_MODEL_DIR": MODEL_DIR,
        BIND_TO_PORT: str(port_of(container)),
    }
    submitted = {} if files.code is None else {SUBMIT_DIRECTORY: CODE_DIR}
    return {**ours, **more, **container.environment, **submitted}


def created_with(
    record: Record,
    container: Container,
    variables: Mapping[str, str],
    *,
    server_id: str,
    engine: Found,
    files: Files,
    output: Path,
    allowance: Allowance,
) -> dict[str, Any]:
    """The body of POST /containers/create."""
    mounts = [
        {
            "Type": "bind",
            "Source": str(place),
            "Target": target,
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rprivate"},
        }
        for place, target in ((files.model, MODEL_DIR), (files.code, CODE_DIR))
        if place is not None
    ]
    port = f"{record.port}/tcp"
    reached: dict[str, Any] = {"NetworkMode": "none"}
    if not record.isolated:  # the host's port is one that is free: 0 asks for it
        reached = {"PortBindings": {port: [{"HostIp": "127.0.0.1", "HostPort": "0"}]}}
    named = {}
    if _HOST_NAME.fullmatch(container.name):  # AWS's own rule, more or less; "primary" fits it
        named["Hostname"] = container.name
    return {
        "Image": record.image_id,
        "Cmd": ["serve"],
        **named,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": labels(server_id, record),
        "ExposedPorts": {} if record.isolated else {port: {}},
        "HostConfig": {
            "Mounts": mounts,
            **reached,
            "LogConfig": _log_config(engine, output),
            "RestartPolicy": {"Name": "no"},  # who restarts an instance, and when, is decided here
            # Files that instances share cannot be relabelled for one of them.
            **({"SecurityOpt": ["label=disable"]} if engine.has_selinux else {}),
            **allowance.host_config(engine),
        },
    }


def _log_config(engine: Found, output: Path) -> dict[str, Any]:
    """Where its output goes, and no more of it than this: see `logs`."""
    if engine.name == PODMAN:
        config = {"path": str(output), "max-size": f"{OUTPUT_BYTES_MAX}b"}
        return {"Type": "k8s-file", "Config": config}
    config = {"max-size": f"{OUTPUT_BYTES_MAX // 2**20}m", "max-file": "2"}
    return {"Type": "json-file", "Config": config}
