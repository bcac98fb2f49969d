"""Which of AWS's operations an InService answers, for the help pages.

The command line does not know the server's code; `make docs` writes the list down from it, and the
suite compares the two.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

FILE = "served.json"
"""Beside this module: the names of the operations, by service."""


@cache
def served(service: str) -> frozenset[str]:
    """The operations of the service that InService has."""
    text = Path(__file__).with_name(FILE).read_text(encoding="utf-8")
    return frozenset(json.loads(text).get(service, ()))
