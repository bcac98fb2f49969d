"""Planted bugs: each is one small edit of the engine, and the simulation must notice every one.

A simulation that finds nothing proves little until it has been seen to find something. Each mutant
replaces a piece of the engine's source that must occur exactly once, so that a mutant cannot
outlive the line it is about. The mutated package is imported afresh beside nothing: the real one
is put back afterwards.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

import inservice.deployment

ENGINE = "inservice.deployment"
SOURCE = Path(inservice.deployment.__file__).parent


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug."""

    name: str
    module: str
    old: str
    new: str
    noticed: int = 0  # by the history of this seed, when it was last looked; the first to be tried


MUTANTS = (
    Mutant(
        "traffic goes to a new fleet before it is ready",
        "advance",
        "    if not is_ready(step, facts):\n        return deployment\n",
        "",
        noticed=125,
    ),
    Mutant(
        "an instance is stopped that a gateway may still choose",
        "actions",
        "seen.present.difference(seen.draining, seen.routed, wanted(size, seen))",
        "seen.present.difference(seen.draining, wanted(size, seen))",
        noticed=1675,
    ),
    Mutant(
        "the old fleet goes on being stopped after the new one died",
        "actions",
        "only_useless=not is_ready(step, facts)",
        "only_useless=False",
        noticed=211,
    ),
    Mutant(
        "acknowledgements of the gateways are not waited for",
        "actions",
        "    if facts.shares != route.shares:\n        return False\n",
        "",
    ),
    Mutant(
        "an alarm is ignored in the last bake",
        "trouble",
        "if not facts.tripped or",
        'if deployment.step.hold_name == "TerminationWaitInSeconds" or not facts.tripped or',
    ),
    Mutant(
        "an alarm is ignored between bakes",
        "trouble",
        "if not facts.tripped or",
        "if not deployment.step.hold_seconds or not facts.tripped or",
    ),
    Mutant(
        "an alarm turns back what is beyond the point of no return",
        "trouble",
        "return cannot_start(deployment, facts) if _old_still_runs(deployment, facts) else None",
        "return _alarm(deployment, facts)",
        noticed=225,
    ),
    Mutant(
        "a lost instance of the new fleet is quietly replaced",
        "trouble",
        "        or _lost(deployment, facts)\n",
        "",
    ),
    Mutant(
        "an abort by hand is forgotten",
        "trouble",
        "        deployment.aborted\n        or _alarm",
        "        _alarm",
    ),
    Mutant(
        "MaximumExecutionTimeoutInSeconds is not watched",
        "trouble",
        "        or _out_of_time(deployment, deployment.timeout_seconds)\n",
        "",
        noticed=835,
    ),
    Mutant(
        "a rollback that cannot finish goes on for ever",
        "trouble",
        "return cannot_start(deployment, facts) or "
        "_out_of_time(deployment, TIMEOUT_SECONDS_DEFAULT)",
        "return None",
        noticed=65,
    ),
    Mutant(
        "a fleet that hangs is waited for until the timeout",
        "trouble",
        "if seen.starting.get(ordinal, 0.0) > want.start_seconds_max:",
        "if seen.starting.get(ordinal, 0.0) > 20_000:",
        noticed=55,
    ),
    Mutant(
        "weight stays stuck on a dead fleet",
        "advance",
        "    shares = spill(deployment.shares, deployment.step, facts)\n",
        "    shares = deployment.shares\n",
        noticed=65,
    ),
    Mutant(
        "who is being retired does not take its room",
        "actions",
        "room = want.size - len(alive)",
        "room = want.size - len(alive - seen.draining)",
        noticed=130,
    ),
    Mutant(
        "shrinking keeps the lowest ordinals, dead or alive",
        "actions",
        "order = (seen.ready, seen.starting,",
        "order = (range(size), seen.ready, seen.starting,",
        noticed=91,
    ),
    Mutant(
        "a rolling batch rounds the old fleet down",
        "plan",
        "kept = {f.id: ceil(f.size * (1 - moved[f.variant.name])) for f in change.old}",
        "kept = {f.id: int(f.size * (1 - moved[f.variant.name])) for f in change.old}",
    ),
    Mutant(
        "a rolling batch stops the old before it bakes",
        "plan",
        "        rows += [change.step(Doing.SHIFTING, kept, made, moved)]\n"
        "        if bake_seconds:",
        "        rows += [change.step(Doing.SHIFTING, kept, made, moved)]\n"
        "        rows += [change.step(Doing.DELETING, _none(change.old), made, moved)]\n"
        "        if bake_seconds:",
    ),
    Mutant(
        "a canary is nine tenths",
        "plan",
        "part = {f.variant.name: _part(size, f.size, CANARY_PERCENT_MAX) for f in change.new}",
        "part = {f.variant.name: Fraction(9, 10) for f in change.new}",
    ),
    Mutant(
        "the way back leaves the new fleet running",
        "plan",
        "rows = [flip, change.step(Doing.DELETING, whole, none, home, back=True)]",
        "rows = [flip, change.step(Doing.DELETING, whole, made, home, back=True)]",
    ),
    Mutant(
        "shares do not sum to the whole",
        "plan",
        "    for key in sorted(exact, key=lambda key: shares[key] - exact[key])[:left]:\n"
        "        shares[key] += 1\n",
        "",
    ),
    Mutant(
        "a bake begins again when it was interrupted",
        "advance",
        "later = replace(walked, real=False, stopping=stopping)",
        "later = replace(walked, real=False, stopping=stopping, held_seconds=0.0)",
        noticed=168,
    ),
    Mutant(
        "a bake begins again when control restarts",
        "advance",
        "        gap = gap if facts.watcher == deployment.watcher else 0.0\n",
        "        gap = gap if facts.watcher == deployment.watcher else -deployment.held_seconds\n",
        noticed=140,
    ),
    Mutant(
        "a bake counts the time that nobody watched",
        "advance",
        "        gap = gap if facts.watcher == deployment.watcher else 0.0\n",
        "        gap = now - deployment.looked_at\n",
    ),
    Mutant(
        "a bake counts while the row is not real",
        "advance",
        "(gap if walked.real and not walked.paused else 0.0)",
        "(gap if not walked.paused else 0.0)",
    ),
    Mutant(
        "a bake is a second short",
        "advance",
        "else walked.step.hold_seconds - held",
        "else walked.step.hold_seconds - held - 1",
    ),
    Mutant(
        "a pause holds nothing",
        "advance",
        "    if left > 0 or walked.paused:\n",
        "    if left > 0:\n",
    ),
    Mutant(
        "a rollback ends on the new config",
        "advance",
        "    if rolled_back:\n",
        "    if rolled_back and deployment.config is not None:\n"
        "        endpoint = replace(endpoint, config=deployment.config)\n"
        "    if rolled_back:\n",
    ),
    Mutant(
        "success goes on serving the old fleets",
        "advance",
        "fleets=deployment.new)\n    if deployment.kind",
        "fleets=endpoint.fleets or deployment.new)\n    if deployment.kind",
    ),
    Mutant(
        "what dies after the deployment is not launched again",
        "advance",
        "    actions = difference(kept.step, facts, route, waiting)\n",
        "    actions = ()\n",
    ),
    Mutant(
        "an endpoint at rest is woken for ever",
        "advance",
        "wake_at = None if whole and not actions else",
        "wake_at =",
    ),
    Mutant(
        "a dead old fleet holds the update up",
        "advance",
        "        (is_ready(step, facts) or deployment.stopping)\n",
        "        (is_ready(step, facts) or deployment.stopping)\n"
        "        and route is not None and route.shares == step.shares\n",
    ),
)


@contextmanager
def planted(mutant: Mutant) -> Iterator[ModuleType]:
    """The simulation's `history` module, running on the mutated engine."""
    text = (SOURCE / f"{mutant.module}.py").read_text()
    assert text.count(mutant.old) == 1, f"{mutant.name}: what it replaces is not there once"
    affected = (
        ENGINE,
        "tests.simulation.history",
        "tests.simulation.rules",
        "tests.simulation.world",
    )
    saved = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(affected)}
    finder = _Finder(f"{ENGINE}.{mutant.module}", text.replace(mutant.old, mutant.new))
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("tests.simulation.history")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(affected)]:
            del sys.modules[name]
        sys.modules.update(saved)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Serves one module from changed source."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_source(self, fullname: str) -> str:
        return self.source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, f"<{fullname}, mutated>", "exec")
