"""What came of the requests of each step of a deployment: exact counts, for its report.

They are in no graph, so they are not datapoints: they are sums by step, fleet and worker, added up
in the transaction that journals the rows they are taken from. So they are counted once however
often a row is sent, and survive what the journal survives.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepCount:
    """What one life of one worker counted for one fleet at one step."""

    generation: str  # of the endpoint: an endpoint made anew is another one
    number: int  # of the deployment, within the generation
    place: str  # "<row>", or "back/<row>" on the way back
    fleet: str
    worker: str  # "<pid>@<start time>": see `channel.publishing`
    invocations: int = 0  # sent to the model
    answered: int = 0  # of them: by the model, or found to be unanswerable and told so
    model_errors: int = 0  # of those
    abandoned: int = 0  # of the invocations: the client left before the answer
    gateway_errors: int = 0  # never sent to a model, answered by the gateway
    retried: int = 0  # moved to another instance before anything was sent
