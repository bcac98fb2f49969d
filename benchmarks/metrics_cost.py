"""What metrics cost a gateway worker, in CPU per request.

    python benchmarks/metrics_cost.py [--requests 400000] [--rate 5000]

The same loop runs with and without counting: finding the tally of the fleet, both of its calls, and
once for every `--rate` requests, as once a second on a worker of that load, the row with its
sketches, encoded for control.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

from inservice.gateway.runtime.taps.counting import Counting
from inservice.routing.table import WHOLE, EndpointRoute, FleetRoute

GOAL_MICROSECONDS = 2.0
ROUNDS = 5

FLEET = FleetRoute("g-1-AllTraffic", "AllTraffic", "config", WHOLE, "RANDOM", ())
ROUTE = EndpointRoute("000000000000", "us-east-1", "endpoint", (FLEET,), "deployment/0")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=400_000)
    parser.add_argument("--rate", type=int, default=5_000, help="requests a second")
    options = parser.parse_args()
    draw = random.Random(1)
    latencies = [draw.lognormvariate(-6.0, 0.5) for _ in range(options.requests)]
    costs = []
    for _ in range(ROUNDS):
        without, counted = bare(latencies), counting(latencies, options.rate)
        costs.append(1e6 * (counted - without) / options.requests)
    cost = statistics.median(costs)
    sys.stdout.write(
        f"metrics cost {cost:.2f} µs of CPU per request at {options.rate} requests/s and worker "
        f"(best {min(costs):.2f}, worst {max(costs):.2f}; goal {GOAL_MICROSECONDS:g})\n"
    )
    return 0


def bare(latencies: list[float]) -> float:
    """CPU seconds of the loop alone."""
    began = time.process_time()
    for latency in latencies:
        _ = latency * 0.1
    return time.process_time() - began


def counting(latencies: list[float], rate: int) -> float:
    """CPU seconds of the loop with everything counted."""
    counts = Counting()
    began = time.process_time()
    for number, latency in enumerate(latencies, 1):
        tally = counts.hear(ROUTE, FLEET)
        tally.begun(4)
        tally.answered(200, latency, latency * 0.1)
        if number % rate == 0:
            message = counts.flush(float(number))
            assert message is not None
            counts.confirm(sys.maxsize)
    return time.process_time() - began


if __name__ == "__main__":
    raise SystemExit(main())
