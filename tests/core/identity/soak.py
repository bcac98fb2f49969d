"""Both evaluators over random cases, for as many as you like: `make soak-policies`.

A case that they disagree about is printed with its seed, which gives the same case again.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter

from tests.core.identity import naive
from tests.core.identity.generated import Ours, case


def compare(seed: int) -> tuple[str, str]:
    """What both say of the case with a seed. Raises AssertionError where they differ."""
    given = case(random.Random(seed).choice)
    return agreed(given, f"seed {seed}")


def agreed(given: naive.Case, name: str) -> tuple[str, str]:
    """What both say of a case: which statements apply, and what they come to."""
    ours = Ours(given)
    expected, got = naive.applying(given), ours.applying()
    assert expected == got, f"{name}: naive {expected}, ours {got} apply\n{given}"
    decision, decided = naive.decide(given), ours.decided()
    assert decision == decided, f"{name}: naive {decision}, ours {decided}\n{given}"
    return decided


def main() -> int:
    """Exit status 1 if they ever disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**40))
    arguments = parser.parse_args()
    seen: Counter[tuple[str, str]] = Counter()
    for seed in range(arguments.seed, arguments.seed + arguments.pairs):
        try:
            seen[compare(seed)] += 1
        except AssertionError as error:
            print(error)
            return 1
    print(f"{arguments.pairs} cases from seed {arguments.seed}: both agree")
    for (outcome, by), count in seen.most_common():
        print(f"{count:10} {outcome} {by}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
