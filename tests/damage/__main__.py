"""`python -m tests.damage [--damages N] [--seed N]`: thousands of damages; a bad one is printed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import structlog

from tests.damage.harm import grow, harm, judge


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.damage")
    parser.add_argument("--damages", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first; one more for each")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        specimens = []
        for killed in (False, True):
            place = Path(name) / f"killed-{killed}"
            place.mkdir()
            specimens.append(grow(place, killed=killed))
        for seed in range(options.seed, options.seed + options.damages):
            specimen, directory = specimens[seed % 2], Path(name) / "damaged"
            done = harm(specimen, directory, seed)
            try:
                ends[judge(specimen, directory)] += 1
            except Exception:
                ends["WRONG"] += 1
                print(f"seed {seed}: {done}\n{traceback.format_exc()}")
            shutil.rmtree(directory)
            if seed % 500 == 499:
                print(f"{seed + 1}: {dict(ends)}", flush=True)
    print(dict(ends))
    return 1 if ends["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
