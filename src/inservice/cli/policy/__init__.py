"""`inservice policy <verb>`: what policies there are, and what they come to."""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import Verb, answer

EXIT_CODES_TOLD: Final = (
    "Exit codes: 0 done, or allowed; 1 refused or not reachable, of `policy test` denied; "
    "3 of `policy test` that it could not be found out; 2 wrong usage, 130 interrupted."
)

VERBS: Final[dict[str, Verb]] = {
    "list": Verb("inservice.cli.policy.listing", "What managed policies there are."),
    "show": Verb("inservice.cli.policy.show", "One policy: its document, and who has it."),
    "test": Verb("inservice.cli.policy.testing", "Whether somebody may do something, and why."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice policy …`."""
    return answer("policy", VERBS, argv, EXIT_CODES_TOLD)
