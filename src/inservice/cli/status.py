"""`inservice status`: what runs, since when, and how the endpoints are."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from inservice.cli import capacity, ours, server
from inservice.cli.durations import spelled
from inservice.cli.server import Running


def run(argv: list[str]) -> int:
    """0 with the picture on stdout; 1 when no server runs here or it does not answer."""
    parser = server.arguments("status", "What runs, since when, and how the endpoints are.")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args(argv)
    settings = server.settings_of(options)
    running = server.find(settings)
    if running is None:
        sys.stderr.write(f"No server runs on {settings.data_dir}; start one: inservice up\n")
        return 1
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        picture = look(running)
    except (BotoCoreError, ClientError) as failure:
        sys.stderr.write(f"The server (pid {running.pid}) does not answer: {failure}\n")
        return 1
    if options.output == "json":
        sys.stdout.write(json.dumps(picture, indent=4) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(picture)) + "\n")
    return 0


_CONTAINER = "  container"
"""Said of an instance that is one. That it is a process is the rule."""

_ISOLATION = {
    "OwnUser": "Each instance runs as a user of its own and sees none of the server's files.",
    "SharedUser": "All models run as the one user of INSERVICE_MODEL_USER, unprotected from one "
    "another.",
    "Namespace": "Models run as this server's user, in a view without the server's files.",
}


def look(running: Running) -> dict[str, Any]:
    """Everything that `status` shows, ready for JSON; times are epoch seconds."""
    seen = ours.client(running).describe_server()
    pages = ours.client(running, "sagemaker").get_paginator("list_endpoints").paginate()
    return {
        "url": running.url,
        "version": seen["Version"],
        "account_id": running.account_id,
        "region": running.region,
        "supervisor": {"pid": running.pid},
        "processes": [
            {"name": p["Name"], "pid": p["Pid"], "started_at": p["StartedAt"].timestamp()}
            for p in seen["Processes"]
        ],
        "endpoints": [
            {
                "name": endpoint["EndpointName"],
                "status": endpoint["EndpointStatus"],
                "modified_at": endpoint["LastModifiedTime"].timestamp(),
            }
            for page in pages
            for endpoint in page["Endpoints"]
        ],
        "instances": [
            {
                "id": instance["InstanceId"],
                "endpoint": instance["EndpointName"],
                "variant": instance["VariantName"],
                "pid": instance["Pid"],
                "state": instance["State"],
                "runtime": instance["Runtime"],
                "started_at": instance["StartedAt"].timestamp(),
            }
            for instance in seen["Instances"]
            if instance.get("AccountId", running.account_id) == running.account_id
        ],
        "other_accounts": _of_others(seen, running),
        "model_isolation": {
            "level": seen.get("ModelIsolation", {}).get("Level"),
            "reason": seen.get("ModelIsolation", {}).get("Reason") or None,
            "unplaced": seen.get("ModelIsolation", {}).get("Unplaced") or None,
        },
        "container_engine": _engine(seen.get("ContainerEngine")),
        "storage": _storage(seen.get("Storage")),
        "capacity": capacity.picture(seen.get("Capacity")),
        "set_aside": [
            {
                "record": each["Record"],
                "why": each["Why"],
                "set_aside_at": each["SetAsideAt"].timestamp(),
            }
            for each in seen["SetAside"]
        ],
    }


def _engine(seen: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What runs container images; None for whoever is not told."""
    if seen is None:
        return None
    members = ("Name", "Version", "Socket", "Rootless", "Note")
    return {member.lower(): seen.get(member) for member in members}


def _storage(seen: Mapping[str, int] | None) -> dict[str, int | None] | None:
    """What objects there are; None of a server that keeps none."""
    if seen is None:
        return None
    return {
        "buckets": seen["BucketCount"],
        "objects": seen["ObjectCount"],
        "bytes": seen["Bytes"],
        "uploads": seen["UploadCount"],
        "quota_bytes": seen.get("QuotaBytes"),
    }


def _of_others(seen: Mapping[str, Any], running: Running) -> dict[str, int]:
    """What other accounts than the server's own have running."""
    return {
        key: sum(one.get("AccountId", running.account_id) != running.account_id for one in each)
        for key, each in (("endpoints", seen["Endpoints"]), ("instances", seen["Instances"]))
    }


def _lines(picture: dict[str, Any]) -> list[str]:
    now = time.time()
    lines = [
        f"InService {picture['version']} answers at {picture['url']}",
        f"account {picture['account_id']}, region {picture['region']}",
        "",
        f"{'PROCESS':<12} {'PID':>8}  UP",
        f"{'supervisor':<12} {picture['supervisor']['pid']:>8}",
    ]
    lines += [
        f"{p['name']:<12} {p['pid']:>8}  {spelled(now - p['started_at'])}"
        for p in picture["processes"]
    ]
    if picture["model_isolation"]["level"]:
        lines += ["", _isolation(**picture["model_isolation"])]
    if picture["container_engine"]:
        lines += ["", _containers(**picture["container_engine"])]
    if picture["storage"]:
        lines += ["", _held(picture["storage"])]
    if picture["capacity"]:
        lines += ["", *capacity.lines(picture["capacity"])]
    if picture["set_aside"]:
        lines += ["", "SET ASIDE, because it cannot be read (docs/howto/recover.md)"]
        lines += [f"  {each['record']}: {each['why']}" for each in picture["set_aside"]]
    if picture["other_accounts"]["endpoints"]:
        lines += [
            "",
            "Other accounts: {endpoints} endpoints, {instances} instances".format(
                **picture["other_accounts"]
            ),
        ]
    if not picture["endpoints"]:
        return [*lines, "", "No endpoints yet."]
    lines += ["", f"{'ENDPOINT':<32} {'STATUS':<20} SINCE"]
    for endpoint in picture["endpoints"]:
        since = spelled(now - endpoint["modified_at"])
        lines.append(f"{endpoint['name']:<32} {endpoint['status']:<20} {since}")
        lines += [
            f"  {i['variant']:<28} {i['state']:<12} pid {i['pid']:<8} "
            f"{spelled(now - i['started_at'])}{_CONTAINER if i['runtime'] == 'oci' else ''}"
            for i in picture["instances"]
            if i["endpoint"] == endpoint["name"]
        ]
    return lines


def _containers(
    name: str | None, version: str, socket: str, rootless: bool, note: str | None
) -> str:
    """What runs container images, in a sentence."""
    if name is None:
        return f"Containers: {note}"
    kind = f"rootless {name}" if rootless else name
    return f"Containers: {kind} {version}, at {socket}."


def _held(picture: Mapping[str, int | None]) -> str:
    """What objects there are, in a sentence."""
    quota = f" of {picture['quota_bytes']:,}" if picture["quota_bytes"] else ""
    uploads = f", {picture['uploads']:,} uploads under way" if picture["uploads"] else ""
    return "S3: {buckets:,} buckets, {objects:,} objects, {bytes:,} bytes{}{}.".format(
        quota, uploads, **picture
    )


def _isolation(level: str, reason: str | None, unplaced: str | None) -> str:
    """As whom models run, and where they find their files, in a sentence or two."""
    where = "There is no /opt/ml/model for them, nor a /tmp of their own"
    if level == "None":
        return (
            f"Models run with all the rights of this server, because {reason} "
            f"(docs/concepts/security.md). {where}."
        )
    words = _ISOLATION.get(level, f"Models run isolated: {level}.")
    if unplaced:
        return f"{words} {where}, because {unplaced}."
    return f"{words} Each finds its artifact in /opt/ml/model."
