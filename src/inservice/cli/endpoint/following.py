"""Following a deployment until it has its outcome, for `wait`, `watch` and whatever has `--wait`.

A server that is restarted, or whose control is, answers again within seconds: not being answered
ends nothing until it has lasted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NobodyListens

from inservice.cli.endpoint import EXIT_CODES_TOLD, progress
from inservice.cli.endpoint.progress import add_timeout

POLL_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 30.0
"""For a server that does not answer. Control is up again within one or two."""

_Errors = tuple[type[Exception], ...]

_BUSY: Final[_Errors] = (HTTPClientError, ClientError)
"""What passes by itself: an answer that was cut off, and, of ClientErrors, those of the server."""

_AWAY: Final[_Errors] = (*_BUSY, NobodyListens)
"""Nobody listens. Of a server that has answered before, that too; of another, it is wrong."""

EXIT_CODES: Final = {
    "Done": progress.DONE,
    "RolledBack": progress.ROLLED_BACK,
    "Failed": progress.FAILED,
    "RollbackFailed": progress.ROLLBACK_FAILED,
}

Picture = dict[str, Any]
"""DescribeDeployment's answer."""


def add_following(parser: argparse.ArgumentParser, *, wait: bool) -> None:
    """Add --timeout, with `wait` also --wait, and say the exit codes."""
    if wait:
        parser.add_argument("--wait", action="store_true", help="stay until it is over")
    add_timeout(parser)
    parser.epilog = EXIT_CODES_TOLD


def pictures(own: Any, name: str, timeout_seconds: float) -> Iterator[Picture]:
    """The endpoint's deployment, again and again until it has an outcome or the time is up.

    When another deployment has taken its place meanwhile, its end is looked up in its report. An
    endpoint that was being deleted and is gone has the outcome Done. Raises ClientError and
    botocore's connection errors.
    """
    deadline = time.monotonic() + timeout_seconds
    shown: Picture | None = None
    while True:
        try:
            picture = _patiently(
                lambda: own.describe_deployment(EndpointName=name), _AWAY if shown else _BUSY
            )
        except ClientError as error:
            if shown is None or shown["Kind"] != "Delete" or not _is_refusal(error):
                raise
            picture = {**shown, "Outcome": "Done"}
        if shown is not None and picture["DeploymentId"] != shown["DeploymentId"]:
            picture = {**shown, **_ended(own, name, shown["DeploymentId"])}
        shown = picture
        yield picture
        if "Outcome" in picture or time.monotonic() >= deadline:
            return
        time.sleep(POLL_SECONDS)


def _patiently(ask: Callable[[], Picture], temporary: _Errors) -> Picture:
    """An answer, also of a server that does not answer for a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except temporary as error:
            if _is_refusal(error) or time.monotonic() >= deadline:
                raise
        time.sleep(POLL_SECONDS)


def follow(own: Any, name: str, timeout_seconds: float) -> int:
    """One plain line per change, until it is over. The exit code that the end deserves."""
    last = ""
    started = time.monotonic()
    picture: Picture = {}
    for picture in pictures(own, name, timeout_seconds):
        if (now := line_of(picture)) != last:
            last = now
            sys.stdout.write(f"{time.monotonic() - started:7.1f} s  {now}\n")
            sys.stdout.flush()
    return told(picture)


def told(picture: Picture) -> int:
    """Say on stderr why a deployment did not do what it should; its exit code."""
    outcome = picture.get("Outcome")
    if outcome is None:
        sys.stderr.write(f"{picture['EndpointName']} is still {picture['EndpointStatus']}\n")
        return progress.OUT_OF_TIME
    if reason := picture.get("Reason"):
        sys.stderr.write(f"{_WORDS[outcome]}: {reason}\n")
    for alarm in picture.get("Alarms", ()):
        if outcome != "Done" and alarm["StateValue"] == "ALARM":
            sys.stderr.write(f"Alarm {alarm['AlarmName']} is in ALARM.\n")
    return EXIT_CODES[outcome]


_WORDS: Final = {
    "Done": "Done",
    "RolledBack": "Rolled back",
    "Failed": "Failed",
    "RollbackFailed": "The rollback failed",
}


def line_of(picture: Picture) -> str:
    """A deployment now, in one line that changes only when something did."""
    if outcome := picture.get("Outcome"):
        config = f"  config {_serving(picture)}" if picture.get("ToEndpointConfigName") else ""
        return f"{_WORDS[outcome]}{config}"
    step = picture["Steps"][picture["Row"]]
    paused = "  paused" if picture["Paused"] else ""
    fleets = " · ".join(fleet_line(fleet) for fleet in picture["Fleets"])
    place = f"step {picture['Row']}/{len(picture['Steps']) - 1} {step['Doing']}"
    return f"{picture['EndpointStatus']}  {place}{paused}  {fleets}"


def fleet_line(fleet: Mapping[str, Any]) -> str:
    """`new AllTraffic 2/3 25%`."""
    counts = f"{fleet['ReadyInstances']}/{fleet['DesiredInstances']}"
    return f"{fleet['Role']} {fleet['VariantName']} {counts} {fleet['TrafficPercent']:g}%"


def _serving(picture: Picture) -> str:
    """The config that serves in the end."""
    back = picture["Outcome"] != "Done" and "FromEndpointConfigName" in picture
    return str(picture["FromEndpointConfigName" if back else "ToEndpointConfigName"])


def _ended(own: Any, name: str, deployment: str) -> Picture:
    report = _patiently(
        lambda: own.describe_deployment_report(EndpointName=name, DeploymentId=deployment), _AWAY
    )
    return {member: report[member] for member in ("Outcome", "Reason") if member in report}


def _is_refusal(error: Exception) -> bool:
    """Whether the server has answered and will answer so again."""
    if not isinstance(error, ClientError):
        return False
    return int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0)) < 500
