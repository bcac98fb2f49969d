"""A stage for golden transcripts: one endpoint, a calm world, and commands in plain words.

create old v=4                      CreateEndpoint; models boot in a second
update new v=4 {DeploymentConfig}   UpdateEndpoint; `update new v=4 retain` retains properties
scale v=6 · scale v=6@2             UpdateEndpointWeightsAndCapacities, count @ weight
delete
plan                                the table of the deployment that is under way
after 300                           turns, for so many seconds; quiet ones are not shown
alarm trips · alarm ends
kill new/2 · ill new/0 · well new/0 an instance dies, fails its health checks, gets well
broken new · hangs new · lost old   starts exit; never become ready; the artifact is gone
crash 60                            control is killed and comes back after so many seconds
pause · resume · promote · abort · undo
describe                            what DescribeEndpoint shows
events                              what has been told since the last time
"""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Iterator

from tests.core.deployment.makers import config_of, models_of
from tests.core.deployment.tables import table_of
from tests.core.deployment.world import NEVER, Nature, Worker, World

from inservice.deployment.actions import Action, Launch, Retire, Route
from inservice.deployment.advance import advance
from inservice.deployment.calls import controls
from inservice.deployment.calls.begin import (
    begin_create,
    begin_delete,
    begin_update,
    begin_update_weights_and_capacities,
)
from inservice.deployment.events import Event
from inservice.deployment.state import Decision, Deployment
from inservice.deployment.views.describe import describe
from inservice.errors import ValidationException
from inservice.hosting.endpoint import Endpoint, check_move


