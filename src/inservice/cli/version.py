"""`inservice version`: the same line as `inservice --version`."""

from __future__ import annotations

import sys

from inservice.cli.main import DONE, USAGE, version_line


def run(argv: list[str]) -> int:
    """Print the version; it takes no options."""
    if argv:
        sys.stderr.write("usage: inservice version\n")
        return USAGE
    sys.stdout.write(version_line() + "\n")
    return DONE
