"""Planted bugs: each is one small edit of shipped code, and the simulation must name every one.

A simulation that finds nothing proves little until it has been seen to find something. Each mutant
replaces a piece of source that must occur exactly once, so that a mutant cannot outlive the line
it is about. The functions that come out different get the changed code for as long as it is
planted; everybody who knows them knows them so.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from inservice.channel import control, publishing, worker
from inservice.controller.endpoints import (
    act,
    instances,
    launches,
    observe,
    reconciler,
    watchers,
)
from inservice.controller.kit import tables
from inservice.deployment import actions, advance, plan, trouble, waits
from inservice.runtimes import launching
from inservice.store import feed
from inservice.store.collections import alarms, endpoints


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug."""

    name: str
    module: ModuleType
    old: str
    new: str
    noticed: int = 0  # by the history of this seed, when it was last looked: the first to be tried


CORE = (
    Mutant(
        "traffic goes to a new fleet before it is ready",
        advance,
        "    if not is_ready(step, facts):\n        return deployment\n",
        "",
        noticed=48,
    ),
    Mutant(
        "an instance is stopped that a gateway may still choose",
        actions,
        "seen.present.difference(seen.draining, seen.routed, wanted(size, seen))",
        "seen.present.difference(seen.draining, wanted(size, seen))",
        noticed=26,
    ),
    Mutant(
        "the old fleet goes on being stopped after the new one died",
        actions,
        "only_useless=not is_ready(step, facts)",
        "only_useless=False",
        noticed=31,
    ),
    Mutant(
        "acknowledgements of the gateways are not waited for",
        actions,
        "    if facts.shares != route.shares:\n        return False\n",
        "",
        noticed=1,
    ),
    Mutant(
        "an alarm is ignored in the last bake",
        trouble,
        "if not facts.tripped or",
        'if deployment.step.hold_name == "TerminationWaitInSeconds" or not facts.tripped or',
        noticed=104,
    ),
    Mutant(
        "an alarm is ignored between bakes",
        trouble,
        "if not facts.tripped or",
        "if not deployment.step.hold_seconds or not facts.tripped or",
        noticed=23,
    ),
    Mutant(
        "an alarm turns back what is beyond the point of no return",
        trouble,
        "return cannot_start(deployment, facts) if _old_still_runs(deployment, facts) else None",
        "return _alarm(deployment, facts)",
        noticed=5,
    ),
    Mutant(
        "a lost instance of the new fleet is quietly replaced",
        trouble,
        "        or _lost(deployment, facts)\n",
        "",
        noticed=18,
    ),
    Mutant(
        "an abort by hand is forgotten",
        trouble,
        "        deployment.aborted\n        or _alarm",
        "        _alarm",
        noticed=12,
    ),
    Mutant(
        "MaximumExecutionTimeoutInSeconds is not watched",
        trouble,
        "        or _out_of_time(deployment, deployment.timeout_seconds)\n",
        "",
        noticed=37,
    ),
    Mutant(
        "a rollback that cannot finish goes on for ever",
        trouble,
        "return cannot_start(deployment, facts) or "
        "_out_of_time(deployment, TIMEOUT_SECONDS_DEFAULT)",
        "return None",
        noticed=35,
    ),
    Mutant(
        "a fleet that hangs is waited for until the timeout",
        trouble,
        "if seen.starting.get(ordinal, 0.0) > want.start_seconds_max:",
        "if seen.starting.get(ordinal, 0.0) > 20_000:",
        noticed=24,
    ),
    Mutant(
        "weight stays stuck on a dead fleet",
        advance,
        "    shares = spill(deployment.shares, deployment.step, facts)\n",
        "    shares = deployment.shares\n",
        noticed=24,
    ),
    Mutant(
        "a rolling batch rounds the old fleet down",
        plan,
        "kept = {f.id: ceil(f.size * (1 - moved[f.variant.name])) for f in change.old}",
        "kept = {f.id: int(f.size * (1 - moved[f.variant.name])) for f in change.old}",
        noticed=2,
    ),
    Mutant(
        "a rolling batch stops the old before it bakes",
        plan,
        "        rows += [change.step(Doing.SHIFTING, kept, made, moved)]\n"
        "        if bake_seconds:",
        "        rows += [change.step(Doing.SHIFTING, kept, made, moved)]\n"
        "        rows += [change.step(Doing.DELETING, _none(change.old), made, moved)]\n"
        "        if bake_seconds:",
        noticed=2,
    ),
    Mutant(
        "a canary is nine tenths",
        plan,
        "part = {f.variant.name: _part(size, f.size, CANARY_PERCENT_MAX) for f in change.new}",
        "part = {f.variant.name: Fraction(9, 10) for f in change.new}",
        noticed=47,
    ),
    Mutant(
        "the way back leaves the new fleet running",
        plan,
        "rows = [flip, change.step(Doing.DELETING, whole, none, home, back=True)]",
        "rows = [flip, change.step(Doing.DELETING, whole, made, home, back=True)]",
        noticed=18,
    ),
    Mutant(
        "shares do not sum to the whole",
        plan,
        "    for key in sorted(exact, key=lambda key: shares[key] - exact[key])[:left]:\n"
        "        shares[key] += 1\n",
        "",
        noticed=1,
    ),
    Mutant(
        "a bake begins again when it was interrupted",
        advance,
        "later = replace(walked, real=False, stopping=stopping)",
        "later = replace(walked, real=False, stopping=stopping, held_seconds=0.0)",
        noticed=64,
    ),
    Mutant(
        "a bake counts the time that nobody watched",
        advance,
        "        gap = gap if facts.watcher == deployment.watcher else 0.0\n",
        "        gap = now - deployment.looked_at\n",
        noticed=42,
    ),
    Mutant(
        "a bake counts while the row is not real",
        advance,
        "(gap if walked.real and not walked.paused else 0.0)",
        "(gap if not walked.paused else 0.0)",
        noticed=5,
    ),
    Mutant(
        "a bake is a second short",
        advance,
        "else walked.step.hold_seconds - held",
        "else walked.step.hold_seconds - held - 1",
        noticed=1,
    ),
    Mutant(
        "a pause holds nothing",
        advance,
        "    if left > 0 or walked.paused:\n",
        "    if left > 0:\n",
        noticed=97,
    ),
    Mutant(
        "a rollback ends on the new config",
        advance,
        "    if rolled_back:\n",
        "    if rolled_back and deployment.config is not None:\n"
        "        endpoint = replace(endpoint, config=deployment.config)\n"
        "    if rolled_back:\n",
    ),
    Mutant(
        "success goes on serving the old fleets",
        advance,
        "fleets=deployment.new)\n    if deployment.kind",
        "fleets=endpoint.fleets or deployment.new)\n    if deployment.kind",
        noticed=5,
    ),
    Mutant(
        "what dies after the deployment is not launched again",
        advance,
        "    actions = difference(kept.step, facts, route, waiting)\n",
        "    actions = ()\n",
        noticed=2,
    ),
    Mutant(
        "an endpoint at rest is woken for ever",
        advance,
        "wake_at = None if whole and not actions else",
        "wake_at =",
        noticed=5,
    ),
    Mutant(
        "a dead old fleet holds the update up",
        advance,
        "        (is_ready(step, facts) or deployment.stopping)\n",
        "        (is_ready(step, facts) or deployment.stopping)\n"
        "        and route is not None and route.shares == step.shares\n",
        noticed=10,
    ),
)
"""In what decides."""

