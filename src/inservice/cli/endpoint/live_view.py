"""The picture that `endpoint watch` draws of a deployment: pure, an answer in, lines out.

    title      who, what, from where to where; at the end, how it ended
    place      the steps as a bar, the present one, what is left of its hold
    fleets     each with its traffic and what became of it, and below it its instances one by one
    alarms     each with its state and the datapoints that made it so
    evidence   after a rollback: why, and what the new fleet had answered

Every line fits the width that is given, since the picture is drawn anew for every size: columns
that are needed least go first, names are cut before numbers. Where the height does not suffice,
instances that are well are counted instead of listed: those that are not are what one looks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from inservice.cli.durations import spelled
from inservice.cli.endpoint.drawing import step_bar
from inservice.cli.endpoint.progress import style_of
from inservice.cli.endpoint.verdicts import evidence, headline
from inservice.cli.times import epoch_of

Picture = Mapping[str, Any]
"""DescribeDeployment's answer."""

WIDTH_MIN: Final = 40
"""Below this lines are cut; nobody reads a table in less."""

_TABLE_WIDTH_MAX: Final = 110
"""Wider, the eye loses the row on its way from the name to the numbers."""

_BAR_CELLS_MAX: Final = 24

_ERRORS_RED_PERCENT: Final = 5.0
"""From here on errors are shown as a failure and no longer as a few."""

_COLUMNS: Final = (
    # heading, width, the width of the screen from which on there is room for it
    ("READY", 7, 0),
    ("TRAFFIC", 11, 0),
    ("REQ/S", 9, 0),
    ("ERRORS", 8, 0),
    ("P50", 9, 72),
    ("P99", 9, 58),
)
_STATE_STYLES: Final = {
    "Ready": "green",
    "Unhealthy": "bold red",
    "Gone": "bold red",
    "Draining": "dim",
}
_ALARM_STYLES: Final = {"OK": "green", "ALARM": "bold red"}


def drawn(
    picture: Picture,
    now: float,
    width: int,
    height: int | None = None,
    report: Mapping[str, Any] | None = None,
) -> list[Text]:
    """The whole picture at a moment, epoch seconds, for a screen of that size.

    `report` is DescribeDeploymentReport's answer, once it is over.
    """
    width = max(width, WIDTH_MIN)
    head = [*_title(picture, now), *_place(picture, now), Text(""), _heading(width)]
    foot = [*_alarms(picture, width), *evidence(picture, report)]
    lines_left = None
    if height is not None:
        lines_left = height - len(head) - len(picture["Fleets"]) - _height_of(foot, width) - 1
    body = _fleets(picture, now, width, lines_left)
    return [*(_cut(line, width) for line in [*head, *body]), *foot]


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    line.rstrip()
    return line


