"""`inservice config <verb>`: endpoint configs as a person handles them."""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import EXIT_CODES_TOLD, Verb, answer

VERBS: Final[dict[str, Verb]] = {
    "list": Verb("inservice.cli.config.listing", "What endpoint configs there are."),
    "show": Verb("inservice.cli.config.show", "One endpoint config and its variants."),
    "create": Verb("inservice.cli.config.create", "Create one for a model."),
    "delete": Verb("inservice.cli.config.delete", "Delete it; endpoints keep their own copy."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice config …`."""
    return answer("config", VERBS, argv, EXIT_CODES_TOLD)