SHELL = (
    Mutant(
        "the build for a fleet that is not wanted any more goes on",
        launches,
        "        if self.task is not None and self.begun:\n            self.task.cancel()\n",
        "",
        noticed=178,
    ),
    Mutant(
        "the begin of a build is told again by each control that builds",
        waits,
        "    return deployment.phases.get(want.fleet)\n",
        "    return None\n",
        noticed=148,
    ),
    Mutant(
        "a build that has begun is told with each turn",
        waits,
        "        if before.phases.get(fleet) != phase:\n            yield",
        "        if True:\n            yield",
        noticed=4,
    ),
    Mutant(
        "a build counts as time that an instance has been starting",
        observe,
        "dict.fromkeys(self._launches.under_way(fleet), 0.0)",
        "dict.fromkeys(self._launches.under_way(fleet), 999.0 * bool(self._launches.phase(fleet)))",
        noticed=4,
    ),
    Mutant(
        "the table of a worker that has not answered is forgotten",
        observe,
        "            routed=listed,\n",
        "            routed=NOBODY,\n",
    ),
    Mutant(
        "an instance that is being stopped counts as ready",
        observe,
        "case _ if watched.retiring:",
        "case _ if watched.retiring and watched.sight.state is not InstanceState.READY:",
        noticed=1,
    ),
    Mutant(
        "the machine's clock says how long an instance has been starting",
        observe,
        "now - watched.started_at",
        "now - watched.handle.started_at",
        noticed=34,
    ),
    Mutant(
        "shares that workers do not agree on count as agreed",
        observe,
        "        if not self._tables.agreed(key):\n            return None\n",
        "",
        noticed=3,
    ),
    Mutant(
        "alarms are not asked for",
        reconciler,
        "for name in record.deployment.alarms]",
        "for name in ()]",
        noticed=5,
    ),
    Mutant(
        "a worker counts as being at the table that a new control finds",
        tables,
        "self._found = table.version or -1",
        "self._found = -1",
        noticed=3,
    ),
    Mutant(
        "a route that was superseded is forgotten before anybody has acknowledged",
        tables,
        "while len(history) > 1 and history[1].version <= seen:",
        "while len(history) > 1:",
        noticed=12,
    ),
    Mutant(
        "a table is published without a version of its own",
        control,
        "return max(self.table.version + 1, self._millis())",
        "return self.table.version or 1",
        noticed=1,
    ),
    Mutant(
        "one worker's acknowledgement stands for all",
        control,
        "        return min(\n",
        "        return max(\n",
    ),
    Mutant(
        "a change is told to the first worker only",
        control,
        "        for peer in self._workers.values():\n            if peer.sent == delta.after",
        "        for peer in [*self._workers.values()][:1]:\n"
        "            if peer.sent == delta.after",
    ),
    Mutant(
        "a change is not written down before it is told",
        publishing,
        "encoded = self._file.append(delta, table)\n",
        "encoded = msgspec.json.encode(delta) + b'\\n'\n",
        noticed=13,
    ),
    Mutant(
        "instances that are not ready are listed",
        act,
        "            if watched.sight.state is InstanceState.READY\n            and not",
        "            if not",
        noticed=2,
    ),
    Mutant(
        "instances are stopped before the table leaves them out",
        act,
        "        if decision.route is not None:\n",
        "        if decision.route is not None and decision.deployment.row:\n"
        "            for fleet in decision.deployment.step.sizes:\n"
        "                for one in list(self.instances.of_fleet(fleet)):\n"
        "                    if fleet not in decision.route.ordinals:\n"
        "                        self._retire(one.handle.instance_id)\n"
        "        if decision.route is not None:\n",
        noticed=1,
    ),
    Mutant(
        "a launch is forgotten",
        launches,
        "        launch.task = asyncio.create_task(self._launch(endpoint, fleet, launch))\n",
        "",
        noticed=2,
    ),
    Mutant(
        "a launch that has ended goes on for ever",
        launches,
        "            del self._under_way[fleet.id]\n",
        "",
        noticed=3,
    ),
    Mutant(
        "what is not wanted any more is launched all the same",
        launches,
        "        self.unwanted.set()\n"
        "        if self.task is not None and self.begun:\n"
        "            self.task.cancel()\n",
        "        pass\n",
    ),
    Mutant(
        "a launch that is given up loses what it has started",
        launching,
        "    while not task.done():\n"
        "        with contextlib.suppress(asyncio.CancelledError):\n"
        "            await asyncio.wait([task])\n"
        "    return task.result()\n",
        "    return await task\n",
        noticed=44,
    ),
    Mutant(
        "a rollback fails by what failed before it began",
        observe,
        "patient=back",
        "patient=False",
        noticed=49,
    ),
    Mutant(
        "the host is full once, and the launch waits for ever",
        launches,
        "await self.clock.wait(launch.unwanted, self.clock.now() + seconds)",
        "await launch.unwanted.wait()",
        noticed=14,
    ),
    Mutant(
        "what runs already is not found",
        instances,
        "await asyncio.gather(*(self._adopt(handle) for handle in handles))",
        "await asyncio.gather(*(self._adopt(handle) for handle in handles[1:]))",
        noticed=1,
    ),
    Mutant(
        "an instance is forgotten while it ends",
        instances,
        "            await self.runtime.retire(watched.handle, grace_seconds)\n",
        "            self._forget(watched)\n"
        "            await self.runtime.retire(watched.handle, grace_seconds)\n",
    ),
    Mutant(
        "nobody is woken when an instance changes",
        instances,
        "                self.on_change(fleet_of(watched.handle.instance_id))\n            elif",
        "            elif",
        noticed=2,
    ),
    Mutant(
        "nobody follows an instance any more once it was ready",
        instances,
        "while watched.sight.state is not InstanceState.GONE:",
        "while watched.sight.state not in (InstanceState.GONE, InstanceState.READY):",
        noticed=7,
    ),
    Mutant(
        "an illness is as old as the instance",
        instances,
        "            watched.since = self.clock.now()\n",
        "            watched.since = watched.started_at\n",
        noticed=13,
    ),
    Mutant(
        "what is decided is done before it is remembered",
        reconciler,
        '        self._crash_point("before-save")\n',
        '        self._crash_point("before-save")\n'
        "        if not decision.gone:\n"
        "            self._actor.act(decision)\n",
    ),
    Mutant(
        "an endpoint sleeps for as long as nobody wakes it",
        reconciler,
        "await self._clock.wait(turns.due, min(wake_at, latest))",
        "await turns.due.wait()",
        noticed=1,
    ),
    Mutant(
        "an endpoint at rest is written at every turn",
        reconciler,
        "_is_decided_the_same(record, decision) and _looks_the_same(record.facts, facts)\n",
        "False\n",
        noticed=2,
    ),
    Mutant(
        "what is seen is not kept for DescribeEndpoint",
        reconciler,
        "                transaction.endpoints.save_facts(record, facts)\n",
        "                pass\n",
        noticed=5,
    ),
    Mutant(
        "what is seen soon after a save is not kept",
        reconciler,
        "return min(wake_at, save_at) if unseen else wake_at",
        "return wake_at",
        noticed=5,
    ),
    Mutant(
        "what has only been watched is done, and not remembered",
        reconciler,
        "            decision = replace(decision, deployment=record.deployment)\n",
        "            pass\n",
        noticed=2,
    ),
    Mutant(
        "a save does not mind what was saved since it was decided",
        endpoints,
        "        if not changed:\n            raise StaleDecision",
        "        if changed is None:\n            raise StaleDecision",
        noticed=101,
    ),
    Mutant(
        "a worker that calls is taken to be at the newest table",
        control,
        "peer.version = peer.sent = peer.newest = hello.version",
        "peer.version = peer.sent = peer.newest = self.table.version",
        noticed=2,
    ),
    Mutant(
        "a worker says that it serves by a table that it does not",
        worker,
        "self._serving.serve(table_after(table, [delta]), delta)",
        "return encode(Acknowledged(delta.version))",
    ),
    Mutant(
        "an alarm is remembered as it was before it changed",
        alarms,
        "        self._writing.forget(_record_key(account, region, name))\n",
        "",
        noticed=5,
    ),
    Mutant(
        "an alarm that changes wakes nobody",
        watchers,
        "            found |= self._watchers.get(name, set())\n",
        "",
        noticed=5,
    ),
    Mutant(
        "what callers wish is told to nobody",
        feed,
        "if each.but_not_by == commit.by:",
        "if commit.by == CALLER:",
    ),
)
"""In what looks, remembers and does."""

