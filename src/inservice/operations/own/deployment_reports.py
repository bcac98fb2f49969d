"""DescribeDeploymentReport, of InService's own API: who answered what during a deployment.

The counts are those of the gateway workers, kept by the recorder; what happened when is in the
events. A worker reports once a second, so a report is complete a second after its deployment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from inservice.deployment.events import DetailType, Event
from inservice.deployment.state import OVER, Phase
from inservice.errors import ValidationException
from inservice.ids import number_of
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sagemaker import touches
from inservice.store.collections.endpoints import EVENTS_KEPT
from inservice.telemetry.base import StepCount

_SUMS = ("Invocations", "Served", "ModelErrors", "GatewayErrors", "Abandoned", "Retried")


@operation("inservice", "DescribeDeploymentReport", on=(touches.endpoint,))
def describe_deployment_report(
    call: Call, *, endpoint_name: str, deployment_id: str | None = None
) -> Document:
    """What became of every request of a deployment, by step and fleet; by default the latest."""
    with call.store.reading() as records:
        record = records.endpoints.get(call.account, call.region, endpoint_name)
        history = records.endpoints.events(record.key, limit=EVENTS_KEPT)
    wanted = deployment_id or record.deployment.id
    events = [event for _, event in history if event.deployment == wanted]
    if not events:
        raise ValidationException(
            f'Endpoint "{record.endpoint.arn}" has no deployment "{wanted}" on record.'
        )
    number = int(wanted.rpartition("-")[2])
    counts = call.live.metrics.step_counts(record.endpoint.generation, number)
    workers = {process.pid for process in call.live.processes()}
    return {
        "EndpointName": record.endpoint.name,
        "DeploymentId": wanted,
        **outcome_of(events),
        **report(counts, events, number, workers),
    }


def outcome_of(events: Sequence[Event]) -> Document:
    """When a deployment began and ended, and how, as its events tell it."""
    begun = {"StartedAt": events[0].at}
    over = {phase.value for phase in OVER}
    ends = [e for e in events if e.status in over and e.detail_type is DetailType.ENDPOINT]
    if not ends:
        return begun
    end = ends[0]  # what comes after is told of the endpoint as the deployment left it
    outcome = {
        Phase.IN_SERVICE: "Done" if end.reason is None else "RolledBack",
        Phase.FAILED: "Failed",
        Phase.ROLLBACK_FAILED: "RollbackFailed",
    }[Phase(end.status)]
    reason = {} if end.reason is None else {"Reason": end.reason}
    return {**begun, "EndedAt": end.at, "Outcome": outcome, **reason}


def report(
    counts: Iterable[StepCount], events: Sequence[Event], number: int, workers: set[int]
) -> Document:
    """The lines and their sums. `workers` are the gateway workers that live: what they have not
    answered is under way, what a dead one has not answered is dropped."""
    doing = _doing_by_place(events)
    has_new = any(_number(fleet) == number for event in events for fleet in event.sizes)
    by_line = sorted(counts, key=_order)
    lines = [
        {
            **_step(place, doing),
            "FleetId": fleet,
            "Role": ("new" if _number(fleet) == number else "old") if has_new else "serving",
            **_line(list(same)),
        }
        for (place, fleet), same in groupby(by_line, key=lambda count: (count.place, count.fleet))
    ]
    open_ = _unanswered(by_line)
    return {
        "Lines": lines,
        **{name: sum(line[name] for line in lines) for name in _SUMS},
        "UnderWay": sum(left for pid, left in open_.items() if pid in workers),
        "Dropped": sum(left for pid, left in open_.items() if pid not in workers),
    }


def _line(counts: Sequence[StepCount]) -> Mapping[str, int]:
    """The sums over the workers."""
    gateway_errors = sum(count.gateway_errors for count in counts)
    model_errors = sum(count.model_errors for count in counts)
    return {
        "Invocations": sum(count.invocations for count in counts) + gateway_errors,
        "Served": sum(count.answered for count in counts) - model_errors,
        "ModelErrors": model_errors,
        "GatewayErrors": gateway_errors,
        "Abandoned": sum(count.abandoned for count in counts),
        "Retried": sum(count.retried for count in counts),
    }


def _unanswered(counts: Iterable[StepCount]) -> Mapping[int, int]:
    """Requests sent to a model that nobody has answered or left, by the worker that has them."""
    left: Counter[int] = Counter()
    for count in counts:
        pid = int(count.worker.partition("@")[0])
        left[pid] += count.invocations - count.answered - count.abandoned
    return left


def _step(place: str, doing: Mapping[str, str]) -> Mapping[str, object]:
    what = {"Doing": doing[place]} if place in doing else {}
    return {"Row": _row(place), "Direction": "Back" if _is_back(place) else "Forward", **what}


def _doing_by_place(events: Iterable[Event]) -> Mapping[str, str]:
    """What each step was for, the way forth and the way back apart.

    Only events of the way tell: an end, and what is told of the endpoint after it, has a row of the
    table that was walked last, in a status that no longer says in which direction that was.
    """
    over = {phase.value for phase in OVER}
    return {_place(event): event.doing for event in events if event.status not in over}


def _place(event: Event) -> str:
    """Where the requests of that moment are counted; see `Deployment.step_id`."""
    return f"{'back/' if event.status == Phase.ROLLING_BACK else ''}{event.row}"


def _order(count: StepCount) -> tuple[bool, int, int, str]:
    return _is_back(count.place), _row(count.place), _number(count.fleet), count.fleet


def _is_back(place: str) -> bool:
    return place.startswith("back/")


def _row(place: str) -> int:
    return int(place.removeprefix("back/"))


def _number(fleet: str) -> int:
    """The number of the deployment that made a fleet: "<generation>-<number>-<variant>"."""
    return number_of(fleet)
