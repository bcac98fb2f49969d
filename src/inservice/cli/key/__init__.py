"""`inservice key <verb>`: the root access key."""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import EXIT_CODES_TOLD, Verb, answer

VERBS: Final[dict[str, Verb]] = {
    "rotate": Verb("inservice.cli.key.rotate", "Replace the root access key by a new one."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice key …`."""
    return answer("key", VERBS, argv, EXIT_CODES_TOLD)
