"""How a deployment stands or ended, in words that `watch`, `wait` and `show` have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.text import Text

Picture = Mapping[str, Any]
"""DescribeDeployment's answer."""


_GOING: Final = {
    "Create": "Creating",
    "Update": "Updating",
    "Scale": "Scaling",
    "Delete": "Deleting",
}
_DONE: Final = {"Create": "Created", "Update": "Updated", "Scale": "Scaled", "Delete": "Deleted"}


def headline(picture: Picture) -> tuple[str, str]:
    """What happens or happened, from where to where, and its colour."""
    kind = picture["Kind"]
    source, target = picture.get("FromEndpointConfigName"), picture.get("ToEndpointConfigName")
    forward, back = _way(source, target), _way(target, source)
    match picture.get("Outcome"):
        case "Done":
            return f"✔ {_DONE[kind]}{forward}", "bold green"
        case "RolledBack":
            return f"✖ Rolled back{back}", "bold red"
        case "RollbackFailed":
            return f"✖ The rollback{back} failed", "bold red"
        case "Failed":
            return f"✖ {kind} failed{forward}", "bold red"
    if picture["Phase"] == "RollingBack":
        return f"✖ Rolling back{back}", "bold yellow"
    return f"{_GOING[kind]}{forward}", "bold cyan"


def evidence(picture: Picture, report: Mapping[str, Any] | None) -> Iterator[Text]:
    """Why it turned back or failed, and what the new fleet had answered until then."""
    if reason := picture.get("Reason"):
        yield Text("")
        yield Text(reason, style="red")
    if has_gone_wrong(picture) and report and (line := answered_by_the_new(report)):
        yield Text(line, style="red")


def has_gone_wrong(picture: Picture) -> bool:
    """Whether it is over and did not do what it was to."""
    return picture.get("Outcome") not in (None, "Done")


def answered_by_the_new(report: Mapping[str, Any]) -> str:
    """What became of the requests that the new fleet got; empty if it got none."""
    lines = [line for line in report.get("Lines", ()) if line["Role"] == "new"]
    requests = sum(line["Invocations"] for line in lines)
    if not requests:
        return ""
    errors = sum(line["ModelErrors"] + line["GatewayErrors"] for line in lines)
    return (
        f"The new fleet had {requests} requests and answered {errors} of them with an error "
        f"({100 * errors / requests:.1f}%)."
    )


def _way(begin: str | None, end: str | None) -> str:
    """From one config to another; a creation has one only, and a change in place does not move."""
    if begin and end:
        return f" from {begin} to {end}"
    return f" with {end}" if end and not begin else ""
