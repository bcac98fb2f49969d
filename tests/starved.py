"""The suite beside processes that take the machine's time: `make starved`.

A test that fails there lies, about the product or about itself: a deadline has judged what nobody
got a turn to do, or a test has asserted how long something takes. Each failure is printed with the
rounds that it came in, so that what fails once in twenty is found as well.

    python -m tests.starved [--rounds 20] [--hogs 4] [what pytest is given: paths, -k, -m …]
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator

HOG = "import os; mine = os.getppid()\nwhile os.getppid() == mine: pass"
"""Until nobody is left who would end it."""
SHARED = ("-n", "4", "--by-module", "--maxschedchunk", "1", "-q", "-rfE")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """So many processes that want a whole core each, until it is left."""
    busy = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def one_round(asked: list[str]) -> tuple[bool, list[str]]:
    """Whether the suite passed, and the names of what failed."""
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *SHARED, *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    names = FAILED.findall(finished.stdout)
    if finished.returncode:
        print(finished.stdout, flush=True)
    return finished.returncode == 0, names


def main() -> int:
    """0 if every round passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.starved")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--hogs", type=int, default=4)
    options, asked = parser.parse_known_args()
    failed: dict[str, list[int]] = defaultdict(list)
    bad = 0
    with hogs(options.hogs):
        for number in range(1, options.rounds + 1):
            passed, names = one_round(asked or ["-m", "not long"])
            bad += not passed
            for name in names:
                failed[name].append(number)
            print(f"round {number}: {'passed' if passed else f'{len(names)} failed'}", flush=True)
    for name, rounds in sorted(failed.items(), key=lambda one: -len(one[1])):
        print(f"{len(rounds):3} of {options.rounds}  {name}  in rounds {rounds}")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
