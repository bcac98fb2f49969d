"""What a gateway worker counted: the rows that it tells control about once a second.

A row is what one worker counted of one fleet at one step of a deployment. Latencies are sketches:
what the workers counted apart adds up to what one of them would have counted. Rows are journalled
as they are here, so a member keeps its name and its meaning, and a new one has a default.
"""

from __future__ import annotations

import msgspec

Values = tuple[float, float, float, float, list[int]]
"""(count, sum, smallest, largest, bins) of many values; bins are an alternating flat list of bin
number and count, in the bins of `cloudwatch.metrics.sketches`; `cloudwatch.metrics.aggregates`
stores the same."""

NO_VALUES: Values = (0, 0.0, 0.0, 0.0, [])


class InvocationRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """About a second of one fleet, as one worker saw it."""

    account: str
    region: str
    endpoint: str
    variant: str
    fleet: str
    config: str
    step: str
    """What it is counted under: see `deployment.state.Deployment.step_id`."""
    at: float
    """Epoch seconds at which this stretch of counting ended."""
    invocations: int = 0
    """Requests that were sent to the variant, whatever became of them."""
    taken_back: int = 0
    """Requests that an earlier row of this fleet and step counted, and that could not be sent."""
    client_errors: int = 0
    """The model answered 4xx."""
    server_errors: int = 0
    """The model answered 5xx."""
    model_errors: int = 0
    """The model did not answer 2xx: the two above, timeouts, broken and malformed answers."""
    gateway_errors: int = 0
    """Requests for this variant that the gateway answered with an error of its own: no instance
    ready, too many waiting, an answer too large."""
    retried: int = 0
    """Times a request was moved to another instance because nothing of it had been sent."""
    mid_stream_errors: int = 0
    """Streams that broke after their first byte."""
    abandoned: int = 0
    """Requests whose client left before the answer."""
    per_instance: float = 0.0
    """Sum of 1/n over the invocations, n being the instances that took traffic at the time."""
    concurrent_max: int = 0
    """The most invocations under way at once, in this worker."""
    model_latency: Values = NO_VALUES
    """Microseconds from sending to the model to its whole answer."""
    overhead_latency: Values = NO_VALUES
    """Microseconds of the rest: from the request's last byte to its answer, less the model's."""
    first_chunk_latency: Values = NO_VALUES
    """Microseconds from sending to the model to the first byte of a stream."""

    @property
    def begun(self) -> int:
        """What the row adds to the invocations that the rows before it have told; may be negative.

        Sums go by it. A datapoint cannot take back what an earlier one has said.
        """
        return self.invocations - self.taken_back