def _height_of(lines: Sequence[Text], width: int) -> int:
    """How many rows they take when a terminal wraps them."""
    return sum(max(1, -(-line.cell_len // width)) for line in lines)


# ── title, place ───────────────────────────────────────────────────────────────────────────────


def _title(picture: Picture, now: float) -> Iterator[Text]:
    ended = epoch_of(picture["EndedAt"]) if "EndedAt" in picture else now
    took = spelled(ended - epoch_of(picture["StartedAt"]))
    words, style = headline(picture)
    yield Text.assemble((picture["EndpointName"], "bold"), "  ", (words, style))
    status = picture["EndpointStatus"]
    silent = picture.get("SilentSeconds", 0.0)
    yield Text.assemble(
        (status, style_of(status)),
        f"  {picture['Strategy']}  {'took' if 'Outcome' in picture else 'since'} {took}",
        (f"  no answer for {spelled(silent)}" if silent >= 1 else "", "bold yellow"),
    )


def _place(picture: Picture, now: float) -> Iterator[Text]:
    if "Outcome" in picture:
        return
    steps, row = picture["Steps"], picture["Row"]
    step = steps[row]
    text = f"{step_bar(steps, row, _BAR_CELLS_MAX)}  step {row}/{len(steps) - 1} {step['Doing']}"
    if picture["Paused"]:
        yield Text.assemble(text, ("  paused by hand", "yellow"))
        return
    if "HoldEndsAt" in picture:
        left = max(0.0, epoch_of(picture["HoldEndsAt"]) - now)
        text += f"  {spelled(left)} of {spelled(step['HoldSeconds'])} left"
    yield Text(text)


# ── fleets ─────────────────────────────────────────────────────────────────────────────────────


def _heading(width: int) -> Text:
    cells = "".join(f"{name:>{size}}" for name, size, room in _COLUMNS if width >= room)
    return Text("FLEET".ljust(min(width, _TABLE_WIDTH_MAX) - len(cells)) + cells, style="bold")


def _fleets(picture: Picture, now: float, width: int, lines_left: int | None) -> Iterator[Text]:
    # What is coming first: that is what one watches.
    fleets = sorted(picture["Fleets"], key=lambda fleet: fleet["Role"] != "new")
    for number, fleet in enumerate(fleets):
        yield _fleet(fleet, width)
        share = None if lines_left is None else lines_left // (len(fleets) - number)
        instances = list(_instances(fleet.get("Instances", ()), now, share))
        yield from instances
        if lines_left is not None:
            lines_left -= len(instances)


def _fleet(fleet: Mapping[str, Any], width: int) -> Text:
    ready, wanted = fleet["ReadyInstances"], fleet["DesiredInstances"]
    errors = fleet.get("ErrorPercent")
    gone, traffic = "LastSeen" in fleet, f"{fleet['TrafficPercent']:g}%"
    cells = (
        ("gone" if gone else f"{ready}/{wanted}", "yellow" if ready < wanted else ""),
        (f"at {traffic}" if gone else traffic, ""),
        (_rate(fleet.get("RequestsPerSecond")), ""),
        (_percent(errors), _error_style(errors)),
        (_latency(fleet.get("LatencyP50")), ""),
        (_latency(fleet.get("LatencyP99")), ""),
    )
    shown = [
        (f"{text:>{size}}", style)
        for (text, style), (_, size, room) in zip(cells, _COLUMNS, strict=True)
        if width >= room
    ]
    room = min(width, _TABLE_WIDTH_MAX) - sum(len(text) for text, _ in shown) - 1
    name = Text.assemble(
        (fleet["Role"], "bold"), f" {fleet['VariantName']}  {fleet['EndpointConfigName']}"
    )
    name.truncate(room, overflow="ellipsis", pad=True)
    line = Text.assemble(name, " ", *shown)
    if gone:
        line.stylize("dim", 0, room)
    return line


def _instances(
    instances: Sequence[Mapping[str, Any]], now: float, lines_max: int | None
) -> Iterator[Text]:
    """A line each; of those that are well only their number, if there are too many."""
    listed, counted = list(instances), 0
    if lines_max is not None and len(listed) > lines_max:
        ill = [instance for instance in listed if not _is_well(instance)]
        listed = ill[: max(0, lines_max - 1)]
        counted = len(instances) - len(listed)
    for number, instance in enumerate(listed):
        is_last = number == len(listed) - 1 and not counted
        yield _instance(instance, "└─" if is_last else "├─", now)
    if counted:
        states = [one["State"] for one in instances if one not in listed]
        shown = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        yield Text(f"└─ {shown}")


def _is_well(instance: Mapping[str, Any]) -> bool:
    return bool(instance["State"] == "Ready" and not instance["Restarts"])


def _instance(instance: Mapping[str, Any], branch: str, now: float) -> Text:
    state = instance["State"]
    age = spelled(now - epoch_of(instance["StartedAt"])) if "StartedAt" in instance else ""
    line = Text.assemble(
        f"{branch} {instance['InstanceId'].rpartition('/')[2]:>2}  ",
        (f"{state:<9}", _STATE_STYLES.get(state, "yellow")),
        f"  {age:>6}",
    )
    if instance.get("Runtime") == "oci":
        line.append("  container", style="dim")
    if restarts := instance["Restarts"]:
        line.append(f"  {restarts} restart{'s' if restarts > 1 else ''}", style="yellow")
    if ending := instance.get("Ending"):
        line.append(f"  {ending}", style="red")
    if last := instance.get("LastLine"):
        line.append(f"  {last}", style="dim")
    return line


def _rate(per_second: float | None) -> str:
    if per_second is None:
        return "–"
    return f"{per_second:.1f}" if per_second < 1000 else f"{per_second:.0f}"


def _percent(errors: float | None) -> str:
    if errors is None:
        return "–"
    # Never rounded to what it is not: one error in ten thousand is not none.
    return "<0.1%" if 0 < errors < 0.1 else f"{int(errors * 10) / 10:g}%"


def _error_style(errors: float | None) -> str:
    if not errors:
        return ""
    return "bold red" if errors >= _ERRORS_RED_PERCENT else "yellow"


def _latency(ms: float | None) -> str:
    if ms is None:
        return "–"
    return f"{ms:.1f}ms" if ms < 1000 else f"{ms / 1000:.1f}s"


# ── alarms ─────────────────────────────────────────────────────────────────────────────────────


def _alarms(picture: Picture, width: int) -> Iterator[Text]:
    if picture.get("Alarms"):
        yield Text("")
    for alarm in picture.get("Alarms", ()):
        state, why = alarm["StateValue"], alarm.get("StateReason", "")
        line = Text.assemble(
            f"alarm {alarm['AlarmName']}  ", (state, _ALARM_STYLES.get(state, "yellow"))
        )
        if why not in picture.get("Reason", ""):  # which is told below
            line.append(f"  {why}", style="dim" if state == "OK" else "")
        # The datapoints of one that trips are evidence, and shown whole.
        yield line if state == "ALARM" else _cut(line, width)