class Stage:
    """Performs commands and writes down what came of them."""

    def __init__(self) -> None:
        self.world = World(random.Random(0), skew=0.0, ack_seconds_max=0.0)
        self.world.workers = [Worker(0)]
        self.world.drain_seconds_max = 0.0
        self.endpoint: Endpoint | None = None
        self.deployment: Deployment | None = None
        self.wake_at: float = NEVER
        self.events: list[Event] = []
        self.names: dict[str, str] = {}
        self.started = False

    def perform(self, line: str) -> Iterator[str]:
        """The lines that one command answers with."""
        verb, _, rest = line.partition(" ")
        try:
            yield from getattr(self, f"on_{verb}")(rest)
        except ValidationException as refused:
            yield f"refused: {refused.message}"

    # ── calls ──

    def on_create(self, rest: str) -> Iterator[str]:
        name, *words = shlex.split(rest)
        config = config_of(name, dict(map(_variant, words)))
        decision = begin_create(
            config,
            models_of(config),
            name="demo",
            arn="arn:aws:sagemaker:us-east-1:000000000000:endpoint/demo",
            generation="g",
            alarms={},
            now=self.world.now,
        )
        yield from self._began(decision)

    def on_update(self, rest: str) -> Iterator[str]:
        assert self.endpoint
        assert self.deployment
        rest, brace, document = rest.partition("{")
        name, *words = shlex.split(rest)
        retain = "retain" in words
        config = config_of(name, dict(_variant(word) for word in words if "=" in word))
        decision = begin_update(
            self.endpoint,
            self.deployment,
            config,
            models_of(config),
            deployment_config=json.loads(brace + document) if document else None,
            retain_all_variant_properties=retain,
            retain_deployment_config="same-policy" in words,
            alarms={"errors": "ALARM" if self.world.tripped else "OK"},
            now=self.world.now,
        )
        yield from self._began(decision)

    def on_scale(self, rest: str) -> Iterator[str]:
        assert self.endpoint
        assert self.deployment
        desired = []
        for word in shlex.split(rest):
            name, (size, weight) = _variant(word)
            wish = {"VariantName": name, "DesiredInstanceCount": size}
            desired.append({**wish, "DesiredWeight": weight} if "@" in word else wish)
        yield from self._began(
            begin_update_weights_and_capacities(
                self.endpoint, self.deployment, desired, now=self.world.now
            )
        )

    def on_delete(self, rest: str) -> Iterator[str]:
        assert self.endpoint
        assert self.deployment
        yield from self._began(begin_delete(self.endpoint, self.deployment, now=self.world.now))

    def _began(self, decision: Decision) -> Iterator[str]:
        check_move(self.endpoint.status if self.endpoint else None, decision.endpoint.status)
        self.endpoint, self.deployment = decision.endpoint, decision.deployment
        for fleet in decision.deployment.new:
            several = len(decision.deployment.new) > 1
            name = f"{fleet.config_name}.{fleet.variant.name}" if several else fleet.config_name
            self.names.setdefault(fleet.id, name)
            self.world.natures.setdefault(fleet.id, Nature(boot_seconds=(1.0, 1.0)))
        self.wake_at = self.world.now
        self.events += decision.events
        yield f"{self.world.now:8.1f}  {decision.deployment.phase}: {decision.deployment.strategy}"

    def on_pause(self, rest: str) -> Iterator[str]:
        yield from self._controlled("pause")

    def on_resume(self, rest: str) -> Iterator[str]:
        yield from self._controlled("resume")

    def on_promote(self, rest: str) -> Iterator[str]:
        yield from self._controlled("promote")

    def on_abort(self, rest: str) -> Iterator[str]:
        yield from self._controlled("abort")

    def _controlled(self, verb: str) -> Iterator[str]:
        decision: Decision = getattr(controls, verb)(
            self.endpoint, self.deployment, now=self.world.now
        )
        self.endpoint, self.deployment = decision.endpoint, decision.deployment
        self.wake_at = self.world.now
        self.events += decision.events
        yield f"{self.world.now:8.1f}  {decision.events[0].message}"

    def on_undo(self, rest: str) -> Iterator[str]:
        assert self.endpoint
        assert self.deployment
        yield from self._began(controls.undo(self.endpoint, self.deployment, now=self.world.now))

    # ── the world ──

    def on_alarm(self, rest: str) -> Iterator[str]:
        self.world.tripped = {"errors": "is in ALARM"} if rest == "trips" else {}
        yield from ()

    def on_kill(self, rest: str) -> Iterator[str]:
        for key in self._keys(rest):
            self.world.kill(key, "it was killed by SIGKILL")
        yield from ()

    def on_ill(self, rest: str) -> Iterator[str]:
        for key in self._keys(rest):
            self.world.instances[key].ill_since = self.world.now
        yield from ()

    def on_well(self, rest: str) -> Iterator[str]:
        for key in self._keys(rest):
            self.world.instances[key].ill_since = None
        yield from ()

    def on_broken(self, rest: str) -> Iterator[str]:
        yield from self._nature(rest, Nature(boot_seconds=(1.0, 1.0), exits=1.0))

    def on_hangs(self, rest: str) -> Iterator[str]:
        yield from self._nature(rest, Nature(hangs=1.0))

    def on_lost(self, rest: str) -> Iterator[str]:
        yield from self._nature(rest, Nature(impossible=True))

    def _nature(self, name: str, nature: Nature) -> Iterator[str]:
        self.world.natures[self._fleet(name)] = nature
        yield from ()

    def _keys(self, word: str) -> list[tuple[str, int]]:
        name, _, ordinal = word.partition("/")
        fleet = self._fleet(name)
        return [
            key for key in self.world.instances if key[0] == fleet and ordinal in ("", str(key[1]))
        ]

    def _fleet(self, name: str) -> str:
        return next(fleet for fleet, shown in reversed(self.names.items()) if shown == name)

    def on_crash(self, rest: str) -> Iterator[str]:
        yield f"{self.world.now:8.1f}  control is killed"
        self.world.crashes += 1
        self.world.pass_until(self.world.now + float(rest))
        self.wake_at = self.world.now
        yield f"{self.world.now:8.1f}  control is back"

    # ── turns ──

    def on_after(self, rest: str) -> Iterator[str]:
        end = self.world.now + float(rest)
        while self.endpoint is not None:
            until = min(self.wake_at, self.world.next_event())
            if until > end:
                break
            self.world.pass_until(until)
            yield from self._turn()
        self.world.pass_until(end)
        self.wake_at = min(self.wake_at, end)

    def _turn(self) -> Iterator[str]:
        assert self.endpoint
        assert self.deployment
        world, before, endpoint = self.world, self.deployment, self.endpoint
        world.publish()
        decision = advance(endpoint, before, world.look(), world.now)
        check_move(endpoint.status, None if decision.gone else decision.endpoint.status)
        after = decision.deployment
        self.endpoint, self.deployment = decision.endpoint, after
        self.wake_at = NEVER if decision.wake_at is None else decision.wake_at
        self.events += decision.events
        world.wish = decision.route or world.wish
        for action in decision.actions:
            world.perform(action)
        if decision.gone:
            self.endpoint = None
            yield f"{world.now:8.1f}  the endpoint is gone"
            return
        said = [self._words(action) for action in decision.actions]
        if after.real and not before.real and after.step.hold_seconds:
            said.append(f"holding, {after.step.hold_seconds - after.held_seconds:g} s to go")
        moved = (after.phase, after.row, after.number) != (before.phase, before.row, before.number)
        first, self.started = not self.started, True
        if not said and not moved and not first:
            return
        row = f" {after.row} {after.step.doing}" if not after.over else ""
        reason = ""
        if after.phase is not before.phase:
            reason = after.reason or ""
        yield f"{world.now:8.1f}  {after.phase}{row}{_dotted(*said, reason)}"

    def _words(self, action: Action) -> str:
        if isinstance(action, Route):
            shares = [
                f"{self.names[fleet]} {share / 100:g}%" for fleet, share in action.shares.items()
            ]
            return f"route {', '.join(shares) or 'nothing'}"
        assert isinstance(action, Launch | Retire)
        verb = "launch" if isinstance(action, Launch) else "retire"
        return f"{verb} {self.names[action.fleet]} {_ordinals(action.ordinals)}"

    # ── looking ──

    def on_plan(self, rest: str) -> Iterator[str]:
        assert self.deployment
        yield from table_of(self.deployment.plan, [f.id for f in self.deployment.new])

    def on_describe(self, rest: str) -> Iterator[str]:
        assert self.endpoint
        assert self.deployment
        shown = describe(self.endpoint, self.deployment, self.world.look())
        for name in ("EndpointArn", "EndpointName", "LastDeploymentConfig", "CreationTime"):
            shown.pop(name, None)
        yield from _outline(shown, 0)

    def on_events(self, rest: str) -> Iterator[str]:
        for told in self.events:
            kind = told.detail_type.value.removeprefix("SageMaker ")
            yield f"{told.at:8.1f}  {kind}: {told.status}{_dotted(told.message, told.reason or '')}"
        self.events = []


def _variant(word: str) -> tuple[str, tuple[int, float]]:
    name, _, numbers = word.partition("=")
    size, _, weight = numbers.partition("@")
    return name, (int(size), float(weight or 1))


def _ordinals(ordinals: tuple[int, ...]) -> str:
    first, last = ordinals[0], ordinals[-1]
    if len(ordinals) > 2 and ordinals == tuple(range(first, last + 1)):
        return f"{first}…{last}"
    return " ".join(map(str, ordinals))


def _dotted(*words: str) -> str:
    return "".join(f" · {word}" for word in words if word)


def _outline(value: object, depth: int) -> Iterator[str]:
    """A document as indented lines."""
    pad = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list) and item:
                yield f"{pad}{key}:"
                yield from _outline(item, depth + 1)
            else:
                yield f"{pad}{key}: {item}"
    elif isinstance(value, list):
        for item in value:
            lines = list(_outline(item, depth))
            yield f"{pad}- {lines[0].strip()}"
            yield from (f"  {line}" for line in lines[1:])
    else:
        yield f"{pad}{value}"
