"""What of an endpoint will not fit on this host, or not as its instance types promise.

Nothing is refused here: whoever starts the instances does that, where it has to be, by what is held
then. Who asks for something is told beforehand, in a header of the answer and in the history of the
endpoint, at the most that the deployment has running at a time; and whoever has it described.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inservice.deployment.state import Decision, fleets_of
from inservice.hosting.instance_types import resources_of
from inservice.hosting.resources import Resources
from inservice.ids import generation_of
from inservice.operations.live import CapacitySeen
from inservice.operations.registry import Call
from inservice.placement.host import Limits
from inservice.placement.warned import over, warnings
from inservice.store.collections.endpoints import EndpointRecord


def with_capacity_told(decision: Decision, call: Call, seen: CapacitySeen) -> Decision:
    """The decision, with a line in the endpoint's history for each, of which the caller is warned
    as well. `seen` is the host just before."""
    generation = decision.endpoint.generation
    others = [each for each in seen.claims if generation_of(each.instance_id) != generation]
    told = list(warnings(seen.host, others, _most(decision), seen.rules))
    call.warnings.extend(told)
    events = (decision.deployment.event(call.now, sentence) for sentence in told)
    return replace(decision, events=(*decision.events, *events))


def warn_of_capacity(call: Call, record: EndpointRecord) -> None:
    """Tell who has an endpoint described."""
    fleets = {each.id: each for each in (*record.endpoint.fleets, *record.deployment.new)}
    has = [resources_of(fleet.variant.instance_type) for fleet in fleets.values() if fleet.size]
    # Most endpoints have no accelerators, and to look at a host costs more than to describe one.
    is_soft = call.live.placement_rules.limits is Limits.SOFT
    if not is_soft and not any(each.accelerators for each in has):
        return
    seen = call.live.capacity()
    call.warnings.extend(warnings(seen.host, (), has, replace(seen.rules, limits=Limits.OFF)))
    if is_soft:
        call.warnings.extend(over(seen.host, seen.claims))


def _most(decision: Decision) -> Sequence[Resources]:
    """What runs of the endpoint at a time, one for each instance, at the step with the most."""
    fleets = fleets_of(decision.endpoint, decision.deployment)
    steps = (
        [
            has
            for want in step.wants
            if want.fleet in fleets
            for has in [resources_of(fleets[want.fleet].variant.instance_type)] * want.size
        ]
        for step in decision.deployment.plan
    )
    return max(steps, key=lambda step: sum(has.vcpus for has in step), default=[])
