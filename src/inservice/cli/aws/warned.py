"""What a server had to say beside its answers: on stderr, where it disturbs no pipe.

Who makes or changes something is told. Whoever looks at it, perhaps every few seconds, is not: the
`show` commands say it in their place.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

_HEADER: Final = "x-inservice-warning"
_BETWEEN: Final = " | "
_LOOKING: Final = ("Describe", "List", "Get")


def warnings_of(answer: Mapping[str, Any]) -> Sequence[str]:
    """The warnings that came with an answer, one by one."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    said = headers.get(_HEADER, "")
    return said.split(_BETWEEN) if said else ()


def say_warnings(parsed: Mapping[str, Any], model: Any, **_: object) -> None:
    """Tell the user of them; called by botocore after each call."""
    if not model.name.startswith(_LOOKING):
        for warning in warnings_of(parsed):
            sys.stderr.write(f"warning: {warning}\n")
