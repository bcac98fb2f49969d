"""`python -m tests.forgery [--requests N] [--seed N]`: a hundred thousand requests with credentials
of every kind that are forged, expired, mixed up or revoked, on both planes of a real server. Exit
status 1 if one of them passes."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.forgery.credentials import build
from tests.forgery.trying import try_forgeries
from tests.issuers import issuer


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.forgery", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, issuer() as there_is:
        directory = Path(name)
        there = build(directory / "data", directory, there_is)
        try:
            tried = try_forgeries(there, options.requests, options.seed)
        finally:
            there.server.stop()
    for sent in tried.passed[:10]:
        print(f"PASSED: {sent}")
    print(f"{len(tried.passed)} of {options.requests} passed, seed {options.seed}")
    print(f"{tried.right} right ones among them passed, as they have to")
    for fault, count in tried.faults.most_common():
        print(f"{count:8} {fault}")
    for status, count in sorted(tried.statuses.items()):
        print(f"{count:8} answered {status}")
    return 1 if tried.passed else 0


if __name__ == "__main__":
    sys.exit(main())