MUTANTS = (*CORE, *SHELL)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The bug is in the shipped code for as long as this lasts."""
    path = Path(inspect.getfile(mutant.module))
    text = path.read_text()
    assert text.count(mutant.old) == 1, f"{mutant.name}: what it replaces is not there once"
    before = dict(_functions(compile(text, path, "exec")))
    after = dict(_functions(compile(text.replace(mutant.old, mutant.new), path, "exec")))
    changed = {
        name: _function(mutant.module, name)
        for name, code in after.items()
        if not _is_same(code, before[name])
    }
    assert changed, f"{mutant.name}: no function is changed by it"
    real = {name: function.__code__ for name, function in changed.items()}
    try:
        for name, function in changed.items():
            function.__code__ = after[name]
        yield
    finally:
        for name, function in changed.items():
            function.__code__ = real[name]


def _functions(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """The code of every function and method of a module, by qualified name."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and not constant.co_name.startswith("<"):
            if inspect.CO_OPTIMIZED & constant.co_flags:
                yield constant.co_qualname, constant
            else:  # the body of a class
                yield from _functions(constant)


def _function(module: ModuleType, name: str) -> FunctionType:
    """The function itself, from below whatever decorates it."""
    found: Any = module
    for part in name.split("."):
        found = vars(found)[part]
    found = inspect.unwrap(getattr(found, "fget", None) or getattr(found, "__func__", found))
    assert isinstance(found, FunctionType), name
    return found


def _is_same(one: Any, other: Any) -> bool:
    """Equal but for where in the file they are."""
    if not isinstance(one, CodeType) or not isinstance(other, CodeType):
        return bool(type(one) is type(other) and one == other)
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and len(one.co_consts) == len(other.co_consts)
        and all(map(_is_same, one.co_consts, other.co_consts))
    )
