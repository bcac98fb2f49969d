"""Run histories for hours, or one seed turn by turn.

python -m tests.simulation --hours 2        until then, on fresh seeds; a failing one is printed
python -m tests.simulation --histories 1000
python -m tests.simulation --seed 4711      one history, every turn printed
python -m tests.simulation --notice 42      the seed below 42 that names each planted bug soonest:
                                            what `noticed` in mutants.py should say
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.history import Broken, run
from tests.simulation.mutants import MUTANTS
from tests.simulation.noticing import seconds_until_named
from tests.simulation.rules import Violation

SOON_SECONDS, LATE_SECONDS = 0.2, 0.6
"""Of the processor's time, where a history takes 0.3: a seed that names a mutant soon is taken
without looking further, and for one that is named late another is looked for."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--hours", type=float, help="run fresh seeds for so long")
    parser.add_argument("--histories", type=int, default=1_000, help="or so many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one seed, every turn printed")
    parser.add_argument("--notice", type=int, help="of so many seeds, the best for each mutant")
    options = parser.parse_args()
    if options.notice is not None:
        return _notice(options.notice)
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


def _notice(seeds: int) -> int:
    """Look for each mutant's best seed: a bug that its own seed names at once is left out."""
    for mutant in MUTANTS:
        now = seconds_until_named(mutant, mutant.noticed)
        if now is not None and now < LATE_SECONDS:
            continue
        found = {}
        for seed in range(seeds):
            found[seed] = seconds_until_named(mutant, seed)
            if (seconds := found[seed]) is not None and seconds < SOON_SECONDS:
                break
        named = {seed: seconds for seed, seconds in found.items() if seconds is not None}
        best = min(named, key=named.__getitem__, default=None)
        print(f"{mutant.noticed:4d} {now and round(now, 2)} -> {best}", end=" ")
        print(f"{best is not None and round(named[best], 2)} {mutant.name}", flush=True)
    return 0


def _goes_on(options: argparse.Namespace, seed: int, began: float) -> bool:
    if options.hours:
        return time.monotonic() - began < float(options.hours) * 3600
    return seed - int(options.first) < int(options.histories)


if __name__ == "__main__":
    sys.exit(main())
