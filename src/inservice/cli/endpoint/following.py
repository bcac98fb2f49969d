"""Following a deployment until it has its outcome, for `wait`, `watch` and whatever has `--wait`.

A server that is restarted, or whose control is, answers again within seconds: not being answered
ends nothing until it has lasted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NobodyListens

from inservice.cli.durations import elapsed
from inservice.cli.endpoint import progress
from inservice.cli.endpoint.verdicts import answered_by_the_new, has_gone_wrong, headline

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


def pictures(own: Any, name: str, timeout_seconds: float) -> Iterator[Picture]:
    """The endpoint's deployment, again and again until it has an outcome or the time is up.

    While the server does not answer, the last picture comes again with `SilentSeconds`. When
    another deployment has taken its place meanwhile, its end is looked up in its report. An
    endpoint that was being deleted and is gone has the outcome Done. Raises ClientError and
    botocore's connection errors.
    """
    deadline = time.monotonic() + timeout_seconds
    shown: Picture | None = None
    answered_at = time.monotonic()
    while True:
        try:
            picture = own.describe_deployment(EndpointName=name)
            answered_at = time.monotonic()
        except _AWAY as error:
            picture = _without_an_answer(error, shown, time.monotonic() - answered_at)
        if shown is not None and picture["DeploymentId"] != shown["DeploymentId"]:
            picture = {**shown, **_ended(own, name, shown["DeploymentId"])}
        if picture:
            shown = picture
            yield picture
            if "Outcome" in picture or time.monotonic() >= deadline:
                return
        time.sleep(POLL_SECONDS)


def _without_an_answer(error: Exception, shown: Picture | None, silent_seconds: float) -> Picture:
    """What is known although nothing was answered; nothing, if nothing ever was. Raises `error`
    when it is an answer after all, or when it has lasted."""
    if _is_refusal(error):
        if shown is None or shown["Kind"] != "Delete":
            raise error
        return {**shown, "Outcome": "Done"}
    never_there = shown is None and not isinstance(error, _BUSY)
    if never_there or silent_seconds >= PATIENCE_SECONDS:
        raise error
    return {**shown, "SilentSeconds": silent_seconds} if shown else {}


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
            sys.stdout.write(f"{elapsed(time.monotonic() - started):>8}  {now}\n")
            sys.stdout.flush()
    tell(picture, report_of(own, picture))
    return code_of(picture)


def report_of(own: Any, picture: Picture) -> Mapping[str, Any] | None:
    """What became of the requests of a deployment that did not do what it should; it is evidence,
    and never a reason to fail."""
    if not has_gone_wrong(picture):
        return None
    try:
        answer: Mapping[str, Any] = own.describe_deployment_report(
            EndpointName=picture["EndpointName"], DeploymentId=picture["DeploymentId"]
        )
    except (ClientError, BotoCoreError):
        return None
    return answer


def tell(picture: Picture, report: Mapping[str, Any] | None) -> None:
    """Say on stderr why a deployment did not do what it should, and what shows it."""
    outcome = picture.get("Outcome")
    if outcome is None:
        sys.stderr.write(f"{picture['EndpointName']} is still {picture['EndpointStatus']}\n")
        return
    if reason := picture.get("Reason"):
        sys.stderr.write(f"{_WORDS[outcome]}: {reason}\n")
    for alarm in picture.get("Alarms", ()):
        if has_gone_wrong(picture) and alarm["StateValue"] == "ALARM":
            why = alarm.get("StateReason", "")
            told = f": {why}" if why and why not in picture.get("Reason", "") else "."
            sys.stderr.write(f"Alarm {alarm['AlarmName']} is in ALARM{told}\n")
    if report and (line := answered_by_the_new(report)):
        sys.stderr.write(f"{line}\n")


def code_of(picture: Picture) -> int:
    """The exit code that a deployment deserves."""
    outcome = picture.get("Outcome")
    return progress.OUT_OF_TIME if outcome is None else EXIT_CODES[outcome]


_WORDS: Final = {
    "Done": "Done",
    "RolledBack": "Rolled back",
    "Failed": "Failed",
    "RollbackFailed": "The rollback failed",
}


def line_of(picture: Picture) -> str:
    """A deployment now, in one line that changes only when something did."""
    if "Outcome" in picture:
        return headline(picture)[0]
    step = picture["Steps"][picture["Row"]]
    paused = "  paused" if picture["Paused"] else ""
    fleets = " · ".join(fleet_line(fleet) for fleet in picture["Fleets"])
    place = f"step {picture['Row']}/{len(picture['Steps']) - 1} {step['Doing']}"
    return f"{picture['EndpointStatus']}  {place}{paused}  {fleets}"


def fleet_line(fleet: Mapping[str, Any]) -> str:
    """`new AllTraffic 2/3 25%`."""
    counts = f"{fleet['ReadyInstances']}/{fleet['DesiredInstances']}"
    return f"{fleet['Role']} {fleet['VariantName']} {counts} {fleet['TrafficPercent']:g}%"


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
