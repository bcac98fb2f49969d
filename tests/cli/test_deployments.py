"""`inservice endpoint plan|watch|wait|pause|…|report` against canned answers, in this process."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

import pytest

from inservice.cli.endpoint import following
from tests.cli.conftest import Ran, Run
from tests.cli.recorder import Recorder, Reply
from tests.cli.replies import ARN
from tests.cli.test_completion import offered
from tests.cli.test_drawing import CANARY
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("keys")

BAKING: dict[str, Any] = {
    "EndpointName": "e",
    "EndpointStatus": "Updating",
    "DeploymentId": "a1-2",
    "Kind": "Update",
    "Strategy": "canary",
    "Phase": "Updating",
    "FromEndpointConfigName": "c1",
    "ToEndpointConfigName": "c2",
    "StartedAt": 1_700_000_000.0,
    "Row": 1,
    "Steps": CANARY,
    "Paused": False,
    "HoldEndsAt": 1_700_000_090.0,
    "Fleets": [
        {
            "FleetId": f"a1-{number}-v",
            "VariantName": "v",
            "EndpointConfigName": f"c{number}",
            "Role": role,
            "DesiredInstances": 4,
            "ReadyInstances": ready,
            "StartingInstances": 4 - ready,
            "TrafficPercent": percent,
        }
        for number, role, ready, percent in ((1, "old", 4, 75.0), (2, "new", 3, 25.0))
    ],
    "Alarms": [{"AlarmName": "errors", "StateValue": "OK"}],
}
ENDED = {**BAKING, "EndpointStatus": "InService", "Phase": "InService", "EndedAt": 1_700_000_100.0}
DONE = {**ENDED, "Outcome": "Done"}
BACK = {
    **ENDED,
    "Outcome": "RolledBack",
    "Reason": 'alarm "errors" is in ALARM',
    "Alarms": [{"AlarmName": "errors", "StateValue": "ALARM"}],
}
ROLLED_BACK = 'Rolled back: alarm "errors" is in ALARM\nAlarm errors is in ALARM.\n'
REFUSED = Reply({"__type": "ValidationException", "message": "It is paused already."}, 400)
AWAY = Reply({"__type": "ServiceUnavailable", "message": "starting"}, 503)
OBEYED = Reply({"EndpointName": "e", "DeploymentId": "a1-2"})


@pytest.fixture
def endpoint(inservice: Run, server: Recorder) -> Any:
    def run(*words: str, replies: list[Reply]) -> Ran:
        server.play(replies)
        return inservice("endpoint", *words, "--endpoint-url", server.url)

    return run


def asked(server: Recorder) -> list[tuple[str, Any]]:
    return [(r["headers"]["x-amz-target"].split(".")[-1], r["body"]) for r in server.requests]


def lines(ran: Ran) -> list[str]:
    """What was shown, without the seconds."""
    return [line.split("s  ", 1)[1] for line in ran.out.splitlines()]


@pytest.mark.parametrize("verb", ["wait", "watch"])
@pytest.mark.parametrize(
    ("end", "code", "last", "says"),
    [
        (DONE, 0, "✔ Updated from c1 to c2", ""),
        (BACK, 3, "✖ Rolled back from c2 to c1", ROLLED_BACK),
        (
            {**ENDED, "Outcome": "Failed", "Reason": "no ping", "Alarms": []},
            5,
            "✖ Update failed from c1 to c2",
            "Failed: no ping\n",
        ),
        (
            {**ENDED, "Outcome": "RollbackFailed", "Reason": "both"},
            6,
            "✖ The rollback from c2 to c1 failed",
            "The rollback failed: both\n",
        ),
    ],
)
def test_how_it_ends(
    verb: str, end: dict[str, Any], code: int, last: str, says: str, endpoint: Any
) -> None:
    paused = {**BAKING, "Paused": True}
    replies = [Reply(picture) for picture in (BAKING, BAKING, paused, end)]
    ran = endpoint(verb, "e", replies=replies)
    assert (ran.code, ran.err) == (code, says)
    # One plain line per change, though it was asked four times.
    assert lines(ran) == [
        "Updating  step 1/3 Baking  old v 4/4 75% · new v 3/4 25%",
        "Updating  step 1/3 Baking  paused  old v 4/4 75% · new v 3/4 25%",
        last,
    ]
    assert "\x1b" not in ran.out


def test_out_of_time(endpoint: Any) -> None:
    ran = endpoint("wait", "e", "--timeout", "0s", replies=[Reply(BAKING)])
    assert (ran.code, ran.err) == (4, "e is still Updating\n")
    assert endpoint("wait", "e", "--timeout", "soon", replies=[Reply(BAKING)]).code == 2


def test_control_may_be_away_for_a_moment(endpoint: Any) -> None:
    ran = endpoint("wait", "e", replies=[Reply(BAKING), AWAY, AWAY, Reply(DONE)])
    assert (ran.code, lines(ran)[-1]) == (0, "✔ Updated from c1 to c2")


def test_whoever_follows_is_not_kept_from_knowing(
    endpoint: Any, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore would ask four times, with pauses, before it said that nobody answers."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "9")
    broken = [Reply(BAKING), AWAY, Reply(DONE)]
    assert endpoint("wait", "e", replies=broken).code == 0
    assert len(server.requests) == 3


def test_not_for_ever(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.3)
    ran = endpoint("wait", "e", replies=[Reply(BAKING), AWAY])
    assert ran.code == 1
    assert "starting" in ran.err


def test_a_server_that_was_never_there_is_not_waited_for(
    inservice: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    ran = inservice("endpoint", "wait", "e", "--endpoint-url", "http://127.0.0.1:1")
    assert (ran.code, ran.out) == (1, "")
    assert pauses == []


def test_the_end_of_one_that_another_has_followed(endpoint: Any, server: Recorder) -> None:
    other = {**BAKING, "DeploymentId": "a1-3"}
    ended = {"EndpointName": "e", "Outcome": "RolledBack", "Reason": "an alarm", "Lines": []}
    ran = endpoint("wait", "e", replies=[Reply(BAKING), Reply(other), Reply(ended)])
    assert (ran.code, ran.err) == (3, "Rolled back: an alarm\n")
    wanted = {"EndpointName": "e", "DeploymentId": "a1-2"}
    assert asked(server)[-1] == ("DescribeDeploymentReport", wanted)


def test_a_deletion_ends_with_nothing_to_describe(endpoint: Any) -> None:
    deleting = {**BAKING, "Kind": "Delete", "EndpointStatus": "Deleting", "Alarms": []}
    del deleting["ToEndpointConfigName"]
    ran = endpoint("wait", "e", replies=[Reply(deleting), REFUSED])
    assert (ran.code, lines(ran)[-1]) == (0, "✔ Deleted")
    assert endpoint("wait", "e", replies=[Reply(BAKING), REFUSED]).code == 1


def test_ctrl_c_leaves_the_deployment_alone(endpoint: Any, server: Recorder) -> None:
    def interrupt() -> None:
        wait_until(lambda: len(server.requests) >= 2)
        signal.raise_signal(signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    server.requests.clear()
    interrupting.start()
    ran = endpoint("watch", "e", replies=[Reply(BAKING)])
    interrupting.join()
    assert ran.code == 130
    assert "goes on" in ran.err
    assert {name for name, _ in asked(server)} == {"DescribeDeployment"}


@pytest.mark.parametrize(
    ("verb", "operation", "says"),
    [
        ("pause", "PauseDeployment", "e: paused"),
        ("resume", "ResumeDeployment", "e: resumed"),
        ("promote", "PromoteDeployment", "e: promoted"),
        ("abort", "AbortDeployment", "e: aborted"),
        ("undo", "UndoDeployment", "e: undoing"),
    ],
)
def test_hand_controls(
    verb: str, operation: str, says: str, endpoint: Any, server: Recorder
) -> None:
    ran = endpoint(verb, "e", replies=[OBEYED])
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(says)
    assert ran.out.count("\n") == 1
    assert asked(server) == [(operation, {"EndpointName": "e"})]
    refused = endpoint(verb, "e", replies=[REFUSED])
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("ValidationException: It is paused already.\n")
    back = endpoint(verb, "e", "--wait", replies=[OBEYED, Reply(BAKING), Reply(BACK)])
    assert back.code == (0 if verb == "abort" else 3), "an abort was asked to roll back"
    assert "Exit codes: 0 done" in " ".join(endpoint(verb, "--help", replies=[OBEYED]).out.split())


def test_plan(endpoint: Any, server: Recorder) -> None:
    plan = {
        "Strategy": "canary",
        "Steps": CANARY,
        "PeakInstances": 8,
        "HoldSeconds": 900,
        "TimeoutSeconds": 28_800,
        "Alarms": [{"AlarmName": "errors", "StateValue": "OK"}],
    }
    words = ["plan", "e", "--config", "c2", "--strategy", "canary", "--size", "25%", "--bake", "5m"]
    ran = endpoint(*words, replies=[Reply(plan)])
    assert (ran.code, ran.err) == (0, "")
    (name, request), *_ = asked(server)
    assert (name, request["EndpointConfigName"]) == ("PlanDeployment", "c2")
    assert request["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    shown = ran.out.splitlines()
    assert shown[:3] == [
        "e → c2, canary",
        "STEP  DOING   VARIANT  OLD  NEW  TO NEW  HOLD  BEGINS AFTER",
        "0     Baking  v        4    4    0%            0",
    ]
    assert "at most 8 instances at once · holds 15m in all · turns back after 8h" in shown
    assert shown[-1] == "alarm errors  OK"
    as_json = endpoint(*words, "--output", "json", replies=[Reply(plan)])
    assert json.loads(as_json.out) == plan
    wrong = endpoint("plan", "e", "--config", "c", "--size", "1", replies=[Reply(plan)])
    assert (wrong.code, wrong.err) == (2, "--size needs a --strategy.\n")


def test_an_update_takes_the_same_words_as_its_plan(endpoint: Any, server: Recorder) -> None:
    words = ["--config", "c2", "--strategy", "linear", "--size", "1", "--bake", "60"]
    replies = [Reply({"EndpointArn": ARN, "Steps": CANARY})]
    assert endpoint("update", "e", *words, "--no-lint", replies=replies).code == 0
    updated = asked(server)[0][1]
    endpoint("plan", "e", *words, "--output", "json", replies=replies)
    assert asked(server)[0][1] == updated


def test_history(endpoint: Any, server: Recorder) -> None:
    event = {"At": 1_700_000_000.0, "DeploymentId": "a1-2", "Row": 1, "What": "Step 1: Baking."}
    pages = [
        Reply({"Events": [{**event, "Event": '{"id": "1"}'}], "NextToken": "1"}),
        Reply({"Events": [{**event, "Row": 2, "What": "x" * 200, "Event": '{"id": "2"}'}]}),
    ]
    ran = endpoint("history", "e", "--deployment", "a1-2", replies=pages)
    assert ran.out.splitlines() == [
        "TIME                  DEPLOYMENT  STEP  WHAT",
        "2023-11-14T22:13:20Z  a1-2        1     Step 1: Baking.",
        f"2023-11-14T22:13:20Z  a1-2        2     {'x' * 200}",
    ]
    wanted = {"EndpointName": "e", "DeploymentId": "a1-2"}
    assert [body for _, body in asked(server)] == [wanted, {**wanted, "NextToken": "1"}]
    as_json = endpoint("history", "e", "--output", "json", replies=pages)
    assert json.loads(as_json.out) == [{"id": "1"}, {"id": "2"}]


def test_report(endpoint: Any) -> None:
    names = ("Invocations", "Served", "ModelErrors", "GatewayErrors", "Abandoned", "Retried")
    counts = dict(zip(names, (9, 5, 1, 2, 1, 4), strict=True))
    line = {"Row": 2, "FleetId": "a1-2-v", "Role": "new", **counts}
    answer = {
        "EndpointName": "e",
        "DeploymentId": "a1-2",
        "Lines": [
            {**line, "Direction": "Forward", "Doing": "Baking"},
            {**line, "Direction": "Back"},
        ],
        **{name: 2 * number for name, number in counts.items()},
        "UnderWay": 3,
        "Dropped": 0,
    }
    ran = endpoint("report", "e", replies=[Reply(answer)])
    assert [line.split() for line in ran.out.splitlines()[2:]] == [
        ["2", "Baking", "new", "9", "5", "1", "2", "1", "4"],
        ["back", "2", "new", "9", "5", "1", "2", "1", "4"],
        ["all", "18", "10", "2", "4", "2", "8"],
        ["0", "dropped,", "3", "under", "way"],
    ]
    as_json = endpoint("report", "e", "--output", "json", replies=[Reply(answer)])
    assert json.loads(as_json.out) == answer


def test_completion_knows_the_verbs_and_their_values() -> None:
    assert offered("endpoint pro") == ["promote"]
    assert offered("endpoint plan e --strategy ro") == ["rolling"]
    assert offered("endpoint wait e --timeo") == ["--timeout"]
    assert "--termination-wait" in offered("endpoint update e --t")
