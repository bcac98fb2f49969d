"""`inservice endpoint watch` on a terminal: what a person sees, at each width, and at the end."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from rich.cells import cell_len

from inservice.cli.endpoint.live_view import drawn
from inservice.cli.endpoint.watch import Memory
from tests.cli.recorder import Recorder, Reply
from tests.cli.terminal import Terminal, terminal
from tests.cli.test_deployments import AWAY, BACK, BAKING, DONE

pytestmark = pytest.mark.usefixtures("keys")

WIDTHS = (60, 80, 140)
NOW = 1_700_000_023.0
WHOLE = r"Ctrl-C ends the watching; the deployment goes on\.\Z"
"""The last row of the screen: the picture has been drawn to its end."""


def instance(fleet: str, ordinal: int, state: str = "Ready", **more: Any) -> dict[str, Any]:
    return {
        "InstanceId": f"{fleet}/{ordinal}",
        "State": state,
        "Pid": 7,
        "StartedAt": NOW - 67,
        "Restarts": 0,
        **more,
    }


def with_fleets(picture: dict[str, Any], *changes: dict[str, Any]) -> dict[str, Any]:
    """The picture with its fleets (the old one, the new one) changed."""
    fleets = [{**fleet, **change} for fleet, change in zip(picture["Fleets"], changes, strict=True)]
    return {**picture, "Fleets": fleets}


OLD = {
    "RequestsPerSecond": 36.2,
    "ErrorPercent": 0.0,
    "LatencyP50": 3.0,
    "LatencyP99": 12.0,
    "Instances": [instance("a1-1-v", ordinal) for ordinal in range(4)],
}
NEW = {
    "RequestsPerSecond": 12.0,
    "ErrorPercent": 100.0,
    "LatencyP50": 3.0,
    "LatencyP99": 1240.0,
    "Instances": [
        *(instance("a1-2-v", ordinal) for ordinal in range(3)),
        instance(
            "a1-2-v", 3, "Starting", Restarts=2, Ending="exit code 1", LastLine="loading weights"
        ),
    ],
}
SEEN = with_fleets(BAKING, OLD, NEW)
WHY = "Threshold Crossed: 1 datapoint [50.0 (14/11/23 22:13:00)] was greater than the threshold."
TURNED = {
    **BACK,
    "Reason": f'alarm "errors" is in ALARM: {WHY}',
    "Fleets": [{**SEEN["Fleets"][0], "Role": "serving", "TrafficPercent": 100.0}],
    "Alarms": [{"AlarmName": "errors", "StateValue": "ALARM", "StateReason": WHY}],
}
REPORT = {
    "EndpointName": "e",
    "DeploymentId": "a1-2",
    "Lines": [
        {"Role": "new", "Invocations": 60, "ModelErrors": 58, "GatewayErrors": 0},
        {"Role": "old", "Invocations": 900, "ModelErrors": 0, "GatewayErrors": 0},
        {"Role": "new", "Invocations": 60, "ModelErrors": 60, "GatewayErrors": 2},
    ],
}


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_picture_at_each_width(columns: int, server: Recorder) -> None:
    server.play([Reply(SEEN)])
    with terminal("endpoint", "watch", "e", "--endpoint-url", server.url, columns=columns) as seen:
        shown = seen.wait_for(WHOLE)
        rows = seen.rows()
        assert rows[0] == "e  Updating from c1 to c2"
        assert "■▣□□  step 1/3 Baking" in shown
        heading = next(row for row in rows if row.startswith("FLEET")).split()
        assert {"READY", "TRAFFIC", "REQ/S", "ERRORS", "P99"} <= set(heading)
        new = next(row for row in rows if row.startswith("new v"))
        old = next(row for row in rows if row.startswith("old v"))
        assert rows.index(new) < rows.index(old), "what comes is above what goes"
        assert new[new.index("3/4") :].split()[:4] == ["3/4", "25%", "12.0", "100%"]
        assert new.endswith("1.2s")
        # The table lines up: every number ends below its heading.
        head = next(row for row in rows if row.startswith("FLEET"))
        for name, value in (("READY", "3/4"), ("TRAFFIC", "25%"), ("REQ/S", "12.0")):
            assert new.index(value) + len(value) == head.index(name) + len(name)
        instances = rows[rows.index(new) + 1 : rows.index(old)]
        assert [row.split()[:3] for row in instances] == [
            ["├─", "0", "Ready"],
            ["├─", "1", "Ready"],
            ["├─", "2", "Ready"],
            ["└─", "3", "Starting"],
        ]
        assert "2 restarts  exit code 1" in instances[-1]
        assert all(cell_len(row) <= columns for row in rows)
        assert seen.colour_of("100%") == "red"
        assert seen.colour_of("36.2") == "default"


def headings(seen: Terminal) -> list[str]:
    return [row for row in seen.rows() if row.startswith("FLEET")]


def test_it_is_drawn_anew_for_every_size(server: Recorder) -> None:
    server.play([Reply(SEEN)])
    with terminal("endpoint", "watch", "e", "--endpoint-url", server.url, columns=140) as seen:
        wide = seen.wait_for(WHOLE)
        for columns in (60, 80, 60, 140):
            seen.resize(columns, 30)
            table = min(columns, 110)
            seen.wait_until(
                lambda table=table: (  # type: ignore[misc]
                    [len(row) for row in headings(seen)] == [table]
                    and re.search(WHOLE, seen.text()) is not None
                )
            )
            assert seen.rows().count("e  Updating from c1 to c2") == 1, "nothing is left of before"
        assert seen.text() == wide


def test_a_rollback_is_in_the_title_and_leaves_its_evidence(server: Recorder) -> None:
    server.play([Reply(SEEN), Reply(SEEN), Reply(TURNED), Reply(REPORT)])
    with terminal("endpoint", "watch", "e", "--endpoint-url", server.url, columns=100) as seen:
        assert seen.ended() == 3
        shown = seen.text()
        assert "e  ✖ Rolled back from c2 to c1" in shown
        assert seen.colour_of("✖ Rolled back") == "red"
        gone = next(row for row in seen.rows() if row.startswith("new v"))
        assert gone[gone.index("gone") :].split()[:5] == ["gone", "at", "25%", "12.0", "100%"]
        assert seen.colour_of("100%  ") == "red"
        flat = " ".join(shown.split())
        assert WHY.split("[")[1].split("]")[0] in flat, "the alarm's datapoint"
        assert "had 120 requests and answered 120 of them with an error (100.0%)" in flat
        assert flat.count("Threshold Crossed") == 1


@pytest.mark.parametrize(
    ("end", "title", "colour"),
    [
        (DONE, "e  ✔ Updated from c1 to c2", "green"),
        ({**TURNED, "Outcome": "RollbackFailed"}, "e  ✖ The rollback from c2 to c1 failed", "red"),
        (
            {**TURNED, "Kind": "Create", "Outcome": "Failed", "FromEndpointConfigName": None},
            "e  ✖ Create failed with c2",
            "red",
        ),
    ],
)
def test_every_end_has_its_title(
    end: dict[str, Any], title: str, colour: str, server: Recorder
) -> None:
    end = {member: value for member, value in end.items() if value is not None}
    server.play([Reply(end), Reply(REPORT)])
    with terminal("endpoint", "watch", "e", "--endpoint-url", server.url) as seen:
        seen.ended()
        assert title in seen.text()
        assert seen.colour_of(title[3]) == colour


def test_no_colour_where_none_is_wanted(server: Recorder) -> None:
    server.play([Reply(TURNED), Reply(REPORT)])
    words = ["endpoint", "watch", "e", "--endpoint-url", server.url]
    with terminal(*words, NO_COLOR="1") as seen:
        assert seen.ended() == 3
        assert "✖ Rolled back" in seen.text()
        assert seen.colour_of("✖ Rolled back") == "default"


def test_a_server_that_is_silent_is_said_to_be(server: Recorder) -> None:
    """The picture of before must not look like the present."""
    server.play([Reply(SEEN), *[AWAY] * 8, Reply(DONE)])
    with terminal("endpoint", "watch", "e", "--endpoint-url", server.url) as seen:
        assert seen.wait_for(r"no answer for 1s")
        assert seen.ended() == 0
        assert "no answer" not in seen.text()


def test_ctrl_c_leaves_the_last_picture(server: Recorder) -> None:
    server.play([Reply(SEEN)])
    with terminal("endpoint", "watch", "e", "--endpoint-url", server.url) as seen:
        seen.wait_for("alarm errors")
        seen.child.send_signal(signal.SIGINT)
        assert seen.ended() == 130
        assert "new v" in seen.text()
        assert "goes on" in seen.text()


def plain(picture: dict[str, Any], width: int, height: int | None = None) -> list[str]:
    return [line.plain for line in drawn(picture, NOW, width, height)]


@pytest.mark.parametrize("width", [*range(40, 200, 7)])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    long = "n" * 63
    fleets = [{**fleet, "VariantName": long} for fleet in SEEN["Fleets"]]
    picture = {**SEEN, "EndpointName": long, "ToEndpointConfigName": long, "Fleets": fleets}
    assert all(cell_len(line) <= width for line in plain(picture, width))


@pytest.mark.parametrize("height", [10, 12, 16, 24])
def test_of_many_instances_those_that_are_ill_are_listed(height: int) -> None:
    many = [instance("a1-2-v", ordinal) for ordinal in range(50)]
    many[41] = instance("a1-2-v", 41, "Unhealthy")
    lines = plain(with_fleets(BAKING, OLD, {**NEW, "Instances": many}), 80, height)
    assert any("49 Ready" in line or "Ready, 1 Unhealthy" in line for line in lines)
    if height >= 16:
        assert any("41  Unhealthy" in line for line in lines)
        assert len(lines) <= height
    assert any("alarm errors" in line for line in lines)


def test_a_few_errors_are_not_rounded_to_none() -> None:
    few = with_fleets(BAKING, OLD, {**NEW, "ErrorPercent": 0.01})
    assert any("<0.1%" in line for line in plain(few, 80))
    most = with_fleets(BAKING, OLD, {**NEW, "ErrorPercent": 99.96})
    assert any("99.9%" in line for line in plain(most, 80))


def test_a_rollback_under_way_says_where_to() -> None:
    back = {**SEEN, "Phase": "RollingBack", "EndpointStatus": "RollingBack"}
    assert plain(back, 80)[0] == "e  ✖ Rolling back from c2 to c1"


def test_the_memory_is_of_what_the_fleet_answered_last() -> None:
    memory = Memory()
    memory.completed(SEEN)
    idle = {"RequestsPerSecond": 0.0, "TrafficPercent": 0.0}
    new = {**BAKING["Fleets"][1], **idle}
    back = {**SEEN, "Phase": "RollingBack", "Fleets": [SEEN["Fleets"][0], new]}
    assert memory.completed(back)["Fleets"][1]["RequestsPerSecond"] == 0.0, "now it has none"
    gone = memory.completed(TURNED)["Fleets"][0]
    assert (gone["ErrorPercent"], gone["TrafficPercent"], gone["LastSeen"]) == (100.0, 25.0, True)
    other = memory.completed({**TURNED, "DeploymentId": "a1-3"})
    assert len(other["Fleets"]) == 1, "another deployment has not lost it"
