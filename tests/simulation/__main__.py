"""Run histories for hours, or one seed turn by turn.

python -m tests.simulation --hours 2        until then, on fresh seeds; a failing one is printed
python -m tests.simulation --histories 1000
python -m tests.simulation --seed 4711      one history, every turn printed
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.history import Broken, run
from tests.simulation.rules import Violation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--hours", type=float, help="run fresh seeds for so long")
    parser.add_argument("--histories", type=int, default=1_000, help="or so many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one seed, every turn printed")
    options = parser.parse_args()
    if options.seed is not None:
        return _one(options.seed)
    outcomes: Counter[str] = Counter()
    failed: list[tuple[int, str]] = []
    began = time.monotonic()
    seed = options.first
    while _goes_on(options, seed, began):
        try:
            outcomes[run(seed)] += 1
        except Violation as broken:
            failed.append((seed, str(broken)))
            print(f"seed {seed}: {broken}", flush=True)
        except Exception as error:  # what broke down is a finding like any other
            failed.append((seed, repr(error)))
            print(f"seed {seed}: {error!r}", flush=True)
        seed += 1
        if options.hours and seed % 500 == 0:
            print(f"{seed - options.first} histories, {len(failed)} failed", flush=True)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:8d}  {outcome}")
    seconds = time.monotonic() - began
    print(f"{seed - options.first} histories, {len(failed)} failed, {seconds:.0f} s")
    return 1 if failed else 0


def _one(seed: int) -> int:
    try:
        print(run(seed, print))
    except (Violation, Broken) as broken:
        print(f"broken: {broken}")
        return 1
    return 0


def _goes_on(options: argparse.Namespace, seed: int, began: float) -> bool:
    if options.hours:
        return time.monotonic() - began < float(options.hours) * 3600
    return seed - int(options.first) < int(options.histories)


if __name__ == "__main__":
    sys.exit(main())
