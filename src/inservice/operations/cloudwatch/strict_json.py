"""JSON as JSON: what of it is kept is read again by others, who know no NaN."""

from __future__ import annotations

import json
from typing import Any


def read(text: str) -> Any:
    """The value of a text. Raises ValueError for what is not JSON, and RecursionError for what
    nests without end. Python by itself reads NaN and Infinity as well; JSON has neither."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
